"""OLMo 2: Llama with norms after each block, and over all queries and all keys."""

from __future__ import annotations

from dataclasses import replace

from . import llama
from .registry import Family
from .settings import Settings
from .spec import DecoderSpec


def read_spec(settings: Settings) -> DecoderSpec:
    """Read config.json; see `llama.read_attention` for errors."""
    layer = llama.read_layer(settings)
    norm = llama.read_norm(settings, eps=1e-5)
    attention = replace(layer.attention, qk_norm=norm, qk_norm_width="all")
    layer = replace(layer, attention=attention, norm=norm, norms="after")
    return llama.read_decoder(settings, llama.repeated(settings, layer))


FAMILY = Family(
    read_spec=read_spec,
    names={
        **llama.NAMES,
        "attention_post_norm": "post_attention_layernorm",
        "mlp_post_norm": "post_feedforward_layernorm",
    },
    ignored=llama.IGNORED,
)
