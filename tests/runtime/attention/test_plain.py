"""Plain attention against a twin that goes head by head and token by token."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from radixlm.radix_cache.kv import KVPool
from radixlm.runtime.attention import Layout, Rule, make_attention
from radixlm.runtime.errors import ModelLoadError

HEAD_DIM, SLOTS, SCALE = 8, 900, 0.3


RULES = {
    "plain": Rule(scale=SCALE),
    "window": Rule(scale=SCALE, window=4),
    "window of one": Rule(scale=SCALE, window=1),
    "soft cap": Rule(scale=SCALE, softcap=0.5),
    "window and soft cap": Rule(scale=SCALE, window=66, softcap=0.5),
}


def naive(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    rule: Rule = RULES["plain"],
    sinks: Tensor | None = None,
) -> Tensor:
    """Attention of the last `len(queries)` positions, [n, heads, dim], over [length, kv, dim]."""
    out = queries.new_empty(*queries.shape[:2], values.shape[2])
    cached, group = len(keys) - len(queries), queries.shape[1] // keys.shape[1]
    for row in range(len(queries)):
        end = cached + row + 1
        for head in range(queries.shape[1]):
            seen = slice(0 if rule.window is None else max(0, end - rule.window), end)
            k, v = keys[seen, head // group], values[seen, head // group]
            scores = rule.scale * (k @ queries[row, head])
            if rule.softcap is not None:
                scores = rule.softcap * (scores / rule.softcap).tanh()
            if sinks is not None:
                scores = torch.cat((scores, sinks[head : head + 1]))
            out[row, head] = scores.softmax(0)[: len(v)] @ v
    return out


def random_pool(kv_heads: int) -> KVPool:
    pool = KVPool(2, SLOTS, kv_heads, HEAD_DIM, torch.float32, "cpu")
    for tensor in (*pool.keys, *pool.values):
        tensor.normal_()
    return pool


def layout_of(
    shape: list[tuple[int, int]], rng: np.random.Generator
) -> tuple[Layout, list[Tensor]]:
    """A pass of (cached, new) rows on scattered slots, and the slots of each row."""
    free = torch.from_numpy(rng.permutation(SLOTS))
    rows = list(free.split_with_sizes([*(c + n for c, n in shape), SLOTS - sum(map(sum, shape))]))
    rows.pop()
    query_lens, kv_lens = np.array([n for _, n in shape]), np.array([c + n for c, n in shape])
    arrays = [slots.numpy().astype(np.int32) for slots in rows]
    addresses = np.array([array.ctypes.data for array in arrays], dtype=np.uint64)
    return Layout(query_lens, kv_lens, addresses, lambda: arrays), rows


PASSES = {
    "one prompt": [(0, 20)],
    "one chunk": [(13, 20)],
    "one token": [(13, 1)],
    "first tokens": [(0, 1), (0, 1)],
    "tokens of one length": [(9, 1), (9, 1), (9, 1)],
    "tokens of near lengths": [(3, 1), (60, 1), (17, 1)],
    "tokens of far lengths": [(3, 1), (300, 1), (129, 1), (140, 1)],
    "everything": [(0, 5), (200, 1), (7, 3), (2, 1), (0, 1), (70, 2), (63, 1), (64, 1)],
}


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("shape", PASSES.values(), ids=PASSES.keys())
def test_plain_attention_agrees_with_the_definition(
    shape: list[tuple[int, int]], kv_heads: int
) -> None:
    torch.manual_seed(0)
    pool = random_pool(kv_heads)
    layout, rows = layout_of(shape, np.random.default_rng(0))
    total = sum(new for _, new in shape)
    attention = make_attention("plain", pool, [Rule(scale=SCALE)] * 2)
    attention.plan(layout)
    for layer in range(2):
        queries = torch.randn(total, 4, HEAD_DIM)
        keys, values = torch.randn(2, total, kv_heads, HEAD_DIM)
        attention.write(layer, keys, values)
        assert torch.equal(pool.keys[layer][layout.gather(pool.keys[0].device)[1]], keys)
        assert torch.equal(pool.values[layer][layout.gather(pool.keys[0].device)[1]], values)
        found = attention.attend(layer, queries).split_with_sizes([new for _, new in shape])
        wanted = queries.split_with_sizes([new for _, new in shape])
        for slots, ours, asked in zip(rows, found, wanted, strict=True):
            keys, values = pool.keys[layer][slots], pool.values[layer][slots]
            theirs = naive(asked, keys, values)
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_branches_of_one_pass_see_the_stem_that_it_writes_and_not_each_other() -> None:
    """Rows may share slots, those written by another row of the same pass included."""
    pool = random_pool(2)
    free = np.random.default_rng(2).permutation(SLOTS).astype(np.int32)
    cached, stem, left, right, _ = np.split(free, [5, 9, 12, 13])
    slots = [np.concatenate(parts) for parts in ((cached, stem, left), (cached, stem, right))]
    slots.insert(0, np.concatenate((cached, stem)))
    news = [len(stem), len(left), len(right)]
    for order in ([0, 1, 2], [2, 1, 0]):
        arrays = [slots[row] for row in order]
        layout = Layout(
            np.array([news[row] for row in order]),
            np.array([len(array) for array in arrays]),
            np.array([array.ctypes.data for array in arrays], dtype=np.uint64),
            lambda arrays=arrays: arrays,
        )
        attention = make_attention("plain", pool, [Rule(scale=SCALE)] * 2)
        attention.plan(layout)
        queries = torch.randn(sum(news), 4, HEAD_DIM)
        attention.write(0, *torch.randn(2, sum(news), 2, HEAD_DIM))
        found = attention.attend(0, queries).split_with_sizes([news[row] for row in order])
        asked = queries.split_with_sizes([news[row] for row in order])
        for array, ours, ask in zip(arrays, found, asked, strict=True):
            at = torch.from_numpy(array).long()
            theirs = naive(ask, pool.keys[0][at], pool.values[0][at])
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("has_sinks", [False, True])
@pytest.mark.parametrize("name", RULES)
def test_windows_soft_caps_and_sinks_are_those_of_the_definition(
    name: str, has_sinks: bool
) -> None:
    torch.manual_seed(0)
    pool = KVPool(2, SLOTS, 2, HEAD_DIM, torch.float32, "cpu", value_dim=5)
    for tensor in (*pool.keys, *pool.values):
        tensor.normal_()
    rules = [RULES[name], RULES["plain"]]  # layers with rules of their own in one pass
    attention = make_attention("plain", pool, rules)
    sinks = torch.randn(4) if has_sinks else None
    for shape in PASSES.values():
        layout, rows = layout_of(shape, np.random.default_rng(0))
        attention.plan(layout)
        news = [new for _, new in shape]
        for layer, rule in enumerate(rules):
            queries = torch.randn(sum(news), 4, HEAD_DIM)
            found = attention.attend(layer, queries, sinks).split_with_sizes(news)
            for slots, ours, asked in zip(rows, found, queries.split_with_sizes(news), strict=True):
                keys, values = pool.keys[layer][slots], pool.values[layer][slots]
                theirs = naive(asked, keys, values, rule, sinks)
                torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_a_write_leaves_all_other_slots_alone() -> None:
    pool = random_pool(2)
    layout, _ = layout_of([(4, 3), (9, 1)], np.random.default_rng(1))
    before = pool.keys[0].clone()
    attention = make_attention("plain", pool, [Rule(scale=SCALE)] * 2)
    attention.plan(layout)
    attention.write(0, *torch.randn(2, 4, 2, HEAD_DIM))
    changed = (pool.keys[0] != before).flatten(1).any(1).nonzero().flatten()
    assert set(changed.tolist()) == set(layout.gather(torch.device("cpu"))[1].tolist())


def test_an_unknown_attention_is_refused_with_the_known_names() -> None:
    with pytest.raises(ModelLoadError, match="no attention is named 'flash'; known: plain"):
        make_attention("flash", random_pool(1), [Rule(scale=SCALE)] * 2)
