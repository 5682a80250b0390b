"""Attention in plain torch: the reference for every kernel, and what runs on a CPU.

Keys are gathered by slot into a dense tensor and given to `scaled_dot_product_attention`. Rows of
one new token (decode) go together, padded to the longest of their group; rows of more (prompts)
go one by one. Grouped-query heads are never repeated in memory: a decode row's query heads of one
KV head become that head's queries, a prompt's KV heads are expanded with a stride of 0. Layers with
a window gather what it shows.

Not chosen: SDPA's own `enable_gqa`, which repeats keys and values on a CPU, and two matmuls with a
softmax, which take twice as long there (batch 8, 512 positions: 320 against 140 µs); these serve
layers with a soft cap or sinks, which SDPA does not have.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from ...radix_cache.kv import KVPool
from .base import Layout, Rule

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

    def __init__(self, pool: KVPool, rules: Sequence[Rule]) -> None:
        self._keys, self._values = pool.keys, pool.values
        self._rules = rules
        self._dtype = pool.keys[0].dtype
        self._new_slots = torch.empty(0, dtype=torch.int64)
        self._groups: dict[int | None, list[Decode | Prompt]] = {}  # by window

    def plan(self, layout: Layout) -> None:
        """Sort the rows into groups and make their slot lists and masks, for each window."""
        slots, self._new_slots = layout.gather(self._keys[0].device)
        self._groups = {
            window: [
                *_prompts(layout, slots, window, self._dtype),
                *_decodes(layout, slots, window, self._dtype),
            ]
            for window in dict.fromkeys(rule.window for rule in self._rules)
        }

    def write(self, layer: int, keys: Tensor, values: Tensor) -> None:
        """Copy into the pool, in place."""
        self._keys[layer].index_copy_(0, self._new_slots, keys)
        self._values[layer].index_copy_(0, self._new_slots, values)

    def attend(self, layer: int, queries: Tensor, sinks: Tensor | None = None) -> Tensor:
        """Attend group by group; the outcome is scattered only when there are several."""
        groups = self._groups[self._rules[layer].window]
        if len(groups) == 1:
            return self._attend(layer, queries, groups[0], sinks)
        out = queries.new_empty(*queries.shape[:2], self._values[layer].shape[2])
        for group in groups:
            chosen = slice(None) if group.tokens is None else group.tokens
            out[chosen] = self._attend(layer, queries[chosen], group, sinks)
        return out

    def _attend(
        self, layer: int, queries: Tensor, group: Decode | Prompt, sinks: Tensor | None
    ) -> Tensor:
        rows, heads, _ = queries.shape
        keys = self._keys[layer].index_select(0, group.slots)
        values = self._values[layer].index_select(0, group.slots)
        kv_heads, shared = keys.shape[1], heads // keys.shape[1]
        grouped = queries.reshape(rows, kv_heads, shared, -1)
        if isinstance(group, Decode):
            padded = (rows, group.length, kv_heads, -1)
            keys, values = keys.view(padded).transpose(1, 2), values.view(padded).transpose(1, 2)
            column = None if sinks is None else sinks.view(1, kv_heads, shared, 1)
            # [rows, kv_heads, shared, dim] over [rows, kv_heads, length, dim]
            found = self._score(layer, grouped, keys, values, group.mask, column)
            return found.reshape(rows, heads, -1)
        expanded = (kv_heads, shared, len(keys), -1)
        keys = keys.transpose(0, 1)[:, None].expand(expanded)
        values = values.transpose(0, 1)[:, None].expand(expanded)
        column = None if sinks is None else sinks.view(kv_heads, shared, 1, 1)
        # [kv_heads, shared, rows, dim] over [kv_heads, shared, length, dim]
        mask = group.mask
        if mask is None and self._by_hand(layer, column):
            mask = _unseen(rows, rows, None, self._dtype, queries.device)
        turned = grouped.permute(1, 2, 0, 3)
        found = self._score(layer, turned, keys, values, mask, column, is_causal=mask is None)
        return found.permute(2, 0, 1, 3).reshape(rows, heads, -1)

    def _by_hand(self, layer: int, sinks: Tensor | None) -> bool:
        return self._rules[layer].softcap is not None or sinks is not None

    def _score(
        self,
        layer: int,
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        mask: Tensor | None,
        sinks: Tensor | None,
        *,
        is_causal: bool = False,
    ) -> Tensor:
        """Attend over dense keys."""
        rule = self._rules[layer]
        if not self._by_hand(layer, sinks):
            return scaled_dot_product_attention(
                queries, keys, values, attn_mask=mask, is_causal=is_causal, scale=rule.scale
            )
        scores = (queries @ keys.transpose(-1, -2)).float() * rule.scale
        if rule.softcap is not None:
            scores = (scores / rule.softcap).tanh() * rule.softcap
        if mask is not None:
            scores = scores + mask
        if sinks is not None:
            scores = torch.cat((scores, sinks.float().expand(*scores.shape[:-1], 1)), -1)
        weights = scores.softmax(-1)[..., : keys.shape[-2]]
        return weights.to(values.dtype) @ values


def _prompts(
    layout: Layout, slots: Tensor, window: int | None, dtype: torch.dtype
) -> Iterator[Prompt]:
    token = slot = 0
    for new, length in zip(layout.query_lens.tolist(), layout.kv_lens.tolist(), strict=True):
        if new > 1:
            seen = length if window is None else min(length, new + window - 1)
            mask = None
            if new < seen or (window is not None and window < seen):
                mask = _unseen(new, seen, window, dtype, slots.device)
            end = slot + length
            yield Prompt(slice(token, token + new), slots[end - seen : end], mask)
        token, slot = token + new, slot + length


def _unseen(
    new: int, length: int, window: int | None, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Return [new, length] `dtype`: -inf at positions after a query's own or before its window."""
    mask = torch.full((new, length), -torch.inf, dtype=dtype, device=device)
    mask.triu_(length - new + 1)
    if window is not None:
        before = torch.ones((new, length), dtype=torch.bool, device=device)
        mask.masked_fill_(before.tril_(length - new - window), -torch.inf)
    return mask


def _decodes(
    layout: Layout, all_slots: Tensor, window: int | None, dtype: torch.dtype
) -> Iterator[Decode]:
    """Group by the power of two above the length, so that padding at most doubles a row.

    The filling repeats the row's own last slot: what is masked away is finite whenever the row
    is, and a NaN never crosses into another row.
    """
    device = all_slots.device
    seen = layout.kv_lens if window is None else np.minimum(layout.kv_lens, window)
    rows_of: defaultdict[int, list[int]] = defaultdict(list)
    for row in np.flatnonzero(layout.query_lens == 1).tolist():
        rows_of[max(SHORT, int(seen[row]) - 1).bit_length()].append(row)
    token_ends, slot_ends = layout.query_lens.cumsum(), layout.kv_lens.cumsum()
    for rows in rows_of.values():
        lengths = seen[rows]
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
