"""A pass through the model: as the scheduler plans it, and as the device gets it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..attention import Layout

Slots = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Row:
    """One sequence's part of a pass."""

    tokens: NDArray[np.int32]  # [n] the new tokens, at least one
    start: int  # tokens whose KV is in the pool already = position of tokens[0]
    slots: Slots  # [start + n] pool slots of every position, the new ones included
    logits_from: int  # logits are wanted after the new tokens logits_from..n-1 (n: after none)


@dataclass(frozen=True, slots=True)
class Decodes:
    """Sequences of which one token each goes through the model, and logits are wanted after it."""

    tokens: NDArray[np.int64]  # [D]
    lengths: NDArray[np.int64]  # [D] positions of each sequence, the new one included
    addresses: NDArray[np.uint64]  # [D] where the slots of each lie, [length] i32
    slots: Callable[[], list[Slots]]  # the same as arrays

    @classmethod
    def none(cls) -> Decodes:
        """No sequence."""
        nothing = np.empty(0, np.int64)
        return cls(nothing, nothing, np.empty(0, np.uint64), list)


@dataclass(frozen=True, slots=True)
class Inputs:
    """B sequences as tensors: T new tokens, W of them with wanted logits. Decoding ones come first.

    The tensors come from one host array, in one copy to the device.
    """

    tokens: Tensor  # [T] i64
    positions: Tensor  # [T] i64, each in its own sequence
    wanted: Tensor  # [W] i64 indices of tokens
    layout: Layout

    @classmethod
    def build(
        cls, rows: Sequence[Row], device: torch.device, decodes: Decodes | None = None
    ) -> Inputs:
        """Lay the decodes and then the rows out one after another, in their order."""
        for row in rows:
            assert len(row.slots) == row.start + len(row.tokens), "a slot for every position"
            assert 0 <= row.logits_from <= len(row.tokens) > 0, "at least one token, all logits its"
        decodes = decodes or Decodes.none()
        first = len(decodes.tokens)
        query_lens = np.ones(first + len(rows), dtype=np.int64)
        kv_lens = np.empty_like(query_lens)
        kv_lens[:first] = decodes.lengths
        addresses = np.empty(len(query_lens), dtype=np.uint64)
        addresses[:first] = decodes.addresses
        for index, row in enumerate(rows, first):
            query_lens[index], kv_lens[index] = len(row.tokens), len(row.slots)
            addresses[index] = row.slots.__array_interface__["data"][0]
        begins = (query_lens.cumsum() - query_lens)[first:].tolist()  # in the pass, of each row
        parts: list[list[NDArray[Any]]] = [
            [decodes.tokens, *(row.tokens for row in rows)],
            [decodes.lengths - 1, *(np.arange(row.start, len(row.slots)) for row in rows)],
            [np.arange(first)],
        ]
        for begin, row in zip(begins, rows, strict=True):
            parts[2].append(np.arange(begin + row.logits_from, begin + len(row.tokens)))
        packed = np.concatenate([array for part in parts for array in part], dtype=np.int64)
        sizes = [sum(map(len, part)) for part in parts]
        tokens, positions, wanted = (
            torch.from_numpy(packed).to(device, non_blocking=True).split_with_sizes(sizes)
        )
        layout = Layout(
            query_lens,
            kv_lens,
            addresses,
            slots=lambda: [*decodes.slots(), *(row.slots for row in rows)],
        )
        return cls(tokens=tokens, positions=positions, wanted=wanted, layout=layout)
