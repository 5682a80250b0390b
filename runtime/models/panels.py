"""Packing weights in the order in which the CPU kernels read them, see `kernels/csrc/matrix.h`."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from ..quant import Int4, Int8, Plain, Weight
from ..quant.int4 import ZERO_CODE
from .layers import Linear

F32, BF16, INT8, INT4 = range(4)
ROWS = 1024  # that are looked at together


class Matrix(ctypes.Structure):
    """A packed weight with its bias, as the kernels take it."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("panels", "bias", "scales", "lowest")),
        *((name, ctypes.c_int64) for name in ("num_panels", "inputs", "kind", "group")),
    )


class Packer:
    """Packs weights, and keeps what the structs point into.

    Plain weights of f32 that bfloat16 holds exactly are packed as bfloat16: the numbers are the
    same, and half the memory is read.

    Args:
        panel: outputs of a panel.
    """

    def __init__(self, panel: int) -> None:
        self._panel = panel
        self._kept: list[Any] = []

    def linear(self, linear: Linear) -> Matrix:
        """Pack one projection."""
        return self._matrix([linear.weight], linear.bias)

    def halves(self, linear: Linear) -> Matrix:
        """Pack a projection whose two halves' panels take turns."""
        bias = linear.bias
        turns = None if bias is None else self._take_turns(bias.chunk(2))
        return self._matrix(_halved(linear.weight), turns)

    def floats(self, values: Tensor) -> int:
        """Return the address of values as f32."""
        return self.address(values.float().contiguous())

    def address(self, values: Tensor) -> int:
        """Return the address of a tensor, which is kept."""
        self.keep(values)
        return values.data_ptr()

    def keep(self, what: object) -> None:
        """Keep something that is pointed to."""
        self._kept.append(what)

    @property
    def nbytes(self) -> int:
        """What the tensors that are kept take in memory."""
        return sum(kept.nbytes for kept in self._kept if isinstance(kept, Tensor))

    def _matrix(self, weights: Sequence[Weight], bias: Tensor | None) -> Matrix:
        """Pack weights of one form, whose panels take turns."""
        form = weights[0]
        values, *sides = zip(*map(_tensors, weights), strict=True)
        others = [self._take_turns(side) for side in sides]  # small beside the values
        if bias is not None:
            bias = self._padded(bias.float())
        matrix = Matrix(
            bias=None if bias is None else self.floats(bias),
            num_panels=len(values) * self._num_panels(values[0]),
            inputs=values[0].shape[1],
        )
        if isinstance(form, Plain):
            is_half = all(map(_is_half, values))
            matrix.kind = BF16 if is_half else F32
            dtype = torch.bfloat16 if is_half else torch.float32
            matrix.panels = self._panels(values, dtype, 2 if is_half else 1)
        elif isinstance(form, Int8):
            matrix.kind, matrix.group = INT8, matrix.inputs
            matrix.panels = self._panels(values, values[0].dtype, 4)
            matrix.scales = self.floats(others[0].float() * 2.0**-24)  # as the kernel takes bytes
        else:
            assert isinstance(form, Int4), "every form has its panels"
            matrix.kind, matrix.group = INT4, form.group
            matrix.inputs *= 2
            matrix.panels = self._panels(values, values[0].dtype, 4)
            scales, middles = (other.float() for other in others)
            matrix.scales = self._panels([scales], torch.float32)
            matrix.lowest = self._panels([middles - ZERO_CODE * scales], torch.float32)
        return matrix

    def _panels(self, parts: Sequence[Tensor], dtype: torch.dtype, together: int = 1) -> int:
        """Return the address of [panels, columns / together, panel, together].

        Nothing is held but the parts and what is packed: a copy of the largest matrix, an output
        head, would be an eighth of a model.
        """
        size, groups = self._panel, parts[0].shape[1] // together
        count = len(parts) * self._num_panels(parts[0])
        packed = torch.empty(count, groups, size, together, dtype=dtype)
        for turn, part in enumerate(parts):
            into = packed[turn :: len(parts)]
            whole, rest = divmod(len(part), size)
            rows = part.view(len(part), groups, together)
            full = rows[: whole * size].view(whole, size, groups, together)
            into[:whole] = full.permute(0, 2, 1, 3)
            into[whole:] = 0
            if rest:
                into[whole, :, :rest] = rows[whole * size :].permute(1, 0, 2)
        return self.address(packed)

    def _num_panels(self, rows: Tensor) -> int:
        """How many panels a part has: an even number."""
        return 2 * -(-len(rows) // (2 * self._panel))

    def _take_turns(self, parts: Iterable[Tensor]) -> Tensor:
        """Interleave rows by whole panels, filled up with zeros to an even number of panels."""
        padded = [self._padded(part) for part in parts]
        panels = [part.view(-1, self._panel, *part.shape[1:]) for part in padded]
        return torch.stack(panels, 1).flatten(0, 2)

    def _padded(self, rows: Tensor) -> Tensor:
        missing = -len(rows) % (2 * self._panel)
        return torch.cat((rows, rows.new_zeros(missing, *rows.shape[1:])))


def exact(weight: Tensor) -> Tensor:
    """Return numbers as bfloat16 if that holds them all."""
    return weight.bfloat16() if _is_half(weight) else weight


def _is_half(weight: Tensor) -> bool:
    """Whether bfloat16 holds all the numbers of [rows, columns]."""
    if weight.dtype == torch.bfloat16:
        return True
    pieces = (weight[start : start + ROWS] for start in range(0, len(weight), ROWS))
    return all(torch.equal(piece.bfloat16().to(piece.dtype), piece) for piece in pieces)


def _tensors(weight: Weight) -> tuple[Tensor, ...]:
    """Return what a weight consists of, each with a row for every output."""
    assert isinstance(weight, Plain | Int8 | Int4), "every form has its panels"
    return tuple(getattr(weight, part.name) for part in fields(weight))


def _halved(weight: Weight) -> list[Weight]:
    """Return the two halves of a weight's outputs."""
    halves = zip(*(part.chunk(2) for part in _tensors(weight)), strict=True)
    kind: type[Any] = type(weight)
    return [kind(*half) for half in halves]
