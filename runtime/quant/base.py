"""What a linear layer holds, and what makes it of a checkpoint's numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor
from torch.nn import functional as F


class Weight(Protocol):
    """The [out, in] numbers of a linear layer, in some form."""

    @property
    def form(self) -> str:
        """What the form is called where it is told how a model is held."""
        ...

    @property
    def nbytes(self) -> int:
        """What it takes in memory."""
        ...

    def multiply(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """Return x W^T + b, [T, out], of [T, in]; both in the model's dtype."""
        ...

    def rows(self, index: Tensor) -> Tensor:
        """Return the rows at `index` [N] i64 as plain numbers, [N, in] in the model's dtype."""
        ...


class Method(Protocol):
    """What becomes of a weight once a checkpoint's numbers are there."""

    def hold(self, weight: Tensor) -> Weight:
        """Return a weight that keeps nothing of `weight`, [out, in] in the model's dtype."""
        ...


@dataclass(frozen=True, slots=True)
class Plain:
    """The numbers themselves."""

    values: Tensor  # [out, in]

    @property
    def form(self) -> str:
        """See `Weight`."""
        return str(self.values.dtype).removeprefix("torch.")

    @property
    def nbytes(self) -> int:
        """See `Weight`."""
        return self.values.nbytes

    def multiply(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """See `Weight`."""
        return F.linear(x, self.values, bias)

    def rows(self, index: Tensor) -> Tensor:
        """See `Weight`."""
        return self.values.index_select(0, index)
