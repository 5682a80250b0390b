"""Qwen 2, 2.5 and 3, dense and with experts."""

from __future__ import annotations

from dataclasses import replace

from . import llama
from .registry import Family
from .settings import Settings
from .spec import MLP, DecoderSpec, Experts


def read_spec(settings: Settings) -> DecoderSpec:
    """Read config.json; see `llama.read_attention` for errors."""
    is_second = settings.text("model_type") == "qwen2"
    layer = llama.read_layer(settings, head_dim=None if is_second else 128)
    if is_second:
        attention = replace(layer.attention, bias=True, out_bias=False)
    else:
        attention = replace(layer.attention, qk_norm=layer.norm)
    count = settings.integer("num_hidden_layers")
    layers = [replace(layer, attention=attention, mlp=_mlp(settings, i)) for i in range(count)]
    return llama.read_decoder(settings, llama.windowed(layers, _windows(settings, count)))


def _windows(settings: Settings, count: int) -> list[int | None]:
    if not settings.flag("use_sliding_window", False):
        return [None] * count
    # The models with experts have the window in every layer; the dense ones from some layer on.
    first = 0 if _has_experts(settings) else settings.integer("max_window_layers", 28)
    types = ["sliding_attention" if i >= first else "full_attention" for i in range(count)]
    return llama.read_windows(settings, types)


def _has_experts(settings: Settings) -> bool:
    return settings.text("model_type") == "qwen3_moe"


def _mlp(settings: Settings, index: int) -> MLP | Experts:
    if (
        not _has_experts(settings)
        or index in settings.integers("mlp_only_layers")
        or (index + 1) % settings.integer("decoder_sparse_step", 1)
    ):
        return llama.read_mlp(settings)
    return Experts(
        count=settings.integer(settings.known("num_experts", "num_local_experts")),
        chosen=settings.integer("num_experts_per_tok"),
        expert=llama.read_mlp(settings, size="moe_intermediate_size"),
        normalised=settings.flag("norm_topk_prob", False),
    )


FAMILY = Family(read_spec=read_spec, names={**llama.NAMES, "router": "gate"}, ignored=llama.IGNORED)
