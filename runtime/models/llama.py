"""The Llama family: Llama 2 and 3.x, and the many models that were given its architecture.

Other families are made of the pieces here, with what they do differently.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..attention import Rule
from .layers import ACTIVATION_NAMES
from .registry import Family
from .rope import DEFAULT_THETA, Rope
from .settings import Settings
from .spec import MLP, AttentionSpec, DecoderSpec, LayerSpec, Norm


def read_attention(
    settings: Settings, *, theta: float = DEFAULT_THETA, head_dim: int | None = None
) -> AttentionSpec:
    """Read heads, rope and biases.

    Args:
        settings: of the model.
        theta: the family's default.
        head_dim: the family's default; None: the heads share the hidden width.

    Raises:
        ModelLoadError: a field is missing, or asks for what is not supported.
    """
    heads = settings.integer("num_attention_heads")
    kv_heads = settings.integer("num_key_value_heads", heads)
    if heads % kv_heads:
        raise settings.error("num_key_value_heads", f"must divide the {heads} attention heads")
    head_dim = settings.integer("head_dim", head_dim or settings.integer("hidden_size") // heads)
    bias = settings.flag("attention_bias", False)
    return AttentionSpec(
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        rule=Rule(scale=head_dim**-0.5),
        rope=Rope.read(settings, theta=theta),
        bias=bias,
        out_bias=bias,
    )


def read_norm(settings: Settings, eps: float = 1e-6) -> Norm:
    """Read the norm of all layers; `eps` is the family's default."""
    return Norm(eps=settings.number("rms_norm_eps", eps))


def read_mlp(
    settings: Settings,
    *,
    size: str = "intermediate_size",
    activation: str = "hidden_act",
    usual: str = "silu",
) -> MLP:
    """Read the gated MLP, from the fields of these names; `usual` is the family's activation."""
    name = settings.choice(activation, tuple(ACTIVATION_NAMES), usual)
    return MLP(
        intermediate=settings.integer(size),
        activation=ACTIVATION_NAMES[name],
        bias=settings.flag("mlp_bias", False),
    )


def read_layer(settings: Settings, *, head_dim: int | None = None) -> LayerSpec:
    """Read what Llama's layers are, all alike; see `read_attention`."""
    return LayerSpec(
        attention=read_attention(settings, head_dim=head_dim),
        mlp=read_mlp(settings),
        norm=read_norm(settings),
    )


def repeated(
    settings: Settings, layer: LayerSpec, *, field: str = "num_hidden_layers"
) -> tuple[LayerSpec, ...]:
    """Return as many of the layer as the field says."""
    return (layer,) * settings.integer(field)


def windowed(layers: Sequence[LayerSpec], windows: Sequence[int | None]) -> tuple[LayerSpec, ...]:
    """Return the layers with these windows."""
    return tuple(
        replace(
            layer,
            attention=replace(layer.attention, rule=replace(layer.attention.rule, window=window)),
        )
        for layer, window in zip(layers, windows, strict=True)
    )


def read_windows(settings: Settings, layer_types: Sequence[str]) -> list[int | None]:
    """Return each layer's window.

    Args:
        settings: of the model, whose own `layer_types` count where it has them.
        layer_types: the family's usual ones, "sliding_attention" and "full_attention".
    """
    types = settings.names("layer_types") or tuple(layer_types)
    if len(types) != settings.integer("num_hidden_layers"):
        raise settings.error("layer_types", "must name a type for each layer")
    unknown = set(types) - {"sliding_attention", "full_attention"}
    if unknown:
        raise settings.error("layer_types", f"has types that are not supported: {sorted(unknown)}")
    if "sliding_attention" not in types:
        return [None] * len(types)
    window = settings.integer("sliding_window")
    return [window if kind == "sliding_attention" else None for kind in types]


def read_decoder(
    settings: Settings, layers: Sequence[LayerSpec], *, tied: bool = False
) -> DecoderSpec:
    """Read what is around the layers; `tied` is the family's default."""
    positions = settings.integer("max_position_embeddings")
    ropes = [layer.attention.rope for layer in layers]
    return DecoderSpec(
        vocab_size=settings.integer("vocab_size"),
        hidden=settings.integer("hidden_size"),
        max_positions=max(rope.reach(positions) if rope else positions for rope in ropes),
        layers=tuple(layers),
        norm=layers[0].norm,
        tied_embeddings=settings.flag("tie_word_embeddings", tied),
    )


def read_spec(settings: Settings) -> DecoderSpec:
    """Read config.json; see `read_attention` for errors."""
    return read_decoder(settings, repeated(settings, read_layer(settings)))


NAMES = {
    "embedding": "model.embed_tokens",
    "layers": "model.layers",
    "attention_norm": "input_layernorm",
    "attention": "self_attn",
    "q": "q_proj",
    "k": "k_proj",
    "v": "v_proj",
    "out": "o_proj",
    "mlp_norm": "post_attention_layernorm",
    "gate": "gate_proj",
    "up": "up_proj",
    "down": "down_proj",
    "norm": "model.norm",
    "head": "lm_head",
}
# Buffers that old versions saved, which we compute; a head that is tied and saved all the same.
IGNORED = ("rotary_emb.inv_freq", "lm_head.weight")

FAMILY = Family(read_spec=read_spec, names=NAMES, ignored=IGNORED)
