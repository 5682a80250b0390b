"""Mistral: Llama with a window over all layers."""

from __future__ import annotations

from . import llama
from .registry import Family
from .settings import Settings
from .spec import DecoderSpec


def read_spec(settings: Settings) -> DecoderSpec:
    """Read config.json; see `llama.read_attention` for errors."""
    layers = llama.repeated(settings, llama.read_layer(settings))
    windows = [settings.integer_or_none("sliding_window", 4096)] * len(layers)
    return llama.read_decoder(settings, llama.windowed(layers, windows))


FAMILY = Family(read_spec=read_spec, names=llama.NAMES, ignored=llama.IGNORED)
