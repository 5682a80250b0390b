"""One decoder for the dense families: pre-norm, rotary, grouped-query attention, gated MLP.

Plain tensors instead of `nn.Module`: there is no training here, and a module's call costs 2 µs
and more of a pass whose layers take 100 µs. Projections of one input are fused into one matrix;
checkpoints are copied into views of its rows, so that nothing is held twice while loading.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..attention import Attention
from .layers import Linear, RMSNorm, gated_silu
from .rope import Rope, rotate, rotation


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderSpec:
    """The shape of a decoder; a family reads it from its checkpoint's settings."""

    vocab_size: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    max_positions: int
    rms_eps: float
    rope: Rope
    tied_embeddings: bool  # the head is the embedding
    attention_bias: bool = False  # on q, k, v and the output
    mlp_bias: bool = False


class Layer:
    """Attention and MLP, each added to the hidden states that it normalises first."""

    def __init__(self, spec: DecoderSpec, dtype: torch.dtype, device: torch.device) -> None:
        self._sizes = {
            "q": spec.heads * spec.head_dim,
            "k": spec.kv_heads * spec.head_dim,
            "v": spec.kv_heads * spec.head_dim,
        }
        self._heads = [spec.heads, spec.kv_heads]
        self._head_dim = spec.head_dim

        def norm() -> RMSNorm:
            return RMSNorm(torch.empty(spec.hidden, dtype=dtype, device=device), spec.rms_eps)

        def linear(out: int, inp: int, bias: bool) -> Linear:
            return Linear.empty(out, inp, bias=bias, dtype=dtype, device=device)

        self.attention_norm, self.mlp_norm = norm(), norm()
        self.qkv = linear(sum(self._sizes.values()), spec.hidden, spec.attention_bias)
        self.out = linear(spec.hidden, self._sizes["q"], spec.attention_bias)
        self.gate_up = linear(2 * spec.intermediate, spec.hidden, spec.mlp_bias)
        self.down = linear(spec.hidden, spec.intermediate, spec.mlp_bias)

    def __call__(
        self, hidden: Tensor, cos: Tensor, sin: Tensor, attention: Attention, index: int
    ) -> Tensor:
        """Return the hidden states after this layer, [T, hidden], as those before it."""
        qkv = self.qkv(self.attention_norm(hidden)).view(len(hidden), -1, self._head_dim)
        rotating, values = qkv.split_with_sizes([sum(self._heads), self._heads[1]], 1)
        queries, keys = rotate(rotating, cos, sin).split_with_sizes(self._heads, 1)
        attention.write(index, keys, values)
        attended = attention.attend(index, queries).view(len(hidden), -1)
        hidden = hidden + self.out(attended)
        return hidden + self.down(gated_silu(self.gate_up(self.mlp_norm(hidden))))

    def parameters(self) -> dict[str, Tensor]:
        """Return the layer's tensors by the names that `Decoder.parameters` explains."""
        half, width = self.gate_up.weight.shape[0] // 2, self.out.weight.shape[0]
        return {
            "attention_norm.weight": self.attention_norm.weight,
            **self.qkv.parts(**self._sizes),
            **self.out.parts(out=width),
            "mlp_norm.weight": self.mlp_norm.weight,
            **self.gate_up.parts(gate=half, up=half),
            **self.down.parts(down=width),
        }


class Decoder:
    """A decoder with room for its weights, which are to be filled in through `parameters`."""

    def __init__(self, spec: DecoderSpec, dtype: torch.dtype, device: torch.device) -> None:
        self.spec = spec
        self.dtype = dtype
        self.device = device
        self.head = Linear.empty(
            spec.vocab_size, spec.hidden, bias=False, dtype=dtype, device=device
        )
        self.embedding = (  # [vocab, hidden]
            self.head.weight
            if spec.tied_embeddings
            else torch.empty(spec.vocab_size, spec.hidden, dtype=dtype, device=device)
        )
        self.layers = [Layer(spec, dtype, device) for _ in range(spec.layers)]
        self.norm = RMSNorm(torch.empty(spec.hidden, dtype=dtype, device=device), spec.rms_eps)
        self.frequencies = spec.rope.frequencies(spec.head_dim).to(device)

    def __call__(
        self, tokens: Tensor, positions: Tensor, wanted: Tensor, attention: Attention
    ) -> Tensor:
        """Run one pass; `attention` is planned for it already.

        Args:
            tokens: [T] i64.
            positions: [T] i64, of each token in its own sequence.
            wanted: [W] i64, the tokens of the pass after which logits are wanted.
            attention: writes this pass's keys and values, and reads all.

        Returns:
            [W, vocab] f32; only the wanted go through the head.
        """
        hidden = self.embedding.index_select(0, tokens)
        cos, sin = rotation(positions, self.frequencies, self.dtype)
        for index, layer in enumerate(self.layers):
            hidden = layer(hidden, cos, sin, attention, index)
        return self.head(self.norm(hidden.index_select(0, wanted))).float()

    def parameters(self) -> dict[str, Tensor]:
        """Return every tensor that a checkpoint must hold, as the view that it is copied into.

        The names are ours: `embedding.weight`, `layers.<n>.<part>.weight` and `.bias` with the
        parts `attention_norm q k v out mlp_norm gate up down`, `norm.weight`, and `head.weight`
        unless it is tied. A family maps them to its own.
        """
        named = {"embedding.weight": self.embedding, "norm.weight": self.norm.weight}
        for index, layer in enumerate(self.layers):
            named |= {f"layers.{index}.{name}": part for name, part in layer.parameters().items()}
        if not self.spec.tied_embeddings:
            named["head.weight"] = self.head.weight
        return named
