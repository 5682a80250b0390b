"""One decoder for all families: what they differ in is data, see `spec.py`.

Plain tensors instead of `nn.Module`: there is no training here, and a module's call costs 2 µs
and more of a pass whose layers take 100 µs. Projections of one input are fused into one matrix;
checkpoints are copied into views of its rows, so that nothing is held twice while loading.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

import torch
from torch import Tensor

from ..attention import Attention
from ..quant import Scheme
from .layers import Inserted, LayerNorm, RMSNorm, Storage
from .mlp import Dense, Mixture
from .rope import Rotation, rotation
from .self_attention import LatentAttention, SelfAttention
from .spec import DecoderSpec, Experts, LayerSpec


class Layer:
    """Attention and MLP, each added to the hidden states."""

    def __init__(self, spec: LayerSpec, hidden: int, storage: Storage) -> None:
        attention = LatentAttention if spec.attention.latent else SelfAttention
        self.attention = attention(spec.attention, hidden, storage)
        self.mlp: Dense | Mixture = (
            Mixture(spec.mlp, hidden, storage)
            if isinstance(spec.mlp, Experts)
            else Dense(spec.mlp, hidden, storage)
        )

        def norm(places: Collection[str]) -> RMSNorm | LayerNorm | None:
            return storage.norm(hidden, spec.norm) if spec.norms in places else None

        self.attention_norm = norm(("before", "around"))
        self.mlp_norm = norm(("before", "around"))
        self.attention_post_norm = norm(("after", "around"))
        self.mlp_post_norm = norm(("after", "around"))

    def __call__(
        self, hidden: Tensor, rotation: Rotation | None, attention: Attention, index: int
    ) -> Tensor:
        """Return the hidden states after this layer, [T, hidden], as those before it."""
        x = hidden if self.attention_norm is None else self.attention_norm(hidden)
        x = self.attention(x, rotation, attention, index)
        hidden = hidden + (x if self.attention_post_norm is None else self.attention_post_norm(x))
        x = hidden if self.mlp_norm is None else self.mlp_norm(hidden)
        x = self.mlp(x)
        return hidden + (x if self.mlp_post_norm is None else self.mlp_post_norm(x))

    def parameters(self, whole: Collection[str] = ()) -> dict[str, Tensor]:
        """Return the layer's tensors by the names that `Decoder.parameters` explains."""
        named: dict[str, Tensor] = {}
        for name in ("attention_norm", "attention_post_norm", "mlp_norm", "mlp_post_norm"):
            norm: RMSNorm | LayerNorm | None = getattr(self, name)
            if norm is not None:
                named |= norm.parameters(name)
        parts = self.attention.parameters(whole="attention" in whole)
        named |= {f"attention.{name}": part for name, part in parts.items()}
        return named | {
            f"mlp.{name}": part for name, part in self.mlp.parameters("mlp" in whole).items()
        }


