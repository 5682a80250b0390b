"""Packing weights in the order in which the CPU kernels read them, see `kernels/csrc/matrix.h`.

Rows are packed in the memory where they lie, by all threads: a small part of the time of
reading them from a file, most of which goes to getting memory for the first time.
"""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor

from ..quant import Int4, Int8, Plain
from ..quant.int4 import ZERO_CODE
from .layers import Linear

F32, BF16, INT8, INT4 = range(4)
REGISTERS = 4  # of a panel
ROWS = 1024  # that are looked at together


class Matrix(ctypes.Structure):
    """A packed weight with its bias, as the kernels take it."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("panels", "bias", "scales", "lowest")),
        *((name, ctypes.c_int64) for name in ("num_panels", "inputs", "kind", "group", "halves")),
    )


class Packer:
    """Packs weights, and keeps what the structs point into.

    Plain weights of f32 that bfloat16 holds exactly are packed as bfloat16: the numbers are the
    same, and half the memory is read. What is packed is not to be used otherwise any more.

    Args:
        library: the compiled decoder.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        library.radixlm_panel.restype = ctypes.c_int64
        self._library = library
        self._panel = int(library.radixlm_panel())
        self._kept: list[Any] = []

    def linear(self, linear: Linear, *, halves: int = 1) -> Matrix:
        """Pack one projection.

        Args:
            linear: with any form of weight.
            halves: 2 if its outputs are two halves, whose panels are computed in turns.
        """
        weight, bias = linear.weight, linear.bias
        matrix = Matrix(halves=halves)
        if bias is not None:
            matrix.bias = self.floats(self._whole(bias.float(), halves))
        if isinstance(weight, Plain):
            values = exact(weight.values)
            kind = BF16 if values.dtype == torch.bfloat16 else F32
            self._pack(matrix, values, kind)
        elif isinstance(weight, Int8):
            self._pack(matrix, weight.codes, INT8)
            matrix.scales = self.floats(self._whole(weight.scales.float(), halves))
        else:
            assert isinstance(weight, Int4), "every form has its panels"
            self._pack(matrix, weight.codes, INT4)
            matrix.group = weight.group
            scales = self._whole(weight.scales.float(), halves)
            middles = self._whole(weight.middles.float(), halves)
            lowest = middles - ZERO_CODE * scales
            # A code is read where it lies in a word: behind those of the registers before its own.
            places = 16.0 ** -torch.arange(REGISTERS)
            registers = scales.view(-1, REGISTERS, self._panel // REGISTERS, scales.shape[1])
            matrix.scales = self._turned((registers * places[:, None, None]).view(scales.shape))
            matrix.lowest = self._turned(lowest)
        return matrix

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

    def _pack(self, matrix: Matrix, values: Tensor, kind: int) -> None:
        """Pack the numbers of a weight, [out, in] or as many as a byte holds of them."""
        rows = self._whole(values, matrix.halves)
        matrix.kind, matrix.num_panels = kind, len(rows) // self._panel
        matrix.inputs = rows.shape[1] * (2 if kind == INT4 else 1)
        matrix.panels = self._turned(rows, kind)

    def _turned(self, rows: Tensor, kind: int = F32) -> int:
        """Turn rows into panels where they lie, and return their address."""
        panels, inputs = len(rows) // self._panel, rows.shape[1] * (2 if kind == INT4 else 1)
        sizes = map(ctypes.c_int64, (kind, panels, inputs, torch.get_num_threads()))
        self._library.radixlm_pack(ctypes.c_void_p(rows.data_ptr()), *sizes)
        return self.address(rows)

    def _whole(self, rows: Tensor, halves: int) -> Tensor:
        """Return [out, ...] with zeros behind each half, up to whole panels."""
        size = len(rows) // halves
        if not (missing := -size % self._panel):
            return rows.contiguous()
        parts = rows.view(halves, size, *rows.shape[1:])
        zeros = rows.new_zeros(halves, missing, *rows.shape[1:])
        return torch.cat((parts, zeros), 1).flatten(0, 1)


def exact(weight: Tensor) -> Tensor:
    """Return numbers as bfloat16 if that holds all those of [rows, columns]."""
    if weight.dtype == torch.bfloat16:
        return weight
    pieces = (weight[start : start + ROWS] for start in range(0, len(weight), ROWS))
    is_exact = all(torch.equal(piece.bfloat16().to(piece.dtype), piece) for piece in pieces)
    return weight.bfloat16() if is_exact else weight
