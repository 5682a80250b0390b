"""The offline optimum that `benchmarks/cache.py` measures against."""

import random
from itertools import combinations
from types import ModuleType

import numpy as np
import pytest

from ..scripts import load


@pytest.fixture(scope="module")
def cache() -> ModuleType:
    return load("benchmarks/cache.py")


def best_by_trying_all(paths: list[list[int]], reusable: list[int], capacity: int) -> int:
    """Keep every set of pages that could be kept, from request to request."""
    states: dict[frozenset[int], int] = {frozenset(): 0}
    for path, countable in zip(paths, reusable, strict=True):
        after: dict[frozenset[int], int] = {}
        for kept, hits in states.items():
            found = 0
            while found < countable and path[found] in kept:
                found += 1
            there = kept | set(path)
            for left in combinations(sorted(there), min(capacity, len(there))):
                state = frozenset(left)
                after[state] = max(after.get(state, 0), hits + found)
        states = after
    return max(states.values())


@pytest.mark.parametrize("seed", range(30))
def test_the_optimum_is_what_trying_everything_finds(cache: ModuleType, seed: int) -> None:
    rng = random.Random(seed)
    # Pages of a binary tree: node n has the children 2n and 2n + 1, and a path is its ancestors.
    ends = [rng.randrange(1, 16) for _ in range(7)]
    paths = [[end >> level for level in range(end.bit_length() - 1, -1, -1)] for end in ends]
    reusable = [rng.randint(max(len(path) - 1, 0), len(path)) for path in paths]
    capacity = rng.randint(1, 5)
    expected = best_by_trying_all(paths, reusable, capacity)
    assert cache.optimum(paths, reusable, capacity) == expected


def test_serving_with_room_for_all_finds_what_the_optimum_finds(cache: ModuleType) -> None:
    rng = np.random.default_rng(0)
    shared = rng.integers(0, 1000, 100, dtype=np.int32)
    reply = np.arange(5, dtype=np.int32)
    requests = [
        cache.Request(
            float(at), np.concatenate([shared, rng.integers(0, 1000, 30, dtype=np.int32)]), reply
        )
        for at in range(20)
    ]
    reusable = [cache.num_reusable(request) for request in requests]
    best = cache.optimum(cache.page_paths(requests), reusable, 1000)
    assert best == 19 * (100 // cache.PAGE)
    outcome = cache.serve(requests, 1000 * cache.PAGE, order="lpm", eviction="lru")
    assert outcome.hit_rate == pytest.approx(best * cache.PAGE / (20 * 130))
