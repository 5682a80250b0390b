"""The decoder of before rotary positions, which GPT-2 and OPT share: learned ones and LayerNorm."""

from __future__ import annotations

from ..attention import Rule
from .llama import repeated
from .settings import Settings
from .spec import MLP, AttentionSpec, DecoderSpec, LayerSpec, LearnedPositions, Norm


def read_learned(
    settings: Settings,
    *,
    hidden: int,
    heads: int,
    intermediate: int,
    activation: str,
    eps: float,
    bias: bool,
    positions: LearnedPositions,
    max_positions: int,
    layers: str,
) -> DecoderSpec:
    """Describe it.

    Args:
        settings: config.json, for what all families call alike.
        hidden: width.
        heads: as many for keys and values as for queries.
        intermediate: width of the MLP, which has no gate.
        activation: between its two layers, a key of `layers.ACTIVATIONS`.
        eps: of LayerNorm.
        bias: whether every linear layer has one.
        positions: the table.
        max_positions: of a sequence.
        layers: the field that counts the layers.

    Raises:
        ModelLoadError: a field is missing, or asks for what is not supported.
    """
    norm = Norm(kind="layer", eps=eps)
    width = hidden // heads
    layer = LayerSpec(
        attention=AttentionSpec(
            heads=heads,
            kv_heads=heads,
            head_dim=width,
            rule=Rule(scale=width**-0.5),
            bias=bias,
            out_bias=bias,
        ),
        mlp=MLP(intermediate=intermediate, activation=activation, gated=False, bias=bias),
        norm=norm,
    )
    return DecoderSpec(
        vocab_size=settings.integer("vocab_size"),
        hidden=hidden,
        max_positions=max_positions,
        layers=repeated(settings, layer, field=layers),
        norm=norm,
        tied_embeddings=settings.flag("tie_word_embeddings", True),
        learned_positions=positions,
    )
