"""OPT: learned positions from the third row on, LayerNorm, ReLU MLP."""

from __future__ import annotations

from .layers import ACTIVATION_NAMES
from .learned import read_learned
from .registry import Family
from .settings import Settings
from .spec import DecoderSpec, LearnedPositions

FIRST_ROW = 2  # of the table of positions; those before it belonged to padding


def read_spec(settings: Settings) -> DecoderSpec:
    """Read config.json.

    Raises:
        ModelLoadError: a field is missing, or asks for what is not supported.
    """
    for name in ("do_layer_norm_before", "layer_norm_elementwise_affine"):
        if not settings.flag(name, True):
            raise settings.error(name, "is not supported; supported: true")
    if settings.flag("_remove_final_layer_norm", False):
        raise settings.error("_remove_final_layer_norm", "is not supported; supported: false")
    hidden, heads = settings.integer("hidden_size"), settings.integer("num_attention_heads")
    if settings.integer("word_embed_proj_dim", hidden) != hidden:
        raise settings.error("word_embed_proj_dim", f"is not supported; supported: {hidden}")
    positions = settings.integer("max_position_embeddings")
    activation = settings.choice("activation_function", tuple(ACTIVATION_NAMES), "relu")
    bias = settings.flag("enable_bias", True)
    return read_learned(
        settings,
        hidden=hidden,
        heads=heads,
        intermediate=settings.integer("ffn_dim"),
        activation=ACTIVATION_NAMES[activation],
        eps=1e-5,
        bias=bias,
        positions=LearnedPositions(rows=positions + FIRST_ROW, first=FIRST_ROW),
        max_positions=positions,
        layers="num_hidden_layers",
    )


FAMILY = Family(
    read_spec=read_spec,
    names={
        "embedding": "model.decoder.embed_tokens",
        "positions": "model.decoder.embed_positions",
        "layers": "model.decoder.layers",
        "attention_norm": "self_attn_layer_norm",
        "attention": "self_attn",
        "q": "q_proj",
        "k": "k_proj",
        "v": "v_proj",
        "out": "out_proj",
        "mlp_norm": "final_layer_norm",
        "mlp": "",
        "up": "fc1",
        "down": "fc2",
        "norm": "model.decoder.final_layer_norm",
        "head": "lm_head",
    },
    ignored=("lm_head.weight",),
)
