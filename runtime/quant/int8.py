"""Weights of 8 bits: each row a scale and whole numbers from -127 to 127.

Activations stay what they are ("weight-only"). A scale is rounded to the model's dtype before the
numbers are, so that it costs no accuracy of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor
from torch.nn import functional as F

MAX_CODE = 127
FUSED_TOKENS = 64  # of a pass in which reading the weight takes longer than the arithmetic
ROUNDED_BYTES = 16 << 20
PACKED_INPUTS = 32  # torch's kernel reads beyond the end of rows of other lengths


@dataclass(frozen=True, slots=True)
class Int8:
    """A weight W[o, i] = codes[o, i] * scales[o]."""

    codes: Tensor  # [out, in] i8
    scales: Tensor  # [out] of the model's dtype
    form = "int8"

    @property
    def nbytes(self) -> int:
        """See `Weight`."""
        return self.codes.nbytes + self.scales.nbytes

    def multiply(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """See `Weight`; the matrix is widened for a pass, but for a few tokens on CUDA.

        In 16 bits on a CPU torch's own kernel reads it as it is; in f32 that is slower than
        widening.
        """
        if is_fused(x):
            from .kernels import multiply_int8

            product = multiply_int8(x, self.codes, self.scales)
        elif x.device.type == "cpu" and x.itemsize == 2 and x.shape[1] % PACKED_INPUTS == 0:
            product = torch.ops.aten._weight_int8pack_mm(x, self.codes, self.scales)
        else:
            product = F.linear(x, self.codes.to(x.dtype)) * self.scales
        return product if bias is None else product + bias

    def rows(self, index: Tensor) -> Tensor:
        """See `Weight`."""
        codes = self.codes.index_select(0, index)
        return codes * self.scales.index_select(0, index)[:, None]


class Int8Method:
    """Rounds to the nearest of 255 levels that are the same distance apart within a row."""

    def hold(self, weight: Tensor) -> Int8:
        """See `Method`."""
        step = rows_at_once(weight.shape[1])
        parts = [self._hold(rows) for rows in torch.split(weight, step)]
        return Int8(torch.cat([p.codes for p in parts]), torch.cat([p.scales for p in parts]))

    def _hold(self, weight: Tensor) -> Int8:
        scales = rounded_up(weight.abs().amax(1).float() / MAX_CODE, weight.dtype)
        divisors = torch.where(scales > 0, scales, 1.0).float()
        codes = (weight / divisors[:, None]).round_().clamp_(-MAX_CODE, MAX_CODE)
        return Int8(codes.to(torch.int8), scales)


def is_fused(x: Tensor) -> bool:
    """Whether a product with `x`, [T, in], is for the Triton kernels."""
    return x.is_cuda and x.itemsize == 2 and len(x) <= FUSED_TOKENS and _has_triton()


@cache
def _has_triton() -> bool:
    return find_spec("triton") is not None


def rows_at_once(inputs: int) -> int:
    """Return how many rows are rounded together: in f32 they take `ROUNDED_BYTES`."""
    return max(1, ROUNDED_BYTES // (4 * inputs))


def rounded_up(scales: Tensor, dtype: torch.dtype) -> Tensor:
    """Return f32 scales in `dtype`, none of them smaller, so that no number is cut off."""
    near = scales.to(dtype)
    above = torch.nextafter(near, torch.full_like(near, torch.inf))
    return torch.where(near.float() < scales, above, near)
