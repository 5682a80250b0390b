"""A pass through the model: as the scheduler plans it, and as the device gets it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..attention import Layout


@dataclass(frozen=True, slots=True)
class Row:
    """One sequence's part of a pass."""

    tokens: NDArray[np.int32]  # [n] the new tokens, at least one
    start: int  # tokens whose KV is in the pool already = position of tokens[0]
    slots: NDArray[np.int32]  # [start + n] pool slots of every position, the new ones included
    logits_from: int  # logits are wanted after the new tokens logits_from..n-1 (n: after none)


@dataclass(frozen=True, slots=True)
class Inputs:
    """B rows as tensors: T new tokens, W of them with wanted logits.

    Everything comes from one host array, in one copy to the device.
    """

    tokens: Tensor  # [T] i64
    positions: Tensor  # [T] i64, each in its own sequence
    wanted: Tensor  # [W] i64 indices of tokens
    layout: Layout
    logits: tuple[slice, ...]  # [B] each row's part of the W logits, on the host

    @classmethod
    def build(cls, rows: Sequence[Row], device: torch.device) -> Inputs:
        """Lay the rows out one after another, in their order."""
        for row in rows:
            assert len(row.slots) == row.start + len(row.tokens), "a slot for every position"
            assert 0 <= row.logits_from <= len(row.tokens) > 0, "at least one token, all logits its"
        query_lens = np.array([len(row.tokens) for row in rows], dtype=np.int64)
        kv_lens = np.array([len(row.slots) for row in rows], dtype=np.int64)
        first = query_lens.cumsum() - query_lens  # of each row's tokens in the pass
        parts = (
            [row.tokens for row in rows],
            [np.arange(row.start, len(row.slots)) for row in rows],
            [
                np.arange(begin + row.logits_from, begin + len(row.tokens))
                for begin, row in zip(first.tolist(), rows, strict=True)
            ],
            [row.slots[row.start :] for row in rows],
            [row.slots for row in rows],
        )
        packed = np.concatenate([array for part in parts for array in part], dtype=np.int64)
        sizes = [sum(map(len, part)) for part in parts]
        tokens, positions, wanted, new_slots, slots = (
            torch.from_numpy(packed).to(device, non_blocking=True).split_with_sizes(sizes)
        )
        ends = np.cumsum([len(row.tokens) - row.logits_from for row in rows]).tolist()
        return cls(
            tokens=tokens,
            positions=positions,
            wanted=wanted,
            layout=Layout(query_lens, kv_lens, new_slots, slots),
            logits=tuple(map(slice, [0, *ends[:-1]], ends)),
        )
