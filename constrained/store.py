"""Compiled grammars on disk: one file each, bounded together, shared by any number of processes.

A file's name is a digest of all that its content follows from: the vocabulary, the source, this
room's code and the back ends' versions. So nothing is ever updated, only forgotten: the file that
was not used for longest first. A file begins with a digest of the rest; what does not fit its
digest, cut short or changed, is removed and compiled again. Nothing is pickled.
"""

from __future__ import annotations

import logging
import os
import tempfile
from contextlib import suppress
from functools import cache
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from .lowered import Result, decode, encode
from .spec import GrammarSpec
from .vocab import Vocabulary

__all__ = ["Store"]

logger = logging.getLogger(__name__)

DIGEST_BYTES = 16
SUFFIX = ".grammar"
PACKAGES = ("llguidance", "xgrammar", "outlines-core")


class Store:
    """The files of one vocabulary and back end, in a folder that others share. Thread-safe."""

    def __init__(
        self, folder: Path, vocabulary: Vocabulary, backend: str, *, max_bytes: int
    ) -> None:
        """Say where; the folder is made when something is kept.

        Args:
            folder: of the files.
            vocabulary: what masks are over.
            backend: a name in `compiler.BACKENDS`.
            max_bytes: of all files together.
        """
        self._folder = folder
        self._max_bytes = max_bytes
        self._maker = f"{code_digest()} {backend} {vocabulary_digest(vocabulary)}"
        self._has_warned = False

    def get(self, spec: GrammarSpec) -> Result | None:
        """Return what is kept of a spec; None where nothing is, or it is damaged."""
        path = self._path(spec)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        if data[:DIGEST_BYTES] == _digest(data[DIGEST_BYTES:]):
            with suppress(msgspec.DecodeError):
                result = decode(data[DIGEST_BYTES:])
                with suppress(OSError):
                    os.utime(path)
                return result
        self._warn(f"the compiled grammar in {path} is damaged and is compiled again")
        with suppress(OSError):
            path.unlink()
        return None

    def put(self, spec: GrammarSpec, result: Result) -> None:
        """Keep a result; where that fails, a message says so and nothing is kept."""
        data = encode(result)
        if len(data) + DIGEST_BYTES > self._max_bytes:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            # Written aside and moved, so that nobody reads half of it.
            with tempfile.NamedTemporaryFile(dir=self._folder, delete=False) as file:
                file.write(_digest(data) + data)
            os.replace(file.name, self._path(spec))
        except OSError as error:
            self._warn(f"compiled grammars are not kept in {self._folder}: {error}")
        else:
            self._shrink()

    def _path(self, spec: GrammarSpec) -> Path:
        key = blake2b(self._maker.encode(), digest_size=DIGEST_BYTES)
        key.update(msgspec.msgpack.encode(spec))
        return self._folder / f"{key.hexdigest()}{SUFFIX}"

    def _shrink(self) -> None:
        """Remove what was not used for longest until the rest is within the bound."""
        found: list[tuple[float, int, Path]] = []
        for path in self._folder.iterdir():
            with suppress(OSError):  # another process has removed it
                stat = path.stat()
                found.append((stat.st_mtime, stat.st_size, path))
        total = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if total <= self._max_bytes:
                return
            with suppress(OSError):
                path.unlink()
            total -= size

    def _warn(self, message: str) -> None:
        """Say it once: a folder that was damaged may hold thousands of files."""
        if not self._has_warned:
            self._has_warned = True
            logger.warning("%s", message)


@cache
def code_digest() -> str:
    """Return what tells this room's code, and the back ends' versions, from others.

    By the code itself: a number that somebody must remember to raise would be forgotten.
    """
    digest = blake2b(digest_size=DIGEST_BYTES)
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            digest.update(f"\0{package} {version(package)}".encode())
    return digest.hexdigest()


def vocabulary_digest(vocabulary: Vocabulary) -> str:
    """Return what tells a vocabulary from others: all of its tokens."""
    digest = blake2b(digest_size=DIGEST_BYTES)
    parts = vocabulary.tokens, sorted(vocabulary.stop_ids), vocabulary.special
    digest.update(msgspec.msgpack.encode(parts))
    return digest.hexdigest()


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=DIGEST_BYTES).digest()
