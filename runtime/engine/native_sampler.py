"""Drawing tokens as one compiled call, for CPUs; `sampler.py` is its reference.

In torch 256 rows of 4,096 logits take 20 ms, nearly all of it noise for tokens that never had a
chance and the ranking of the others. `kernels/csrc/sampler.cpp` says how it gets by without.
"""

from __future__ import annotations

import ctypes
import weakref
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

from ..kernels.build import SAMPLER, load_library
from .masks import Masks

if TYPE_CHECKING:
    from .sampler import Drawing

_COLUMNS: tuple[tuple[str, DTypeLike], ...] = (  # of a `Drawing`, as the kernel reads them
    ("greedy", np.bool_),
    ("temperature", np.float32),
    ("top_k", np.int64),
    ("top_p", np.float32),
    ("min_p", np.float32),
    ("seed", np.uint64),
    ("position", np.int64),
)


class _Draw(ctypes.Structure):
    _fields_ = (
        ("rows", ctypes.c_int64),
        ("vocab", ctypes.c_int64),
        ("logits", ctypes.c_void_p),
        ("masks", Masks),
        *((name, ctypes.c_void_p) for name, _ in _COLUMNS),
        ("tokens", ctypes.c_void_p),
    )


class NativeDraw:
    """`Sampler.draw` for logits on a CPU. For one thread at a time.

    Raises:
        KernelError: the kernel can't be compiled here.
    """

    def __init__(self) -> None:
        library = load_library(SAMPLER)
        library.radixlm_sampler_new.restype = ctypes.c_void_p
        threads = ctypes.c_int64(torch.get_num_threads())
        self._team = ctypes.c_void_p(library.radixlm_sampler_new(threads))
        self._run = library.radixlm_sampler_draw
        weakref.finalize(self, library.radixlm_sampler_free, self._team)

    def __call__(
        self,
        logits: Tensor,
        drawing: Drawing,
        mask: Tensor | None = None,
        pairs: NDArray[np.int32] | None = None,
    ) -> NDArray[np.int64]:
        """Choose a token for each row; arguments and result as those of `Sampler.draw`."""
        logits = logits.contiguous()
        masks = Masks() if mask is None else Masks.of(mask, _held(len(logits), pairs))
        columns = [np.ascontiguousarray(getattr(drawing, name), dtype) for name, dtype in _COLUMNS]
        tokens = np.empty(len(logits), dtype=np.int64)
        addresses = [column.ctypes.data for column in (*columns, tokens)]
        work = _Draw(*logits.shape, logits.data_ptr(), masks, *addresses)
        self._run(self._team, ctypes.byref(work))
        return tokens


def _held(rows: int, pairs: NDArray[np.int32] | None) -> NDArray[np.int64]:
    """Return, for each row of logits, the row of the mask that it is held to; -1: none."""
    if pairs is None:
        return np.arange(rows)
    held = np.full(rows, -1)
    held[pairs[:, 0]] = pairs[:, 1]
    return held
