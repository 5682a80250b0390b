"""gpt-oss: experts with a clamped gate, attention sinks, every second layer with a window.

Weights in MXFP4 are not read; a checkpoint of bf16 is.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from . import llama
from .registry import Family
from .settings import Settings
from .spec import MLP, DecoderSpec, Experts
from .weights import Target


def read_spec(settings: Settings) -> DecoderSpec:
    """Read config.json; see `llama.read_attention` for errors."""
    if settings.number("swiglu_alpha", 1.702) != 1.702:
        raise settings.error("swiglu_alpha", "is not supported; supported: 1.702")
    layer = llama.read_layer(settings, head_dim=64)
    attention = llama.read_attention(settings, theta=150_000.0, head_dim=64)
    has_bias = settings.flag("attention_bias", True)
    layer = replace(
        layer,
        attention=replace(attention, bias=has_bias, out_bias=has_bias, sinks=True),
        norm=llama.read_norm(settings, eps=1e-5),
        mlp=Experts(
            count=settings.integer(settings.known("num_local_experts", "num_experts")),
            chosen=settings.integer("num_experts_per_tok", 4),
            expert=MLP(
                intermediate=settings.integer("intermediate_size"),
                activation="quick_gelu",
                bias=True,
                clamp=settings.number("swiglu_limit", 7.0),
                up_offset=1.0,
            ),
            scores="softmax_of_chosen",
            router_bias=True,
        ),
    )
    layers = llama.repeated(settings, layer)
    types = ["sliding_attention", "full_attention"] * len(layers)
    windows = llama.read_windows(settings, types[: len(layers)])
    return llama.read_decoder(settings, llama.windowed(layers, windows))


def _taking_turns(part: Tensor, spec: DecoderSpec) -> Target:
    """Gate and up take turns in the checkpoint, which multiplies from the left: [E, in, 2 out]."""
    sides = part.view(len(part), 2, -1, *part.shape[2:])  # [E, 2, out, in] or [E, 2, out]
    view = sides.permute(0, 3, 2, 1) if sides.dim() == 4 else sides.transpose(1, 2)
    return Target(view, (*view.shape[:-2], view.shape[-2] * 2))


def _transposed(part: Tensor, spec: DecoderSpec) -> Target:
    return Target.whole(part.transpose(1, 2))


FAMILY = Family(
    read_spec=read_spec,
    names={
        **llama.NAMES,
        "gate_up.weight": "gate_up_proj",
        "gate_up.bias": "gate_up_proj_bias",
        "down.weight": "down_proj",
        "down.bias": "down_proj_bias",
    },
    ignored=llama.IGNORED,
    whole=("mlp",),
    places={
        "experts.gate_up.weight": _taking_turns,
        "experts.gate_up.bias": _taking_turns,
        "experts.down.weight": _transposed,
    },
)
