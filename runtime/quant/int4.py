"""Weights of 4 bits: each group of a row's inputs a scale, a middle and numbers from -8 to 7.

Activations stay what they are ("weight-only"). The numbers are those of torch's and torchao's
kernels, whose way of packing them differs from device to device.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from .base import Weight
from .int8 import Int8Method, is_fused, rounded_up, rows_at_once

GROUPS = (128, 64, 32)  # inputs that share a scale; the first that divides the inputs is taken
MAX_CODE = 15
ZERO_CODE = 8  # how the number 0 is written


@dataclass(frozen=True, slots=True)
class Int4:
    """A weight W[o, i] = (codes[o, i] - 8) * scales[o, i / group] + middles[o, i / group]."""

    codes: Tensor  # [out, in / 2] u8: an even input in the low half of a byte, the next in the high
    scales: Tensor  # [out, in / group] of the model's dtype
    middles: Tensor  # likewise

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
        return self.codes.nbytes + self.scales.nbytes + self.middles.nbytes

    def multiply(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """See `Weight`; the matrix is widened for a pass, but for a few tokens on CUDA."""
        if not is_fused(x):
            return F.linear(x, self._widened(self.codes, self.scales, self.middles), bias)
        from .kernels import multiply_int4

        product = multiply_int4(x, self.codes, self.scales, self.middles)
        return product if bias is None else product + bias

    def rows(self, index: Tensor) -> Tensor:
        """See `Weight`."""
        parts = (self.codes, self.scales, self.middles)
        return self._widened(*(part.index_select(0, index) for part in parts))

    def _widened(self, codes: Tensor, scales: Tensor, middles: Tensor) -> Tensor:
        levels = torch.stack((codes & MAX_CODE, codes >> 4), -1).to(scales.dtype) - ZERO_CODE
        grouped = levels.view(*scales.shape, self.group)
        return torch.addcmul(middles[..., None], grouped, scales[..., None]).flatten(1)


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
        return Int4(*(torch.cat(side) for side in zip(*parts, strict=True)))


def _rounded(weight: Tensor, group: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return codes, scales and middles of some rows; see `Int4`."""
    grouped = weight.view(len(weight), -1, group).float()
    lowest = grouped.amin(2)
    scales = rounded_up((grouped.amax(2) - lowest) / MAX_CODE, weight.dtype)
    middles = (lowest + ZERO_CODE * scales.float()).to(weight.dtype)
    divisors = torch.where(scales > 0, scales, 1.0).float()
    levels = (grouped - middles.float()[..., None]) / divisors[..., None] + ZERO_CODE
    codes = levels.round_().clamp_(0, MAX_CODE).to(torch.uint8).flatten(1)
    return codes[:, ::2] | codes[:, 1::2] << 4, scales, middles
