"""The cache's file in `cache_dir`: read at the start, written at a clean end and when asked.

What cannot be read or written is logged with the file and the reason, and the scheduler goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

from ...radix_cache import CacheError, RadixCache, disk
from ..config import EngineConfig
from ..engine.runner import Runner
from ..errors import EngineError
from ..messages import Answer, Save
from .pins import HELD

logger = logging.getLogger(__name__)

FILE = "cache.safetensors"
TOKENIZER_FILES = ("tokenizer*", "special_tokens_map.*", "added_tokens.*", "vocab.*", "merges.*")
SAMPLES = 64  # of a file of weights
SAMPLE_BYTES = 64 << 10


class Disk:
    """The file of one engine."""

    def __init__(self, config: EngineConfig, runner: Runner) -> None:
        assert config.cache.cache_dir is not None
        folder = Path(config.cache.cache_dir)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EngineError(f"cache_dir {str(folder)!r} cannot be made: {error}") from error
        self._path = folder / FILE
        self._max_tokens = config.cache.max_saved_tokens
        self._pool = runner.pool
        model = Path(config.model.model_path)
        self._facts = {
            "model": model_digest(model),
            "tokenizer": tokenizer_digest(Path(config.model.tokenizer_path or model)),
            "context_length": str(runner.context_length),  # scaled ropes are set to it
            "dtype": str(runner.dtype).removeprefix("torch."),
            "quantization": config.model.quantization or "none",
        }

    @classmethod
    def of(cls, config: EngineConfig, runner: Runner) -> Disk | None:
        """Return the file that a configuration asks for, if it does.

        Raises:
            EngineError: the folder cannot be made.
        """
        wanted = config.cache.cache_dir is not None and not config.cache.disable_radix_cache
        return cls(config, runner) if wanted else None

    def restore(self, cache: RadixCache) -> None:
        """Fill an empty cache from the file, if there is one that can be used."""
        if not self._path.exists():
            return
        try:
            count = disk.load(self._path, cache, self._pool, self._facts)
        except CacheError as error:
            logger.warning("%s; the cache starts empty, and the next save replaces it", error)
        else:
            logger.info("%d tokens are cached from %s", count, self._path)

    def save(self, cache: RadixCache) -> int:
        """Write the file; return how many tokens it holds.

        Raises:
            OSError: it cannot be written, and is what it was.
        """
        count = disk.save(
            self._path,
            cache,
            self._pool,
            self._facts,
            max_tokens=self._max_tokens,
            without=HELD,  # programs do not outlive the server
        )
        logger.info("%d tokens of the cache are saved in %s", count, self._path)
        return count

    def answer(self, cache: RadixCache, message: Save) -> Answer:
        """Save because somebody asked."""
        try:
            return Answer(call=message.call, saved_tokens=self.save(cache))
        except OSError as error:
            return Answer(call=message.call, done=False, error=f"the cache is not saved: {error}")

    def save_at_end(self, cache: RadixCache) -> None:
        """Save, and log what went wrong."""
        try:
            self.save(cache)
        except OSError as error:
            logger.error("the cache is not saved in %s: %s", self._path, error)


def model_digest(folder: Path) -> str:
    """Return what tells a checkpoint from others: config.json and a sample of the weights.

    A GGUF file is all of it. Whole files would take minutes to read. Of each are read the header,
    which has the names, shapes and dtypes, and 64 blocks of 64 KiB spread evenly, so that other
    weights of the same shapes are told apart wherever they differ by more than a few tensors.
    """
    digest = blake2b(digest_size=16)
    files = [folder] if folder.is_file() else sorted(folder.glob("*.safetensors"))
    if folder.is_dir():
        digest.update((folder / "config.json").read_bytes())
    for path in files:
        size = path.stat().st_size
        digest.update(f"\0{path.name} {size}\0".encode())
        with path.open("rb") as file:
            if path.suffix == ".safetensors":
                digest.update(file.read(8 + int.from_bytes(file.read(8), "little")))
            step = max(SAMPLE_BYTES, (size - SAMPLE_BYTES) // (SAMPLES - 1))
            for start in range(0, size, step):
                file.seek(start)
                digest.update(file.read(SAMPLE_BYTES))
    return digest.hexdigest()


def tokenizer_digest(folder: Path) -> str:
    """Return what tells a tokenizer from others: all of its files."""
    digest = blake2b(digest_size=16)
    for path in sorted(_matching(folder, TOKENIZER_FILES)):
        digest.update(f"\0{path.name}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _matching(folder: Path, patterns: Iterable[str]) -> set[Path]:
    return {path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}
