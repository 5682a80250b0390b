"""The Llama family: Llama 2 and 3.x, and the many models that were given its architecture."""

from __future__ import annotations

from .decoder import DecoderSpec
from .registry import Family
from .rope import Rope
from .settings import Settings


def read_spec(settings: Settings) -> DecoderSpec:
    """Read config.json.

    Raises:
        ModelLoadError: a field is missing, or asks for what is not supported.
    """
    settings.choice("hidden_act", ("silu",), "silu")
    hidden, heads = settings.integer("hidden_size"), settings.integer("num_attention_heads")
    kv_heads = settings.integer("num_key_value_heads", heads)
    if heads % kv_heads:
        raise settings.error("num_key_value_heads", f"must divide the {heads} attention heads")
    return DecoderSpec(
        vocab_size=settings.integer("vocab_size"),
        hidden=hidden,
        layers=settings.integer("num_hidden_layers"),
        heads=heads,
        kv_heads=kv_heads,
        head_dim=settings.integer("head_dim", hidden // heads),
        intermediate=settings.integer("intermediate_size"),
        max_positions=settings.integer("max_position_embeddings"),
        rms_eps=settings.number("rms_norm_eps", 1e-6),
        rope=Rope.read(settings),
        tied_embeddings=settings.flag("tie_word_embeddings", False),
        attention_bias=settings.flag("attention_bias", False),
        mlp_bias=settings.flag("mlp_bias", False),
    )


FAMILY = Family(
    read_spec=read_spec,
    names={
        "embedding": "model.embed_tokens",
        "layers": "model.layers",
        "attention_norm": "input_layernorm",
        "q": "self_attn.q_proj",
        "k": "self_attn.k_proj",
        "v": "self_attn.v_proj",
        "out": "self_attn.o_proj",
        "mlp_norm": "post_attention_layernorm",
        "gate": "mlp.gate_proj",
        "up": "mlp.up_proj",
        "down": "mlp.down_proj",
        "norm": "model.norm",
        "head": "lm_head",
    },
    # Buffers that old versions saved, which we compute; a head that is tied and saved all the same.
    ignored=("rotary_emb.inv_freq", "lm_head.weight"),
)
