"""SmolLM 3: Llama without positions in every fourth layer. (SmolLM 1 and 2 are Llama.)"""

from __future__ import annotations

from dataclasses import replace

from . import llama
from .registry import Family
from .settings import Settings
from .spec import DecoderSpec


def read_spec(settings: Settings) -> DecoderSpec:
    """Read config.json; see `llama.read_attention` for errors."""
    layer = llama.read_layer(settings)
    turned = llama.read_attention(settings, theta=2_000_000.0)
    count = settings.integer("num_hidden_layers")
    period = settings.integer("no_rope_layer_interval", 4)
    usual = tuple(int(index % period != 0) for index in range(1, count + 1))
    rotated = settings.integers("no_rope_layers") or usual  # 1: the layer has a rope
    if len(rotated) != count:
        raise settings.error("no_rope_layers", "must say 0 or 1 for each layer")
    layers = [
        replace(layer, attention=turned if has_rope else replace(turned, rope=None))
        for has_rope in rotated
    ]
    windows: list[int | None] = [None] * count
    if settings.flag("use_sliding_window", False) and settings.integer_or_none("sliding_window"):
        types = ["full_attention" if has_rope else "sliding_attention" for has_rope in rotated]
        windows = llama.read_windows(settings, types)
    return llama.read_decoder(settings, llama.windowed(layers, windows), tied=True)


FAMILY = Family(read_spec=read_spec, names=llama.NAMES, ignored=llama.IGNORED)
