"""What a decoder is made of, as data: families differ in these values, the code is the same.

DecoderSpec: tokens to logits
└── LayerSpec, one a layer
    ├── AttentionSpec: heads, biases, norms of queries and keys, rope, window, soft cap, sinks
    │   └── Latent: keys and values compressed together (MLA)
    └── MLP, or Experts of which a router chooses a few for each token
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

from ..attention import Rule
from .rope import Rope


@dataclass(frozen=True, slots=True, kw_only=True)
class Norm:
    """A normalisation over the last dimension."""

    eps: float
    kind: Literal["rms", "layer"] = "rms"  # "layer" has a bias
    offset: float = 0.0  # added to the weight, which Gemma stores less one


@dataclass(frozen=True, slots=True, kw_only=True)
class Latent:
    """Multi-head latent attention: all heads' keys and values come from one narrow vector.

    The pool holds that vector and one rotated key that all heads share. Source: DeepSeek-V2
    (arXiv:2405.04434), section 2.1.
    """

    rank: int  # width of the vector that keys and values come from
    rotated: int  # dimensions of a head that carry the position
    value_dim: int  # of a head
    query_rank: int | None  # queries come from a vector of this width; None: from the input
    norm: Norm


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionSpec:
    """Self-attention of one layer."""

    heads: int
    kv_heads: int
    head_dim: int  # of queries and keys; of values too, but for `latent`
    rule: Rule  # how queries score keys
    rope: Rope | None = None  # None: positions are not in the heads
    bias: bool = False  # on queries, keys and values
    out_bias: bool = False
    qk_norm: Norm | None = None  # RMS, before the rotation
    qk_norm_width: Literal["head", "all"] = "head"  # one weight for every head, or over all heads
    sinks: bool = False  # a learned score a head, which takes weight and gives no value
    latent: Latent | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MLP:
    """down(act(gate(x)) * up(x)), or down(act(up(x)))."""

    intermediate: int
    activation: str = "silu"  # a key of `layers.ACTIVATIONS`
    gated: bool = True
    bias: bool = False
    clamp: float | None = None  # bounds the gate from above and up from both sides
    up_offset: float = 0.0  # added to up


@dataclass(frozen=True, slots=True, kw_only=True)
class Experts:
    """A mixture: a router gives each token to the few experts that score highest."""

    count: int
    chosen: int  # experts a token
    expert: MLP
    scores: Literal["softmax", "softmax_of_chosen"] = "softmax"
    normalised: bool = False  # the weights of the chosen are made to sum to 1
    router_bias: bool = False
    scale: float = 1.0  # of the experts' weights
    groups: int = 1  # experts lie in as many groups, of which the best `chosen_groups` take part
    chosen_groups: int = 1
    shared: MLP | None = None  # an expert that every token goes through


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSpec:
    """Attention, then an MLP, each added to the hidden states."""

    attention: AttentionSpec
    mlp: MLP | Experts
    norm: Norm
    norms: Literal["before", "after", "around"] = "before"  # where a block is normalised


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedPositions:
    """A table of position embeddings, added to those of the tokens."""

    rows: int
    first: int = 0  # row of position 0


class Shape(Protocol):
    """What the runtime knows of any model: how wide its logits and the slots of its pool are."""

    @property
    def vocab_size(self) -> int:
        """Width of the logits."""
        ...

    @property
    def max_positions(self) -> int:
        """The longest sequence."""
        ...

    @property
    def rules(self) -> tuple[Rule, ...]:
        """How each layer's queries score keys."""
        ...

    @property
    def kv_heads(self) -> int:
        """Heads of a slot of the KV pool."""
        ...

    @property
    def key_dim(self) -> int:
        """Width of a key in the pool."""
        ...

    @property
    def value_dim(self) -> int:
        """Width of a value in the pool."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderSpec:
    """The shape of a decoder; a family reads it from its checkpoint's settings."""

    vocab_size: int
    hidden: int
    max_positions: int  # the longest sequence, to which rotary scaling is set
    layers: tuple[LayerSpec, ...] = field(repr=False)
    norm: Norm  # before the head
    tied_embeddings: bool  # the head is the embedding
    embedding_scale: float = 1.0
    learned_positions: LearnedPositions | None = None
    logit_softcap: float | None = None

    @property
    def rules(self) -> tuple[Rule, ...]:
        """How each layer's queries score keys."""
        return tuple(layer.attention.rule for layer in self.layers)

    @property
    def rotary_dim(self) -> int:
        """Dimensions of a head of which a rope rotates its share."""
        attention = self.layers[0].attention
        return attention.latent.rotated if attention.latent else attention.head_dim

    @property
    def kv_heads(self) -> int:
        """Heads of a slot of the KV pool."""
        attention = self.layers[0].attention
        return 1 if attention.latent else attention.kv_heads

    @property
    def key_dim(self) -> int:
        """Width of a key in the pool."""
        attention = self.layers[0].attention
        latent = attention.latent
        return latent.rank + latent.rotated if latent else attention.head_dim

    @property
    def value_dim(self) -> int:
        """Width of a value in the pool."""
        attention = self.layers[0].attention
        return attention.latent.rank if attention.latent else attention.head_dim
