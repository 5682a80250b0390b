"""Mixtral: Mistral with experts."""

from __future__ import annotations

from dataclasses import replace

from . import llama
from .registry import Family
from .settings import Settings
from .spec import DecoderSpec, Experts


def read_spec(settings: Settings) -> DecoderSpec:
    """Read config.json; see `llama.read_attention` for errors."""
    layer = replace(
        llama.read_layer(settings),
        attention=llama.read_attention(settings, theta=1_000_000.0),
        norm=llama.read_norm(settings, eps=1e-5),
        mlp=Experts(
            count=settings.integer(settings.known("num_local_experts", "num_experts"), 8),
            chosen=settings.integer("num_experts_per_tok", 2),
            expert=llama.read_mlp(settings),
            normalised=True,
        ),
    )
    layers = llama.repeated(settings, layer)
    windows = [settings.integer_or_none("sliding_window")] * len(layers)
    return llama.read_decoder(settings, llama.windowed(layers, windows))


FAMILY = Family(
    read_spec=read_spec,
    names={
        **llama.NAMES,
        "mlp": "block_sparse_moe",
        "router": "gate",
        "gate": "w1",
        "up": "w3",
        "down": "w2",
    },
    ignored=llama.IGNORED,
)
