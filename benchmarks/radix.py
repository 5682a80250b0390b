"""What the radix cache costs the scheduler: matching, leasing, committing, evicting.

    python benchmarks/radix.py [--json]

Host time only; no tensor is touched. Every figure is in microseconds and the median of many single
calls, but for evictions, which come in batches: theirs is the median of batches.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src")]

from radixlm.radix_cache import Lease, RadixCache, Tokens  # noqa: E402

ROUNDS = 300
PROMPT = 32_768  # tokens
BATCH = 130  # calls: a whole number of cycles, as a call for one slot evicts 65
LEAF = 8  # tokens of each leaf in the trees to evict from
RNG = np.random.default_rng(0)


def random_tokens(count: int) -> Tokens:
    return RNG.integers(0, 100_000, count, dtype=np.int32)


def put(cache: RadixCache, tokens: Tokens) -> None:
    """Serve one request for `tokens`."""
    lease = cache.acquire(tokens)
    cache.extend(lease, len(tokens) - lease.num_cached)
    cache.commit(lease, tokens)
    cache.release(lease)


def timed(call: Callable[[], Any], after: Callable[[Any], None] = lambda _: None) -> float:
    """Return the median time of `call`, µs; `after`, with what it returned, is not counted."""
    seconds: list[float] = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        outcome = call()
        seconds.append(time.perf_counter() - begun)
        after(outcome)
        del outcome  # its memory is there for the next call, as it is in a server
    return statistics.median(seconds) * 1e6


def in_batches(call: Callable[[], None], count: int) -> float:
    """Return what one of `count` calls takes in a median batch of them, µs.

    Some evict for those after them, so that single ones say little.
    """
    means: list[float] = []
    for _ in range(count // BATCH):
        begun = time.perf_counter()
        for _ in range(BATCH):
            call()
        means.append((time.perf_counter() - begun) / BATCH)
    return statistics.median(means) * 1e6


def prompts(turns: int) -> dict[str, float]:
    """Match and lease a cached prompt that came in so many turns, each one a node."""
    cache, tokens = RadixCache(2 * PROMPT), random_tokens(PROMPT)
    for turn in range(1, turns + 1):
        put(cache, tokens[: PROMPT * turn // turns])
    assert cache.statistics().num_nodes == turns
    name = "32k" if turns == 1 else f"32k_{turns}_nodes"
    return {
        f"match_{name}_us": timed(lambda: cache.match_length(tokens)),
        f"acquire_{name}_us": timed(lambda: cache.acquire(tokens), cache.release),
        f"acquire_release_{name}_us": timed(lambda: cache.release(cache.acquire(tokens))),
    }


def chunks() -> dict[str, float]:
    """Count the nodes of a prompt that one request committed in 128 chunks."""
    cache, tokens = RadixCache(2 * PROMPT), random_tokens(PROMPT)
    lease = cache.acquire(tokens)
    for end in range(256, PROMPT + 1, 256):
        cache.extend(lease, 256)
        cache.commit(lease, tokens[:end])
    cache.release(lease)
    return {"nodes_after_128_chunks": cache.statistics().num_nodes}


def inserts() -> dict[str, float]:
    """Commit 1,000 new tokens after 20,000 cached ones."""
    cache, tokens = RadixCache(40_000), random_tokens(21_000)
    put(cache, tokens[:20_000])

    def clean(lease: Lease) -> None:
        cache.release(lease)
        cache.flush()
        put(cache, tokens[:20_000])

    def ready() -> Lease:
        lease = cache.acquire(tokens)
        cache.extend(lease, 1_000)
        return lease

    leases = [ready()]

    def commit() -> Lease:
        cache.commit(leases[0], tokens)
        return leases[0]

    def again(lease: Lease) -> None:
        clean(lease)
        leases[0] = ready()

    found = {"insert_1k_us": timed(commit, again)}
    again(leases[0])
    clean(leases[0])

    def whole() -> Lease:
        lease = ready()
        cache.commit(lease, tokens)
        return lease

    return found | {"acquire_extend_insert_1k_us": timed(whole, clean)}


def full_of_leaves(num_leaves: int, *, host_slots: int = 0) -> RadixCache:
    """Return a cache without a free slot, all of it in leaves."""
    cache = RadixCache(num_leaves * LEAF, host_slots=host_slots)
    tokens = random_tokens(num_leaves * LEAF)
    tokens[::LEAF] = np.arange(num_leaves)  # so that no two share a first token
    for start in range(0, len(tokens), LEAF):
        put(cache, tokens[start : start + LEAF])
    assert cache.statistics().num_nodes == num_leaves
    return cache


def evictions(num_leaves: int) -> dict[str, float]:
    """Allocate where every slot must be evicted first: a leaf at a time, and a slot at a time."""
    cache, count = full_of_leaves(num_leaves), num_leaves // 10
    lease = cache.acquire(np.empty(0, dtype=np.int32))

    found = {
        "evict_leaf_us": in_batches(lambda: cache.extend(lease, LEAF), count),
        "decode_slot_us": in_batches(lambda: cache.extend(lease, 1), count),
    }
    left = cache.statistics().num_nodes
    begun = time.perf_counter()
    cache.flush()
    return found | {"flush_leaf_us": (time.perf_counter() - begun) / left * 1e6}


def host(num_leaves: int) -> dict[str, float]:
    """Evict to the host, a leaf at a time, and bring a prompt back: without the copies."""
    cache = full_of_leaves(num_leaves, host_slots=num_leaves * LEAF)
    lease, count = cache.acquire(np.empty(0, dtype=np.int32)), num_leaves // 10
    found = {"evict_leaf_to_host_us": in_batches(lambda: cache.extend(lease, LEAF), count)}

    cache, tokens = RadixCache(PROMPT, host_slots=PROMPT), random_tokens(PROMPT)
    put(cache, tokens)

    def evict() -> Lease:
        lease = cache.acquire(np.empty(0, dtype=np.int32))
        cache.extend(lease, PROMPT)
        cache.release(lease)
        return cache.acquire(tokens)

    leases = [evict()]

    def again(_: int) -> None:
        assert cache.host is not None
        cache.host.apply(cache.host.plan())
        cache.release(leases[0])
        leases[0] = evict()

    return found | {"recall_32k_us": timed(lambda: cache.recall(leases[0], tokens), again)}


def growth(num_tokens: int) -> dict[str, float]:
    """Serve prompts of 1,000 tokens, a tenth of it new, beside so many cached ones."""
    shared = random_tokens(900)
    cache = RadixCache(num_tokens + 1_100)
    put(cache, shared)
    while cache.usage().cached < num_tokens:
        put(cache, np.concatenate([shared, random_tokens(100)]))
    known = np.concatenate([shared, random_tokens(100)])
    put(cache, known)
    fresh = iter([np.concatenate([shared, random_tokens(100)]) for _ in range(ROUNDS)])
    return {
        "cached_tokens": num_tokens,
        "nodes": cache.statistics().num_nodes,
        "match_us": timed(lambda: cache.match_length(known)),
        "serve_us": timed(lambda: put(cache, next(fresh))),  # with evictions: the pool is full
    }


def rounded(found: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 1) for name, value in found.items()}


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    options = parser.parse_args()
    found: dict[str, Any] = {}
    for part in (prompts(1), prompts(128), chunks(), inserts(), evictions(100_000), host(100_000)):
        found |= rounded(part)
        for name, value in rounded(part).items():
            print(f"{name:35} {value:10.1f}")
    found["growth"] = [rounded(growth(10**power)) for power in range(3, 7)]
    for line in found["growth"]:
        print("  ".join(f"{name} {value:g}" for name, value in line.items()))
    if options.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
