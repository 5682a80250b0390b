import sys

import numpy as np
import pytest

from radixlm.radix_cache import RadixCache, Usage
from radixlm.radix_cache.evict import Heap, Segments, candidates, lru
from radixlm.radix_cache.namespace import Namespace
from radixlm.radix_cache.node import Node

EMPTY = np.empty(0, dtype=np.int32)


def leaf(*, created: int = 0, last_used: int = 0, hits: int = 0) -> Node:
    return Node(Namespace(), b"", EMPTY, EMPTY, None, created, last_used, hits=hits)


@pytest.mark.parametrize(
    ("policy", "order"),
    [
        ("lru", [2, 3, 1]),
        ("lfu", [3, 2, 1]),
        ("fifo", [1, 2, 3]),
        ("slru", [2, 3, 1]),
        ("priority", [3, 2, 1]),
    ],
)
def test_a_policy_decides_who_goes_first(policy: str, order: list[int]) -> None:
    cache = RadixCache(3, policy=policy)
    for token in (1, 2, 3, 2, 2, 3, 1, 1):  # hits: two of 1, two of 2, one of 3
        tokens = np.array([token], dtype=np.int32)
        lease = cache.acquire(tokens, priority=-token)
        cache.extend(lease, 1 - lease.num_cached)
        cache.commit(lease, tokens)
        cache.release(lease)
    lease = cache.acquire(EMPTY)
    evicted: list[int] = []
    for _ in range(3):
        before = {node.tokens[0] for node in cache.list_nodes()}
        cache.extend(lease, 1)
        cache.check()
        evicted += before - {node.tokens[0] for node in cache.list_nodes()}
    assert evicted == order


def test_an_unknown_policy_is_answered_with_the_names() -> None:
    with pytest.raises(ValueError, match="called 'mru'; there are lru, lfu, fifo, slru, priority"):
        RadixCache(1, policy="mru")


def test_the_first_is_the_least_and_a_discarded_one_is_passed_over() -> None:
    candidates = Heap(lru)
    nodes = [leaf(last_used=n) for n in (5, 3, 4)]
    for node in nodes:
        candidates.add(node)
    assert candidates.first() is nodes[1]
    candidates.discard(nodes[1])
    assert candidates.first() is nodes[2]
    nodes[1].last_used = 9
    candidates.add(nodes[1])
    candidates.check(set(nodes))
    assert candidates.first() is nodes[2]


def test_a_matched_leaf_outlives_any_number_of_unmatched_ones() -> None:
    cache = RadixCache(20, policy="slru")
    for token in (1, 1, *range(2, 100)):
        serve(cache, token)
        cache.check()
    assert cache.match_length(np.array([1], dtype=np.int32)) == 1


def test_the_protected_segment_is_bounded() -> None:
    segments = Segments()
    nodes = [leaf(last_used=n, hits=1) for n in range(10)]
    for node in nodes:
        segments.add(node)
    assert segments.first() is nodes[0]
    segments.check(set(nodes))
    fresh = leaf(last_used=99)
    segments.add(fresh)
    order: list[Node] = []
    while segments:
        order.append(segments.first())
        segments.discard(order[-1])
        segments.check({fresh, *nodes}.difference(order))
    assert [node for node in order if node is not fresh] == nodes
    assert 2 <= order.index(fresh) < 10  # after a fifth of the leaves, demoted; before the rest


def test_equal_priorities_go_by_recency() -> None:
    ranks = candidates("priority")
    nodes = [leaf(last_used=n) for n in (5, 3, 4)]
    for node in nodes:
        ranks.add(node)
    assert ranks.first() is nodes[1]


def test_rows_that_need_one_slot_each_are_served_from_a_batch() -> None:
    cache = RadixCache(4096)
    tokens = np.arange(4096, dtype=np.int32)
    lease = cache.acquire(tokens)
    cache.extend(lease, 4096)
    cache.commit(lease, tokens)
    cache.release(lease)
    row = cache.acquire(EMPTY)
    cache.extend(row, 1)
    cache.check()
    assert cache.usage() == Usage(pool=4096, free=16, cached=4079, leased=1)
    cache.extend(row, 16)
    assert cache.usage() == Usage(pool=4096, free=0, cached=4079, leased=17)
    cache.extend(row, 4079)
    cache.check()
    assert cache.available == 0


def serve(cache: RadixCache, token: int) -> None:
    tokens = np.array([token], dtype=np.int32)
    lease = cache.acquire(tokens)
    cache.extend(lease, 1 - lease.num_cached)
    cache.commit(lease, tokens)
    cache.release(lease)


def test_stale_entries_are_swept() -> None:
    candidates = Heap(lru)
    node, other = leaf(last_used=1), leaf(last_used=0)
    candidates.add(other)
    for _ in range(10_000):
        candidates.add(node)
        candidates.discard(node)
    assert len(candidates) == 1
    assert sys.getrefcount(node) < 100
    candidates.check({other})


@pytest.mark.parametrize("policy", ["lru", "lfu", "fifo", "slru", "priority"])
def test_touching_counts_as_a_use_of_the_cached_part_and_as_nothing_else(policy: str) -> None:
    cache = RadixCache(6, policy=policy)
    for token in (1, 2, 3):
        tokens = np.array([token, token], dtype=np.int32)
        lease = cache.acquire(tokens)
        cache.extend(lease, 2)
        cache.commit(lease, tokens)
        cache.release(lease)
    before = cache.statistics(), cache.usage()
    found = cache.touch(np.array([1, 9], dtype=np.int32))
    assert (found.length, len(found.path)) == (1, 1)
    assert cache.touch(np.array([7], dtype=np.int32)).length == 0
    assert (cache.statistics(), cache.usage()) == before
    cache.check()
    cache.extend(cache.acquire(EMPTY), 2)
    gone = 1 if policy == "fifo" else 2
    left = {int(node.tokens[0]) for node in cache.list_nodes()}
    assert left == {1, 2, 3} - {gone}
    cache.check()
