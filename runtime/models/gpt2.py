"""GPT-2: learned positions, LayerNorm, plain GELU MLP, and weights that lie transposed (Conv1D)."""

from __future__ import annotations

from torch import Tensor

from .layers import ACTIVATION_NAMES
from .learned import read_learned
from .registry import Family
from .settings import Settings
from .spec import DecoderSpec, LearnedPositions
from .weights import Target


def read_spec(settings: Settings) -> DecoderSpec:
    """Read config.json.

    Raises:
        ModelLoadError: a field is missing, or asks for what is not supported.
    """
    for name in ("scale_attn_by_inverse_layer_idx", "add_cross_attention"):
        if settings.flag(name, False):
            raise settings.error(name, "is not supported; supported: false")
    if not settings.flag("scale_attn_weights", True):
        raise settings.error("scale_attn_weights", "is not supported; supported: true")
    hidden, heads = settings.integer("n_embd"), settings.integer("n_head")
    positions = settings.integer("n_positions")
    activation = settings.choice("activation_function", tuple(ACTIVATION_NAMES), "gelu_new")
    return read_learned(
        settings,
        hidden=hidden,
        heads=heads,
        intermediate=settings.integer("n_inner", 4 * hidden),
        activation=ACTIVATION_NAMES[activation],
        eps=settings.number("layer_norm_epsilon", 1e-5),
        bias=True,
        positions=LearnedPositions(rows=positions),
        max_positions=positions,
        layers="n_layer",
    )


def _transposed(part: Tensor, spec: DecoderSpec) -> Target:
    return Target.whole(part.t())


FAMILY = Family(
    read_spec=read_spec,
    names={
        "embedding": "transformer.wte",
        "positions": "transformer.wpe",
        "layers": "transformer.h",
        "attention_norm": "ln_1",
        "attention": "attn",
        "qkv": "c_attn",
        "out": "c_proj",
        "mlp_norm": "ln_2",
        "up": "c_fc",
        "down": "c_proj",
        "norm": "transformer.ln_f",
        "head": "lm_head",
    },
    base="transformer.",
    ignored=("attn.bias", "attn.masked_bias", "lm_head.weight"),
    whole=("attention",),
    places=dict.fromkeys(("qkv.weight", "out.weight", "up.weight", "down.weight"), _transposed),
)
