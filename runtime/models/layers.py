"""The parts of a decoder layer, as plain data that can be called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from .spec import Norm


def empty_matrix(out: int, inp: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return [out, in] for `Linear`, laid out in memory as its device multiplies it fastest.

    MKL reads an f32 matrix of 6144 x 256 for a single token in 290 µs when its columns are
    contiguous, and in 620 µs when its rows are. oneDNN in bf16 wants rows (6 times and more).
    """
    if dtype == torch.float32 and device.type == "cpu":
        return torch.empty(inp, out, dtype=dtype, device=device).t()
    return torch.empty(out, inp, dtype=dtype, device=device)


@dataclass(slots=True)
class Linear:
    """x W^T + b. The place where quantised and adapted weights go."""

    weight: Tensor  # [out, in]
    bias: Tensor | None  # [out]

    @classmethod
    def empty(
        cls, out: int, inp: int, *, bias: bool, dtype: torch.dtype, device: torch.device
    ) -> Linear:
        """Return one whose numbers are still to be filled in."""
        weight = empty_matrix(out, inp, dtype, device)
        return cls(weight, torch.empty(out, dtype=dtype, device=device) if bias else None)

    def __call__(self, x: Tensor) -> Tensor:
        """Map [T, in] to [T, out]."""
        return F.linear(x, self.weight, self.bias)

    def parts(self, **rows: int) -> dict[str, Tensor]:
        """Return views by name, `<part>.weight` and `<part>.bias`.

        Args:
            rows: the projections that this one fuses, in order, with the outputs of each.
        """
        views = dict(zip(rows, self.weight.split_with_sizes(list(rows.values())), strict=True))
        named = {f"{part}.weight": view for part, view in views.items()}
        if self.bias is not None:
            biases = self.bias.split_with_sizes(list(rows.values()))
            named |= {f"{part}.bias": view for part, view in zip(rows, biases, strict=True)}
        return named


@dataclass(slots=True)
class RMSNorm:
    """x / rms(x) * (weight + offset) over the last dimension."""

    weight: Tensor  # [width]
    eps: float
    offset: float = 0.0

    def __call__(self, x: Tensor) -> Tensor:
        """Normalise [..., width]; the mean is taken in f32 at least."""
        if not self.offset:
            return F.rms_norm(x, self.weight.shape, self.weight, self.eps)
        # In bf16 an offset weight would lose what it has beyond the offset.
        weight = self.weight.float() + self.offset
        return F.rms_norm(x.float(), weight.shape, weight, self.eps).to(x.dtype)

    def parameters(self, name: str) -> dict[str, Tensor]:
        """Return the weight as `<name>.weight`."""
        return {f"{name}.weight": self.weight}


@dataclass(slots=True)
class LayerNorm:
    """(x - mean(x)) / deviation(x) * weight + bias over the last dimension."""

    weight: Tensor  # [width]
    bias: Tensor  # [width]
    eps: float

    def __call__(self, x: Tensor) -> Tensor:
        """Normalise [..., width]."""
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)

    def parameters(self, name: str) -> dict[str, Tensor]:
        """Return `<name>.weight` and `<name>.bias`."""
        return {f"{name}.weight": self.weight, f"{name}.bias": self.bias}


@dataclass(frozen=True, slots=True)
class Storage:
    """Where a model's parts get their tensors: of this type, on this device, not yet filled."""

    dtype: torch.dtype
    device: torch.device

    def empty(self, *shape: int) -> Tensor:
        """Return a tensor of that shape."""
        return torch.empty(shape, dtype=self.dtype, device=self.device)

    def linear(self, out: int, inp: int, *, bias: bool = False) -> Linear:
        """Return a projection of `inp` to `out` dimensions."""
        return Linear.empty(out, inp, bias=bias, dtype=self.dtype, device=self.device)

    def norm(self, width: int, norm: Norm) -> RMSNorm | LayerNorm:
        """Return a normalisation over `width` dimensions."""
        if norm.kind == "layer":
            return LayerNorm(self.empty(width), self.empty(width), norm.eps)
        return RMSNorm(self.empty(width), norm.eps, norm.offset)


def _quick_gelu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(1.702 * x)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": F.silu,
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "quick_gelu": _quick_gelu,
}
# The names in checkpoints; those of the tanh approximation differ in the order of operations alone.
ACTIVATION_NAMES = {
    "silu": "silu",
    "swish": "silu",
    "relu": "relu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "quick_gelu": "quick_gelu",
}
