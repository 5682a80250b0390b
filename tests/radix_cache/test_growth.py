"""Chunks become one node exactly where nobody could tell the difference."""

import numpy as np
import pytest

from radixlm.radix_cache import Lease, RadixCache, Tokens

TOKENS = np.arange(64, dtype=np.int32)


def commit(cache: RadixCache, lease: Lease, length: int, tokens: Tokens = TOKENS) -> None:
    cache.extend(lease, length - len(lease))
    cache.commit(lease, tokens[:length])
    cache.check()


def num_nodes(cache: RadixCache) -> int:
    return cache.statistics().num_nodes


@pytest.mark.parametrize("page_size", [1, 16])
def test_chunks_of_one_lease_are_one_node(page_size: int) -> None:
    cache = RadixCache(64, page_size=page_size)
    lease = cache.acquire(TOKENS)
    for length in (5, 16, 17, 40, 64):
        commit(cache, lease, length)
    assert num_nodes(cache) == 1
    slots = lease.slots.tolist()
    cache.release(lease)
    cache.check()
    assert cache.acquire(TOKENS).slots.tolist() == slots


def test_a_lease_that_ends_at_the_leaf_keeps_its_exact_path() -> None:
    cache = RadixCache(100)
    first, second = (cache.acquire(TOKENS) for _ in range(2))
    cache.extend(first, 10)
    cache.extend(second, 10)
    cache.commit(first, TOKENS[:10])
    cache.commit(second, TOKENS[:10])
    commit(cache, first, 20)
    assert num_nodes(cache) == 2
    cache.release(first)
    cache.check()
    assert (cache.usage().cached, cache.usage().leased) == (10, 10)


def test_a_leaf_that_was_matched_counts_its_hits_alone() -> None:
    cache = RadixCache(100)
    lease = cache.acquire(TOKENS)
    commit(cache, lease, 10)
    cache.release(lease)
    lease = cache.acquire(TOKENS)
    commit(cache, lease, 20)
    commit(cache, lease, 30)
    assert [(node.num_tokens, node.hits) for node in cache.list_nodes()] == [(10, 1), (20, 0)]


@pytest.mark.parametrize(
    ("first", "second", "nodes"),
    [
        ((1, None), (0, None), 2),
        ((0, None), (1, None), 1),
        ((0, None), (0, 5.0), 2),
        ((0, 9.0), (0, 5.0), 2),
        ((0, 5.0), (0, 9.0), 1),
        ((0, 5.0), (0, None), 1),
    ],
)
def test_a_lower_claim_does_not_inherit_a_higher_one(
    first: tuple[int, float | None], second: tuple[int, float | None], nodes: int
) -> None:
    cache = RadixCache(100, clock=lambda: 0.0)
    # Both before the leaf exists, so that it is never matched.
    early, late = (cache.acquire(TOKENS, priority=p, ttl_s=ttl) for p, ttl in (first, second))
    cache.extend(late, 10)
    commit(cache, early, 10)
    cache.release(early)
    commit(cache, late, 20)
    assert num_nodes(cache) == nodes
    cache.release(late)
    cache.check()


def test_a_leaf_is_as_young_as_its_last_chunk() -> None:
    cache = RadixCache(25, policy="fifo")
    lease = cache.acquire(TOKENS)
    commit(cache, lease, 10)
    other = cache.acquire(TOKENS[30:40])
    cache.extend(other, 10)
    cache.commit(other, TOKENS[30:40])
    commit(cache, lease, 15)
    cache.release(lease)
    cache.release(other)
    crowd(cache, 1)
    assert cache.match_length(TOKENS) == 15
    assert cache.match_length(TOKENS[30:40]) == 9


def test_a_matched_leaf_that_gets_a_child_is_no_candidate_any_more() -> None:
    cache = RadixCache(100)
    late = cache.acquire(TOKENS)
    for _ in range(2):
        lease = cache.acquire(TOKENS[:10])
        commit(cache, lease, 10)
        cache.release(lease)
    cache.extend(late, 20)
    cache.commit(late, TOKENS[:20])
    cache.check()
    assert num_nodes(cache) == 2
    assert cache.flush() == 0


def test_what_is_appended_after_an_eviction_cut_the_tail_is_right() -> None:
    cache = RadixCache(32)
    lease = cache.acquire(TOKENS)
    commit(cache, lease, 24)
    cache.release(lease)
    cache.release(crowd(cache, 16))
    other = TOKENS.copy()
    other[16:] += 100
    lease = cache.acquire(other)
    commit(cache, lease, 24, other)
    assert lease.num_cached == cache.match_length(TOKENS) == 16
    assert cache.match_length(other) == 24


def crowd(cache: RadixCache, count: int) -> Lease:
    lease = cache.acquire(np.empty(0, dtype=np.int32))
    cache.extend(lease, count)
    cache.check()
    return lease
