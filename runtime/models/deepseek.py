"""DeepSeek-V2 and V2-Lite: latent attention, and experts beside a shared one."""

from __future__ import annotations

import math
from dataclasses import replace

from ..attention import Rule
from . import llama
from .registry import Family
from .rope import Rope
from .settings import Settings
from .spec import MLP, AttentionSpec, DecoderSpec, Experts, Latent, Norm


def read_spec(settings: Settings) -> DecoderSpec:
    """Read config.json; see `llama.read_attention` for errors."""
    layer = replace(llama.read_layer(settings), attention=_attention(settings))
    count = settings.integer("num_hidden_layers")
    dense = min(settings.count("first_k_dense_replace", 0), count)
    experts = replace(layer, mlp=_experts(settings))
    return llama.read_decoder(settings, [layer] * dense + [experts] * (count - dense))


def _attention(settings: Settings) -> AttentionSpec:
    rotated = settings.integer("qk_rope_head_dim")
    head_dim = settings.integer("qk_nope_head_dim") + rotated
    heads = settings.integer("num_attention_heads")
    bias = settings.flag("attention_bias", False)
    return AttentionSpec(
        heads=heads,
        kv_heads=heads,
        head_dim=head_dim,
        rule=Rule(scale=head_dim**-0.5 * _stretch(settings) ** 2),
        rope=replace(Rope.read(settings), neighbours=True),
        bias=bias,
        out_bias=bias,
        latent=Latent(
            rank=settings.integer("kv_lora_rank"),
            rotated=rotated,
            value_dim=settings.integer("v_head_dim"),
            query_rank=settings.integer_or_none("q_lora_rank", 1536),
            norm=Norm(eps=1e-6),
        ),
    )


def _stretch(settings: Settings) -> float:
    """Return what YaRN multiplies queries and keys with, here in the scale of the scores."""
    rope = settings.section("rope_parameters") or settings.section("rope_scaling")
    weight = rope.number_or_none("mscale_all_dim") if rope else None
    if rope is None or weight is None:
        return 1.0
    factor = rope.number("factor", 1.0)
    return 0.1 * weight * math.log(factor) + 1.0 if factor > 1 else 1.0


def _experts(settings: Settings) -> Experts:
    method = settings.choice("topk_method", ("greedy", "group_limited_greedy"), "greedy")
    is_grouped = method == "group_limited_greedy"
    size = settings.integer("moe_intermediate_size")
    return Experts(
        count=settings.integer(
            settings.known("n_routed_experts", "num_experts", "num_local_experts")
        ),
        chosen=settings.integer("num_experts_per_tok"),
        expert=MLP(intermediate=size),
        scale=settings.number("routed_scaling_factor", 1.0),
        groups=settings.integer("n_group") if is_grouped else 1,
        chosen_groups=settings.integer("topk_group") if is_grouped else 1,
        shared=MLP(intermediate=size * settings.integer("n_shared_experts", 2)),
    )


FAMILY = Family(
    read_spec=read_spec,
    names={
        **llama.NAMES,
        "q_down": "q_a_proj",
        "q_norm": "q_a_layernorm",
        "q_up": "q_b_proj",
        "kv_down": "kv_a_proj_with_mqa",
        "kv_norm": "kv_a_layernorm",
        "kv_up": "kv_b_proj",
        "router": "gate",
        "shared": "shared_experts",
    },
    ignored=llama.IGNORED,
)