class Decoder:
    """A decoder with room for its weights, which are to be filled in through `parameters`."""

    def __init__(
        self,
        spec: DecoderSpec,
        dtype: torch.dtype,
        device: torch.device,
        scheme: Scheme | None = None,
    ) -> None:
        self.spec = spec
        self.dtype = dtype
        self.device = device
        storage = Storage(dtype, device, scheme)
        self.gatherings = storage.gatherings
        self._held = storage.held
        self.head = storage.head(spec.vocab_size, spec.hidden)
        self.embedding = (  # [vocab, hidden], or None: the head's weight
            None if spec.tied_embeddings else storage.empty(spec.vocab_size, spec.hidden)
        )
        # Rounded to the model's type, as Gemma was trained.
        self._embedding_scale = float(torch.tensor(spec.embedding_scale, dtype=dtype))
        learned = spec.learned_positions
        self.positions = storage.empty(learned.rows, spec.hidden) if learned else None
        self.layers = [Layer(layer, spec.hidden, storage) for layer in spec.layers]
        self.norm = storage.norm(spec.hidden, spec.norm)
        ropes = [layer.attention.rope for layer in spec.layers]
        self.ropes = list(dict.fromkeys(rope for rope in ropes if rope))
        self._rope_of = [self.ropes.index(rope) if rope else None for rope in ropes]
        self.frequencies = [  # [rotated / 2] f32, of each rope
            rope.frequencies(spec.rotary_dim, spec.max_positions).to(device) for rope in self.ropes
        ]

    def __call__(
        self,
        tokens: Tensor,
        positions: Tensor,
        wanted: Tensor,
        attention: Attention,
        inserted: Inserted | None = None,
    ) -> Tensor:
        """Run one pass; `attention` is planned for it already.

        Args:
            tokens: [T] i64.
            positions: [T] i64, of each token in its own sequence.
            wanted: [W] i64, the tokens of the pass after which logits are wanted.
            attention: writes this pass's keys and values, and reads all.
            inserted: embeddings that stand where tokens are placeholders.

        Returns:
            [W, vocab] f32; only the wanted go through the head.
        """
        states = self._states(tokens, positions, wanted, attention, inserted)
        logits = self.head(states).float()
        cap = self.spec.logit_softcap
        return logits if cap is None else logits.div_(cap).tanh_().mul_(cap)

    def states(
        self, tokens: Tensor, positions: Tensor, wanted: Tensor, attention: Attention
    ) -> Tensor:
        """Run one pass as a call does, without the head.

        Returns:
            [W, hidden] f32: what the head would get.
        """
        return self._states(tokens, positions, wanted, attention).float()

    def _states(
        self,
        tokens: Tensor,
        positions: Tensor,
        wanted: Tensor,
        attention: Attention,
        inserted: Inserted | None = None,
    ) -> Tensor:
        hidden = self._embedded(tokens, positions, inserted)
        rotations = [
            rotation(positions, frequencies, rope, self.dtype)
            for rope, frequencies in zip(self.ropes, self.frequencies, strict=True)
        ]
        for index, (layer, rope) in enumerate(zip(self.layers, self._rope_of, strict=True)):
            hidden = layer(hidden, None if rope is None else rotations[rope], attention, index)
        return self.norm(hidden.index_select(0, wanted))

    def _embedded(self, tokens: Tensor, positions: Tensor, inserted: Inserted | None) -> Tensor:
        """Return the hidden states before the first layer, [T, hidden]."""
        spec = self.spec
        if self.embedding is None:
            hidden = self.head.weight.rows(tokens)
        else:
            hidden = self.embedding.index_select(0, tokens)
        if self._embedding_scale != 1.0:
            hidden = hidden * self._embedding_scale
        if inserted is not None:  # not scaled: they are made to stand beside scaled ones
            hidden = hidden.index_copy(0, inserted.places, inserted.rows.to(hidden.dtype))
        if self.positions is not None and spec.learned_positions is not None:
            rows = positions + spec.learned_positions.first
            hidden = hidden + self.positions.index_select(0, rows)
        return hidden

    @property
    def weight_bytes(self) -> int:
        """What the weights take in memory, once they are filled in."""
        plain = sum(part.nbytes for part in self.parameters().values() if not part.is_meta)
        return plain + sum(nbytes for _, nbytes in self._held)

    @property
    def forms(self) -> Counter[str]:
        """In which forms a scheme has held matrices, and how many of them in each."""
        return Counter(form for form, _ in self._held)

    def parameters(self, whole: Collection[str] = ()) -> dict[str, Tensor]:
        """Return every tensor that a checkpoint must hold, as the view that it is copied into.

        The names are ours: `embedding.weight`, `positions.weight`, `layers.<n>.<part>.weight` and
        `.bias`, `norm.weight`, and `head.weight` unless it is tied. Parts of a layer are
        `attention_norm`, `mlp_norm` and `…_post_norm`, `attention.{q,k,v,out,…}`,
        `mlp.{gate,up,down}` or `mlp.{router,shared.…,experts.<e>.…}`. A family maps them to its
        own.

        Args:
            whole: which blocks, of `attention` and `mlp`, the checkpoint holds fused as we do: one
                `qkv`, one `gate_up`, all experts in one tensor.
        """
        embedding = self.head.room if self.embedding is None else self.embedding
        named = {"embedding.weight": embedding, **self.norm.parameters("norm")}
        if self.positions is not None:
            named["positions.weight"] = self.positions
        for index, layer in enumerate(self.layers):
            parts = layer.parameters(whole)
            named |= {f"layers.{index}.{name}": part for name, part in parts.items()}
        if self.embedding is not None:
            named["head.weight"] = self.head.room
        return named
