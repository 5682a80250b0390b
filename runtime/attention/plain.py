"""Attention in plain torch: the reference for every kernel, and what runs on a CPU.

Keys are gathered by slot into a dense tensor and given to `scaled_dot_product_attention`. Rows of
one new token (decode) go together, padded to the longest of their group; rows of more (prompts)
go one by one. Grouped-query heads are never repeated in memory: a decode row's query heads of one
KV head become that head's queries, a prompt's KV heads are expanded with a stride of 0.

Not chosen: SDPA's own `enable_gqa`, which repeats keys and values on a CPU, and two matmuls with a
softmax, which take twice as long there (batch 8, 512 positions: 320 against 140 µs).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from ...radix_cache.kv import KVPool
from .base import Layout

SHORT = 64  # positions; decode rows up to here share a group whatever their length


@dataclass(frozen=True, slots=True)
class Decode:
    """Rows of one new token and of similar length, padded to the longest of them."""

    tokens: Tensor | None  # [rows] i64 places in the pass; None: they are the pass, in order
    slots: Tensor  # [rows * length] i64, a short row filled up with its own last slot
    length: int
    mask: Tensor | None  # [rows, 1, 1, length] added to scores; None: all have that length


@dataclass(frozen=True, slots=True)
class Prompt:
    """One row of several new tokens."""

    tokens: slice  # its places in the pass
    slots: Tensor  # [length] i64
    mask: Tensor | None  # [new, length] added to scores; None: all are new, plain causal


class PlainAttention:
    """See `Attention`. Cost of a decode row: at most twice its keys and values are gathered."""

    def __init__(self, pool: KVPool, scale: float) -> None:
        self._keys, self._values = pool.keys, pool.values
        self._scale = scale
        self._dtype = pool.keys[0].dtype
        self._new_slots = torch.empty(0, dtype=torch.int64)
        self._groups: list[Decode | Prompt] = []

    def plan(self, layout: Layout) -> None:
        """Sort the rows into groups and make their slot lists and masks, for all layers."""
        slots, self._new_slots = layout.gather(self._keys[0].device)
        self._groups = [
            *_prompts(layout, slots, self._dtype),
            *_decodes(layout, slots, self._dtype),
        ]

    def write(self, layer: int, keys: Tensor, values: Tensor) -> None:
        """Copy into the pool, in place."""
        self._keys[layer].index_copy_(0, self._new_slots, keys)
        self._values[layer].index_copy_(0, self._new_slots, values)

    def attend(self, layer: int, queries: Tensor) -> Tensor:
        """Attend group by group; the outcome is scattered only when there are several."""
        if len(self._groups) == 1:
            return self._attend(layer, queries, self._groups[0])
        out = torch.empty_like(queries)
        for group in self._groups:
            chosen = slice(None) if group.tokens is None else group.tokens
            out[chosen] = self._attend(layer, queries[chosen], group)
        return out

    def _attend(self, layer: int, queries: Tensor, group: Decode | Prompt) -> Tensor:
        rows, heads, head_dim = queries.shape
        keys = self._keys[layer].index_select(0, group.slots)
        values = self._values[layer].index_select(0, group.slots)
        kv_heads = keys.shape[1]
        grouped = queries.view(rows, kv_heads, heads // kv_heads, head_dim)
        if isinstance(group, Decode):
            padded = (rows, group.length, kv_heads, head_dim)
            return scaled_dot_product_attention(
                grouped,  # [rows, kv_heads, group, head_dim]
                keys.view(padded).transpose(1, 2),  # [rows, kv_heads, length, head_dim]
                values.view(padded).transpose(1, 2),
                attn_mask=group.mask,
                scale=self._scale,
            ).reshape(rows, heads, head_dim)
        expanded = (kv_heads, heads // kv_heads, len(keys), head_dim)
        return (
            scaled_dot_product_attention(
                grouped.permute(1, 2, 0, 3),  # [kv_heads, group, rows, head_dim]
                keys.transpose(0, 1)[:, None].expand(expanded),
                values.transpose(0, 1)[:, None].expand(expanded),
                attn_mask=group.mask,
                is_causal=group.mask is None,
                scale=self._scale,
            )
            .permute(2, 0, 1, 3)
            .reshape(rows, heads, head_dim)
        )


def _prompts(layout: Layout, slots: Tensor, dtype: torch.dtype) -> Iterator[Prompt]:
    device = slots.device
    token = slot = 0
    for new, length in zip(layout.query_lens.tolist(), layout.kv_lens.tolist(), strict=True):
        if new > 1:
            mask = None
            if new < length:
                future = torch.full((new, length), -torch.inf, dtype=dtype, device=device)
                mask = future.triu_(length - new + 1)
            yield Prompt(slice(token, token + new), slots[slot : slot + length], mask)
        token, slot = token + new, slot + length


def _decodes(layout: Layout, all_slots: Tensor, dtype: torch.dtype) -> Iterator[Decode]:
    """Group by the power of two above the length, so that padding at most doubles a row.

    The filling repeats the row's own last slot: what is masked away is finite whenever the row
    is, and a NaN never crosses into another row.
    """
    device = all_slots.device
    rows_of: defaultdict[int, list[int]] = defaultdict(list)
    for row in np.flatnonzero(layout.query_lens == 1).tolist():
        rows_of[max(SHORT, int(layout.kv_lens[row]) - 1).bit_length()].append(row)
    token_ends, slot_ends = layout.query_lens.cumsum(), layout.kv_lens.cumsum()
    for rows in rows_of.values():
        lengths = layout.kv_lens[rows]
        longest = int(lengths.max())
        begins = slot_ends[rows] - lengths
        if len(rows) == 1:
            slots = all_slots[int(begins[0]) : int(begins[0]) + longest]
            mask = None
        else:
            column = np.arange(longest)
            places = begins[:, None] + np.minimum(column, lengths[:, None] - 1)
            slots = all_slots[torch.from_numpy(places.ravel()).to(device)]
            mask = _padding(torch.from_numpy(lengths).to(device), longest, dtype)
        whole = len(rows) == len(layout.query_lens)
        tokens = None if whole else torch.from_numpy(token_ends[rows] - 1).to(device)
        yield Decode(tokens, slots, longest, mask)


def _padding(lengths: Tensor, longest: int, dtype: torch.dtype) -> Tensor:
    """Return [rows, 1, 1, longest] `dtype`: 0 within each row's length, -inf beyond."""
    beyond = torch.arange(longest, device=lengths.device) >= lengths[:, None]
    mask = torch.zeros(beyond.shape, dtype=dtype, device=lengths.device)
    return mask.masked_fill_(beyond, -torch.inf)[:, None, None]
