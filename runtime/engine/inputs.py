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
from ..images import Span

Slots = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class ImageSpan:
    """Some rows of an image's embeddings, which stand in a pass for consecutive placeholders."""

    image: Span
    first: int  # of the image's rows
    count: int
    at: int  # among the row's new tokens


@dataclass(frozen=True, slots=True)
class Row:
    """One sequence's part of a pass."""

    tokens: NDArray[np.int32]  # [n] the new tokens, at least one; `stand_in(i)` where not known yet
    start: int  # tokens whose KV is in the pool already = position of tokens[0]
    slots: Slots  # [start + n] pool slots of every position, the new ones included
    logits_from: int  # logits are wanted after the new tokens logits_from..n-1 (n: after none)
    image_spans: tuple[ImageSpan, ...] = ()  # of images


@dataclass(frozen=True, slots=True)
class Decodes:
    """Sequences of which one token each goes through the model, and logits are wanted after it."""

    tokens: NDArray[np.int64]  # [D] `stand_in(i)` where not known yet
    lengths: NDArray[np.int64]  # [D] positions of each sequence, the new one included
    addresses: NDArray[np.uint64]  # [D] where the slots of each lie, [length] i32
    slots: Callable[[], list[Slots]]  # the same as arrays

    @classmethod
    def none(cls) -> Decodes:
        """No sequence."""
        nothing = np.empty(0, np.int64)
        return cls(nothing, nothing, np.empty(0, np.uint64), list)


def stand_in(index: int) -> int:
    """Stand for the `index`-th token that the pass before has drawn, before the host has read it.

    Its own inverse.
    """
    return -1 - index


class Staging:
    """Where the integers of a pass go to the device: buffers that stay, and never a wait.

    Two pinned ones on the host take turns, because the copy from one may still be under way while
    the next pass is laid out, and never the one before that: its tokens have been read. On a CPU
    there is nothing to do.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._host: list[Tensor] = []
        self._there = torch.empty(0, dtype=torch.int64, device=device)

    def upload(self, parts: Sequence[NDArray[Any]]) -> Tensor:
        """Return the arrays end to end, i64 on the device, good until the next pass's."""
        if self.device.type == "cpu":
            return torch.from_numpy(np.concatenate(parts, dtype=np.int64))
        total = sum(map(len, parts))
        if total > len(self._there):
            room = 1 << max(total - 1, 1023).bit_length()
            self._host = [torch.empty(room, dtype=torch.int64, pin_memory=True) for _ in range(2)]
            self._there = torch.empty(room, dtype=torch.int64, device=self.device)
        self._host.reverse()
        np.concatenate(parts, out=self._host[0].numpy()[:total], dtype=None, casting="same_kind")
        self._there[:total].copy_(self._host[0][:total], non_blocking=True)
        return self._there[:total]


@dataclass(frozen=True, slots=True)
class Inputs:
    """B sequences as tensors: T new tokens, W of them with wanted logits. Decoding ones come first.

    The tensors come from one host array, in one copy to the device.
    """

    tokens: Tensor  # [T] i64
    positions: Tensor  # [T] i64, each in its own sequence
    wanted: Tensor  # [W] i64 indices of tokens
    places: Tensor  # [E] i64 indices of the tokens that stand for rows of images
    layout: Layout

    @classmethod
    def build(
        cls,
        rows: Sequence[Row],
        staging: Staging,
        decodes: Decodes | None = None,
        drawn: Tensor | None = None,
    ) -> Inputs:
        """Lay the decodes and then the rows out one after another, in their order.

        Args:
            rows: prompts, and sequences that are handled one by one.
            staging: of the device.
            decodes: the other sequences.
            drawn: [any] i64 on the device, the tokens that `stand_in` stands for.
        """
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
            [],
        ]
        for begin, row in zip(begins, rows, strict=True):
            parts[2].append(np.arange(begin + row.logits_from, begin + len(row.tokens)))
            for seen in row.image_spans:
                parts[3].append(np.arange(begin + seen.at, begin + seen.at + seen.count))
        sizes = [sum(map(len, part)) for part in parts]
        packed = staging.upload([array for part in parts for array in part])
        tokens, positions, wanted, places = packed.split_with_sizes(sizes)
        if drawn is not None and any((array < 0).any() for array in parts[0]):
            # A row whose draw failed has -1 there; it is computed once more, for nobody.
            known = drawn.clamp(min=0).index_select(0, (-1 - tokens).clamp_(min=0))
            tokens = torch.where(tokens < 0, known, tokens)
        layout = Layout(
            query_lens,
            kv_lens,
            addresses,
            slots=lambda: [*decodes.slots(), *(row.slots for row in rows)],
        )
        return cls(tokens=tokens, positions=positions, wanted=wanted, places=places, layout=layout)
