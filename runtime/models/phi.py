"""Phi 3, 3.5 and 4: Llama with fused projections, LongRoPE, and a part of each head rotated."""

from __future__ import annotations

from . import llama
from .registry import Family
from .settings import Settings
from .spec import DecoderSpec


def read_spec(settings: Settings) -> DecoderSpec:
    """Read config.json; see `llama.read_attention` for errors."""
    layers = llama.repeated(settings, llama.read_layer(settings))
    windows = [settings.integer_or_none("sliding_window")] * len(layers)
    return llama.read_decoder(settings, llama.windowed(layers, windows))


FAMILY = Family(
    read_spec=read_spec,
    names={**llama.NAMES, "qkv": "qkv_proj", "gate_up": "gate_up_proj"},
    ignored=llama.IGNORED,
    whole=("attention", "mlp"),
)
