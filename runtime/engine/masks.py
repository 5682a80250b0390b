"""The bitmask of a batch as compiled kernels read it: `Masks` in `kernels/csrc/row.h`."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


class Masks(ctypes.Structure):
    """Addresses of a mask and of who is held to which of its rows; all zeros: nobody to any."""

    _fields_ = (
        ("words", ctypes.c_void_p),
        ("num_words", ctypes.c_int64),
        ("mask_of", ctypes.c_void_p),
    )

    @classmethod
    def of(cls, mask: Tensor, held: NDArray[np.integer[Any]]) -> Masks:
        """Point to a mask, which lives as long as what is returned.

        Args:
            mask: [masks, words] i32 on the host, as `apply_bitmask` has it.
            held: [rows] the row of the mask of each row of logits; -1: none.
        """
        words, mask_of = mask.contiguous(), np.ascontiguousarray(held, np.int64)
        made = cls(words.data_ptr(), words.shape[1], mask_of.ctypes.data)
        made.kept_alive = words, mask_of
        return made
