"""What a model is loaded from: its settings, and the source of its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from ..config import ModelConfig
from ..errors import ModelLoadError
from ..gguf.file import GGUFFile
from . import gguf
from .settings import Settings
from .shards import Shards
from .weights import Source, Target, load_weights

CONFIG = "config.json"
SPREAD = 0.02  # of dummy weights, as models are initialised


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """An opened checkpoint."""

    settings: Settings
    eos_token_ids: tuple[int, ...]  # what ends a text
    source: Source | None  # None: random weights

    @classmethod
    def open(cls, config: ModelConfig) -> Checkpoint:
        """Read the settings of `config.model_path`; no tensor is touched.

        Raises:
            ModelLoadError: there is no such checkpoint, or its format is not the wanted one.
        """
        path = Path(config.model_path)
        if path.is_file():
            if config.load_format not in ("auto", "gguf"):
                raise ModelLoadError(f"load_format is {config.load_format!r}, but {path} is a file")
            file = GGUFFile.read(path)
            return cls(gguf.read_settings(file), gguf.end_token_ids(file), gguf.GGUFTensors(file))
        if not path.is_dir():
            raise ModelLoadError(f"model_path {config.model_path!r} is no folder on this machine")
        if config.load_format == "gguf":
            raise ModelLoadError(f"load_format is 'gguf', but {path} is no GGUF file")
        settings = Settings.read(path / CONFIG)
        if settings.section("quantization_config"):
            raise settings.error("quantization_config", "is not supported; use plain weights")
        source = None if config.load_format == "dummy" else Shards(path)
        return cls(settings, _eos_token_ids(path, settings), source)

    def fill(self, targets: Mapping[str, Target], ignored: tuple[str, ...], base: str = "") -> None:
        """Fill a model; see `load_weights`.

        Args:
            targets: checkpoint name → where it goes.
            ignored: ends of names that the checkpoint may hold beyond the targets.
            base: prefix of names that a checkpoint which was saved without its head lacks.
        """
        if self.source is None:
            fill_at_random(targets)
            return
        if not any(name.startswith(base) for name in self.source.stored()):
            targets = {name.removeprefix(base): target for name, target in targets.items()}
        load_weights(self.source, targets, ignored)


def fill_at_random(targets: Mapping[str, Target], seed: int = 0) -> None:
    """Fill matrices with noise, biases with zeros and the other vectors, norms, with ones."""
    with torch.inference_mode():
        for index, (name, target) in enumerate(sorted(targets.items())):
            with target.filling() as view:
                if len(target.shape) > 1:
                    generator = torch.Generator(view.device).manual_seed(seed + index)
                    # As spread as a normal distribution of `SPREAD`, and several times as fast.
                    bound = SPREAD * 3**0.5
                    view.uniform_(-bound, bound, generator=generator)
                else:
                    view.fill_(0.0 if name.endswith("bias") else 1.0)


def _eos_token_ids(folder: Path, settings: Settings) -> tuple[int, ...]:
    """Return the ids of both files: chat models name their end of turn in the second alone."""
    ids = settings.token_ids("eos_token_id")
    if (text := settings.section("text_config")) is not None:
        ids += text.token_ids("eos_token_id")
    path = folder / "generation_config.json"
    if path.exists():
        ids += Settings.read(path).token_ids("eos_token_id")
    return tuple(dict.fromkeys(ids))
