"""Which family serves an architecture. A family's module is imported only when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module

from ..errors import ModelLoadError
from .decoder import DecoderSpec
from .settings import Settings

ARCHITECTURES = {"LlamaForCausalLM": ".llama"}  # as in config.json → module with a FAMILY


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A model family: how its settings are read, and what its tensors are called."""

    read_spec: Callable[[Settings], DecoderSpec]
    names: Mapping[str, str]  # each dotted part of `Decoder.parameters`' names → the checkpoint's
    ignored: tuple[str, ...] = ()  # ends of names that a checkpoint may hold and we don't need

    def tensor_name(self, name: str) -> str:
        """Return the checkpoint's name for one of `Decoder.parameters`."""
        return ".".join(self.names.get(part, part) for part in name.split("."))


def find_family(architectures: Sequence[str]) -> Family:
    """Return the family of the first architecture that is known.

    Raises:
        ModelLoadError: none is; the message lists those that are.
    """
    for name in architectures:
        if name in ARCHITECTURES:
            family = import_module(ARCHITECTURES[name], __package__).FAMILY
            assert isinstance(family, Family)
            return family
    given = ", ".join(architectures) or "none named in config.json"
    known = ", ".join(sorted(ARCHITECTURES))
    raise ModelLoadError(f"architecture not supported: {given}; supported: {known}")
