import sys

import numpy as np
import pytest

from radixlm.radix_cache import RadixCache
from radixlm.radix_cache.evict import Candidates, find_policy
from radixlm.radix_cache.node import Node

EMPTY = np.empty(0, dtype=np.int32)


def leaf(*, created: int = 0, last_used: int = 0, hits: int = 0) -> Node:
    return Node("", b"", EMPTY, EMPTY, None, created, last_used, hits=hits)


@pytest.mark.parametrize(
    ("policy", "order"),
    [("lru", [2, 3, 1]), ("lfu", [3, 2, 1]), ("fifo", [1, 2, 3])],
)
def test_a_policy_decides_who_goes_first(policy: str, order: list[int]) -> None:
    cache = RadixCache(3, policy=policy)
    for token in (1, 2, 3, 2, 2, 3, 1, 1):  # hits: two of 1, two of 2, one of 3
        tokens = np.array([token], dtype=np.int32)
        lease = cache.acquire(tokens)
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
    with pytest.raises(ValueError, match="called 'mru'; there are lru, lfu, fifo"):
        RadixCache(1, policy="mru")


def test_the_first_is_the_least_and_a_discarded_one_is_passed_over() -> None:
    candidates = Candidates(find_policy("lru"))
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


def test_stale_entries_are_swept() -> None:
    candidates = Candidates(find_policy("lru"))
    node, other = leaf(last_used=1), leaf(last_used=0)
    candidates.add(other)
    for _ in range(10_000):
        candidates.add(node)
        candidates.discard(node)
    assert len(candidates) == 1
    assert sys.getrefcount(node) < 100
    candidates.check({other})
