"""The parts of a decoder layer, as plain data that can be called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from ..quant import Plain, Scheme, Weight
from ..quant.base import Method
from .spec import Norm
from .weights import Gathering


@dataclass(frozen=True, slots=True)
class Inserted:
    """Embeddings that stand in a pass where its tokens are placeholders, as those of an image."""

    places: Tensor  # [E] i64 indices of tokens, each once
    rows: Tensor  # [E, hidden]


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

    room: Tensor  # [out, in] what a checkpoint's numbers are copied into
    weight: Weight  # what is multiplied with: there once `room` is filled, if not of it
    bias: Tensor | None  # [out]

    def __call__(self, x: Tensor) -> Tensor:
        """Map [T, in] to [T, out]."""
        return self.weight.multiply(x, self.bias)

    def parts(self, **rows: int) -> dict[str, Tensor]:
        """Return views by name, `<part>.weight` and `<part>.bias`.

        Args:
            rows: the projections that this one fuses, in order, with the outputs of each.
        """
        views = dict(zip(rows, self.room.split_with_sizes(list(rows.values())), strict=True))
        named = {f"{part}.weight": view for part, view in views.items()}
        if self.bias is not None:
            biases = self.bias.split_with_sizes(list(rows.values()))
            named |= {f"{part}.bias": view for part, view in zip(rows, biases, strict=True)}
        return named


@dataclass(frozen=True, slots=True)
class Stack:
    """Projections of one shape, which a checkpoint may hold in one tensor."""

    room: Tensor  # [count, out, in], of the rooms of `each`
    biases: Tensor | None  # [count, out], likewise
    each: list[Linear]


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
    scheme: Scheme | None = None  # how matrices are held once they are filled; None: as they are
    gatherings: list[Gathering] = field(default_factory=list[Gathering])  # for those of `scheme`
    held: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])  # forms and bytes

    def empty(self, *shape: int) -> Tensor:
        """Return a tensor of that shape."""
        return torch.empty(shape, dtype=self.dtype, device=self.device)

    def linear(self, out: int, inp: int, *, bias: bool = False) -> Linear:
        """Return a projection of `inp` to `out` dimensions, of a layer."""
        return self._linear(
            out, inp, None if self.scheme is None else self.scheme.layers, bias=bias
        )

    def head(self, out: int, inp: int) -> Linear:
        """Return the projection to logits."""
        method = None if self.scheme is None else self.scheme.head
        return self._linear(out, inp, method, bias=False)

    def router(self, out: int, inp: int, *, bias: bool) -> Linear:
        """Return a projection that is always plain: small, and what it says decides much."""
        return self._linear(out, inp, None, bias=bias)

    def _linear(self, out: int, inp: int, method: Method | None, *, bias: bool) -> Linear:
        if method is None:
            room = empty_matrix(out, inp, self.dtype, self.device)
        else:
            known = method  # and not None, for the type checkers

            def take(whole: Tensor) -> None:
                linear.weight = self._held(whole, known)

            room = self._gathered((out, inp), take)
        linear = Linear(room, Plain(room), self.empty(out) if bias else None)
        return linear

    def stack(self, count: int, out: int, inp: int, *, bias: bool) -> Stack:
        """Return `count` projections of `inp` to `out` dimensions, of a layer's experts."""
        if self.scheme is None:
            room = self.empty(count, out, inp)
        else:
            method = self.scheme.layers

            def take(whole: Tensor) -> None:
                for linear, one in zip(each, whole, strict=True):
                    linear.weight = self._held(one, method)

            room = self._gathered((count, out, inp), take)
        biases = self.empty(count, out) if bias else None
        each = [
            Linear(part, Plain(part), None if biases is None else biases[index])
            for index, part in enumerate(room)
        ]
        return Stack(room, biases, each)

    def _held(self, whole: Tensor, method: Method) -> Weight:
        weight = method.hold(whole)
        self.held.append((weight.form, weight.nbytes))
        return weight

    def _gathered(self, shape: tuple[int, ...], take: Callable[[Tensor], None]) -> Tensor:
        self.gatherings.append(Gathering(shape, self.dtype, self.device, take))
        return self.gatherings[-1].layout

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
