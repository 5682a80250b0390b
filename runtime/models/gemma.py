"""Gemma 2 and 3 (text): alternating windows, norms around each block, soft caps or QK norms."""

from __future__ import annotations

from dataclasses import replace

from . import llama
from .registry import Family
from .rope import Rope
from .settings import Settings
from .spec import AttentionSpec, DecoderSpec


def read_spec(settings: Settings) -> DecoderSpec:
    """Read config.json; see `llama.read_attention` for errors."""
    if settings.flag("use_bidirectional_attention", False):
        raise settings.error("use_bidirectional_attention", "is not supported; supported: false")
    is_second = settings.text("model_type") == "gemma2"
    layer = llama.read_layer(settings, head_dim=256)
    norm = replace(layer.norm, offset=1.0)
    rule = replace(
        layer.attention.rule,
        scale=settings.number("query_pre_attn_scalar", 256) ** -0.5,
        softcap=settings.number_or_none("attn_logit_softcapping", 50.0 if is_second else None),
    )
    layer = replace(
        layer,
        attention=replace(layer.attention, rule=rule, qk_norm=None if is_second else norm),
        mlp=llama.read_mlp(settings, activation="hidden_activation", usual="gelu_pytorch_tanh"),
        norm=norm,
        norms="around",
    )
    count = settings.integer("num_hidden_layers")
    # Gemma 2: every second layer sees everything; Gemma 3: every sixth.
    period = settings.integer("sliding_window_pattern", 2 if is_second else 6)
    types = ["sliding_attention" if i % period else "full_attention" for i in range(1, count + 1)]
    layers = llama.windowed([layer] * count, llama.read_windows(settings, types))
    if not is_second:
        layers = tuple(
            replace(layer, attention=_turned(settings, layer.attention)) for layer in layers
        )
    return replace(
        llama.read_decoder(settings, layers, tied=True),
        embedding_scale=settings.integer("hidden_size") ** 0.5,
        logit_softcap=settings.number_or_none(
            "final_logit_softcapping", 30.0 if is_second else None
        ),
    )


def _turned(settings: Settings, attention: AttentionSpec) -> AttentionSpec:
    """Give Gemma 3's attention the rope of its kind of layer: only full ones are scaled."""
    if attention.rule.window is None:
        rope = Rope.read(settings, theta=1_000_000.0, layers="full_attention")
    elif settings.section("rope_parameters"):
        rope = Rope.read(settings, layers="sliding_attention")
    else:
        rope = Rope(theta=settings.number("rope_local_base_freq", 10_000.0))
    return replace(attention, rope=rope)


FAMILY = Family(
    read_spec=read_spec,
    names={
        **llama.NAMES,
        "attention_post_norm": "post_attention_layernorm",
        "mlp_norm": "pre_feedforward_layernorm",
        "mlp_post_norm": "post_feedforward_layernorm",
    },
    ignored=llama.IGNORED,
)
