"""What computes a pass, whether compiled or in torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from torch import Tensor

from ..attention import Attention, Layout
from ..models.decoder import Decoder
from ..models.layers import Inserted

if TYPE_CHECKING:
    from ..models.foreign import ForeignModel


class Compute(Protocol):
    """A decoder with its pool. Arguments and results are those of `Decoder`."""

    @property
    def weight_bytes(self) -> int:
        """What the weights take in memory."""
        ...

    def __call__(
        self,
        tokens: Tensor,
        positions: Tensor,
        wanted: Tensor,
        layout: Layout,
        inserted: Inserted | None = None,
    ) -> Tensor:
        """Run a pass for logits."""
        ...

    def states(self, tokens: Tensor, positions: Tensor, wanted: Tensor, layout: Layout) -> Tensor:
        """Run a pass for hidden states."""
        ...


class PlainDecoder:
    """A model in torch, with an attention over the pool."""

    def __init__(self, model: Decoder | ForeignModel, attention: Attention) -> None:
        self._model = model
        self._attention = attention

    @property
    def weight_bytes(self) -> int:
        """See `Compute`."""
        return self._model.weight_bytes

    def __call__(
        self,
        tokens: Tensor,
        positions: Tensor,
        wanted: Tensor,
        layout: Layout,
        inserted: Inserted | None = None,
    ) -> Tensor:
        """See `Compute`."""
        self._attention.plan(layout)
        if inserted is None:
            return self._model(tokens, positions, wanted, self._attention)
        assert isinstance(self._model, Decoder), "no other is loaded with a vision tower"
        return self._model(tokens, positions, wanted, self._attention, inserted)

    def states(self, tokens: Tensor, positions: Tensor, wanted: Tensor, layout: Layout) -> Tensor:
        """See `Compute`."""
        self._attention.plan(layout)
        return self._model.states(tokens, positions, wanted, self._attention)
