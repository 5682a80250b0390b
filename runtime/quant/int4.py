"""Weights of 4 bits: each group of a row's inputs a scale, a lowest value and numbers from 0 to 15.

Activations stay what they are ("weight-only"). The form is that of torch's and torchao's kernels,
but for the lowest value, which they keep as the value of the number 8.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from .base import Weight
from .int8 import Int8Method, rounded_up, rows_at_once

GROUPS = (128, 64, 32)  # inputs that share a scale; the first that divides the inputs is taken
MAX_CODE = 15


@dataclass(frozen=True, slots=True)
class Int4:
    """A weight W[o, i] = codes[o, i] * scales[o, i / group] + lowest[o, i / group]."""

    codes: Tensor  # [out, in / 2] u8: an even input in the low half of a byte, the next in the high
    scales: Tensor  # [out, in / group] of the model's dtype
    lowest: Tensor  # likewise

    @property
    def form(self) -> str:
        """See `Weight`."""
        return f"int4 in groups of {self.group}"

    @property
    def group(self) -> int:
        """How many inputs share a scale."""
        return 2 * self.codes.shape[1] // self.scales.shape[1]

    @property
    def nbytes(self) -> int:
        """See `Weight`."""
        return self.codes.nbytes + self.scales.nbytes + self.lowest.nbytes

    def multiply(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """See `Weight`; the matrix is widened for every pass."""
        return F.linear(x, self._widened(self.codes, self.scales, self.lowest), bias)

    def rows(self, index: Tensor) -> Tensor:
        """See `Weight`."""
        parts = (self.codes, self.scales, self.lowest)
        return self._widened(*(part.index_select(0, index) for part in parts))

    def _widened(self, codes: Tensor, scales: Tensor, lowest: Tensor) -> Tensor:
        levels = torch.stack((codes & MAX_CODE, codes >> 4), -1).to(scales.dtype)
        grouped = levels.view(*scales.shape, self.group)
        return torch.addcmul(lowest[..., None], grouped, scales[..., None]).flatten(1)


@dataclass(frozen=True, slots=True)
class Int4Method:
    """Rounds to the nearest of 16 levels between a group's lowest and highest value."""

    group: int = GROUPS[0]  # the largest that may be taken

    def hold(self, weight: Tensor) -> Weight:
        """See `Method`; in 8 bits where no group divides the inputs."""
        fitting = [size for size in GROUPS if size <= self.group and weight.shape[1] % size == 0]
        if not fitting:
            return Int8Method().hold(weight)
        step = rows_at_once(weight.shape[1])
        parts = [_rounded(rows, fitting[0]) for rows in torch.split(weight, step)]
        codes, scales, lowest = (torch.cat(side) for side in zip(*parts, strict=True))
        return Int4(codes, scales, lowest)


def _rounded(weight: Tensor, group: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return codes, scales and lowest values of some rows; see `Int4`."""
    grouped = weight.view(len(weight), -1, group).float()
    lowest = -rounded_up(-grouped.amin(2), weight.dtype)
    scales = rounded_up((grouped.amax(2) - lowest.float()) / MAX_CODE, weight.dtype)
    divisors = torch.where(scales > 0, scales, 1.0).float()
    levels = (grouped - lowest.float()[..., None]) / divisors[..., None]
    codes = levels.round_().clamp_(0, MAX_CODE).to(torch.uint8).flatten(1)
    return codes[:, ::2] | codes[:, 1::2] << 4, scales, lowest
