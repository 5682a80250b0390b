"""The cache against a set of prefixes, in any order of operations.

The model is a set of (namespace, prefix) in whole pages that should be in the tree. Each stands
for its last page: siblings may begin with equal tokens inside a page, and share nothing. Beside it
stands the memory itself: `memory[slot]` says which path a request wrote there, so that a slot
given out twice, or for another path, is seen as soon as anybody reads it.
"""

import random
from dataclasses import dataclass, field
from itertools import chain, takewhile

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from radixlm.radix_cache import Lease, LeaseReleasedError, OutOfSlotsError, RadixCache

Path = tuple[str, tuple[int, ...]]

# Few chunks, so that prompts share prefixes often and part inside a page as well as between pages.
chunks = st.sampled_from([[0], [0, 0, 0, 0], [0, 0, 1, 1], [1, 1, 1, 1, 1, 1]])
token_lists = st.lists(chunks, min_size=1, max_size=4).map(lambda parts: list(chain(*parts)))
namespaces = st.sampled_from(["", "", "b"])
picks = st.randoms(use_true_random=False)


@dataclass(eq=False)
class Request:
    namespace: str
    tokens: list[int]
    lease: Lease

    def path(self, length: int) -> Path:
        return self.namespace, tuple(self.tokens[:length])


@dataclass
class World:
    cache: RadixCache
    page_size: int
    tree: set[Path] = field(default_factory=set[Path])
    memory: dict[int, Path] = field(default_factory=dict[int, Path])
    running: list[Request] = field(default_factory=list[Request])

    def matched(self, namespace: str, tokens: list[int]) -> int:
        ends = range(self.page_size, len(tokens) + 1, self.page_size)
        found = takewhile(lambda end: (namespace, tuple(tokens[:end])) in self.tree, ends)
        return max(found, default=0)

    def pages(self, request: Request, length: int) -> set[Path]:
        """Return the path to the end of each whole page in the first `length` tokens."""
        return {request.path(n) for n in range(self.page_size, length + 1, self.page_size)}

    def locked(self) -> set[Path]:
        return set[Path]().union(*(self.pages(r, r.lease.locked) for r in self.running))

    def forget_evicted(self) -> int:
        """Drop from the model what the cache dropped, none of it locked; return how many tokens."""
        gone = {path for path in self.tree if not self.is_cached(path)}
        assert not gone & self.locked()
        self.tree -= gone
        return len(gone) * self.page_size

    def is_cached(self, path: Path) -> bool:
        namespace, tokens = path
        return self.cache.match_length(as_array(tokens), namespace=namespace) == len(tokens)


def as_array(tokens: list[int] | tuple[int, ...]) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    return np.array(tokens, dtype=np.int32)


class CacheMachine(RuleBasedStateMachine):
    world: World

    @initialize(
        num_slots=st.sampled_from([12, 24, 200]),
        policy=st.sampled_from(["lru", "lfu", "fifo"]),
        page_size=st.sampled_from([1, 4]),
    )
    def start(self, num_slots: int, policy: str, page_size: int) -> None:
        cache = RadixCache(num_slots, policy=policy, page_size=page_size)
        self.world = World(cache, page_size)

    def begin(self, namespace: str, tokens: list[int], limit: int) -> Request:
        world = self.world
        expected = world.matched(namespace, tokens[:limit])
        lease = world.cache.acquire(as_array(tokens), namespace=namespace, limit=limit)
        assert lease.num_cached == lease.locked == len(lease) == expected
        request = Request(namespace, tokens[:expected], lease)
        world.running.append(request)
        return request

    def grow(self, request: Request, tokens: list[int]) -> None:
        world = self.world
        cache, before = world.cache, world.cache.usage()
        if len(tokens) > cache.available:
            with pytest.raises(OutOfSlotsError):
                cache.extend(request.lease, len(tokens))
            assert cache.usage() == before
            return
        length = len(request.tokens)
        cache.extend(request.lease, len(tokens))
        needed = max(0, len(tokens) - before.free)
        assert world.forget_evicted() == -(-needed // world.page_size) * world.page_size
        request.tokens += tokens
        for position in range(length, len(request.tokens)):  # the forward pass
            world.memory[int(request.lease.slots[position])] = request.path(position + 1)

    def put(self, request: Request, length: int) -> None:
        world = self.world
        world.cache.commit(request.lease, as_array(request.tokens[:length]))
        assert request.lease.locked >= length // world.page_size * world.page_size
        world.tree |= world.pages(request, length)

    def end(self, request: Request) -> None:
        self.world.running.remove(request)
        self.world.cache.release(request.lease)
        with pytest.raises(LeaseReleasedError):
            self.world.cache.release(request.lease)

    @rule(tokens=token_lists, namespace=namespaces, copies=st.integers(1, 2), stay=st.booleans())
    def serve(self, tokens: list[int], namespace: str, copies: int, stay: bool) -> None:
        """Serve one request, or two that compute the same tokens side by side."""
        requests = [self.begin(namespace, tokens, len(tokens) - 1) for _ in range(copies)]
        for request in requests:
            self.grow(request, tokens[len(request.tokens) :])
        for request in requests:
            self.put(request, len(request.tokens))
            if not stay:
                self.end(request)

    @rule(tokens=token_lists, namespace=namespaces, spare=st.integers(0, 2))
    def acquire(self, tokens: list[int], namespace: str, spare: int) -> None:
        self.begin(namespace, tokens, max(0, len(tokens) - spare))

    @precondition(lambda self: self.world.running)
    @rule(pick=picks, tokens=token_lists)
    def extend(self, pick: random.Random, tokens: list[int]) -> None:
        self.grow(pick.choice(self.world.running), tokens)

    @precondition(lambda self: self.world.running)
    @rule(pick=picks)
    def commit(self, pick: random.Random) -> None:
        request = pick.choice(self.world.running)
        self.put(request, pick.randint(0, len(request.tokens)))

    @precondition(lambda self: self.world.running)
    @rule(pick=picks)
    def truncate(self, pick: random.Random) -> None:
        request = pick.choice(self.world.running)
        length = pick.randint(request.lease.locked, len(request.tokens))
        self.world.cache.truncate(request.lease, length)
        del request.tokens[length:]

    @precondition(lambda self: self.world.running)
    @rule(pick=picks)
    def release(self, pick: random.Random) -> None:
        self.end(pick.choice(self.world.running))

    @rule()
    def flush(self) -> None:
        freed = self.world.cache.flush()
        assert self.world.forget_evicted() == freed

    @invariant()
    def the_structure_is_sound(self) -> None:
        self.world.cache.check()

    @invariant()
    def every_slot_holds_the_path_that_it_stands_for(self) -> None:
        for request in self.world.running:
            slots = request.lease.slots.tolist()
            assert len(slots) == len(request.tokens)
            for length, slot in enumerate(slots, start=1):
                assert self.world.memory[slot] == request.path(length)

    @invariant()
    def every_slot_is_accounted_for(self) -> None:
        world = self.world
        private = sum(len(request.lease.private) for request in world.running)
        locked = len(world.locked()) * world.page_size
        in_tree = len(world.tree) * world.page_size
        usage = world.cache.usage()
        assert usage.cached == in_tree - locked
        assert usage.leased == locked + private
        assert usage.free == usage.pool - in_tree - private
        assert world.cache.available == usage.free + usage.cached


def test_the_cache_agrees_with_a_set_of_prefixes() -> None:
    run_state_machine_as_test(
        CacheMachine,
        settings=settings(
            max_examples=100,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
