"""The cache against a dictionary of pages (`pages.py`), in any order of operations."""

import random
from itertools import takewhile
from math import inf

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

from radixlm.radix_cache import (
    LeaseReleasedError,
    Namespace,
    NoPinError,
    NotCachedError,
    OutOfSlotsError,
    PinQuotaError,
    RadixCache,
)
from radixlm.radix_cache.evict import POLICIES

from .pages import PinModel, Request, World

# Few chunks, so that prompts share prefixes often and part inside a page as well as between pages.
CHUNKS = ([0], [0, 0, 0, 0], [0, 0, 1, 1], [1, 1, 1, 1, 1, 1])
chunk_lists = st.lists(st.sampled_from(CHUNKS), min_size=1, max_size=4)
namespaces = st.sampled_from([Namespace(), Namespace(), Namespace(adapter="b")])
names = st.sampled_from(["p", "q"])
lifetimes = st.sampled_from([None, None, 5.0, 9.0])
priorities = st.sampled_from([0, 0, 1, -1])
picks = st.randoms(use_true_random=False)


def as_array(tokens: list[int]) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    return np.array(tokens, dtype=np.int32)


class CacheMachine(RuleBasedStateMachine):
    world: World

    @initialize(
        size=st.sampled_from([12, 24, 200]),
        policy=st.sampled_from(sorted(POLICIES)),
        page_size=st.sampled_from([1, 4, 16]),
        host_size=st.sampled_from([0, 16, 100]),
    )
    def start(self, size: int, policy: str, page_size: int, host_size: int) -> None:
        repeat = 8 if page_size == 16 else 1
        num_slots = size * repeat
        cache = RadixCache(
            num_slots,
            policy=policy,
            page_size=page_size,
            host_slots=host_size * repeat,
            clock=lambda: self.world.now_s,
        )
        self.world = World(cache, policy, page_size, repeat, num_slots // 2)

    def spell(self, chunks: list[list[int]]) -> list[int]:
        return [token for chunk in chunks for token in chunk for _ in range(self.world.repeat)]

    def begin(
        self,
        namespace: Namespace,
        tokens: list[int],
        limit: int,
        priority: int,
        ttl_s: float | None,
    ) -> Request:
        world = self.world
        paths = world.paths.along(namespace, tokens)
        expected = world.matched(paths[:limit])
        lease = world.cache.acquire(
            as_array(tokens), namespace=namespace, limit=limit, priority=priority, ttl_s=ttl_s
        )
        length = len(expected) * world.page_size
        assert lease.num_cached == lease.locked == len(lease) == length
        for path in expected:
            world.pages[path].hits += 1
        life_s = inf if ttl_s is None else ttl_s
        request = Request(namespace, tokens[:length], lease, paths[:length], priority, life_s)
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
        self.forget_evicted(max(0, len(tokens) - before.free))
        request.tokens += tokens
        request.paths = world.paths.along(request.namespace, request.tokens)
        world.carry_out()
        for position in range(length, len(request.tokens)):  # the forward pass
            world.memory[int(request.lease.slots[position])] = request.paths[position]

    def forget_evicted(self, needed: int) -> None:
        """Let the model evict too: what it foresees, or else what the cache says, none of it held.

        The ranks of "fifo" and "slru" are those of whole nodes, which the model does not know.
        """
        world = self.world
        if world.policy not in ("fifo", "slru"):
            world.evict(needed)
            return
        gone = world.pages.keys() - world.cached().keys()
        assert not gone & world.held()
        assert len(gone) == -(-needed // world.page_size)
        for path in gone:
            del world.pages[path]

    def put(self, request: Request, length: int) -> None:
        world = self.world
        world.cache.commit(request.lease, as_array(request.tokens[:length]))
        assert request.lease.locked >= length // world.page_size * world.page_size
        world.put(request.paths[:length])

    def end(self, request: Request) -> None:
        world = self.world
        locked = world.ends(request.paths[: request.lease.locked])
        world.running.remove(request)
        world.cache.release(request.lease)
        world.let_go(locked, request.priority, request.ttl_s)
        with pytest.raises(LeaseReleasedError):
            world.cache.release(request.lease)

    @rule(
        chunks=chunk_lists,
        namespace=namespaces,
        copies=st.integers(1, 2),
        stay=st.booleans(),
        priority=priorities,
        ttl_s=lifetimes,
    )
    def serve(
        self,
        chunks: list[list[int]],
        namespace: Namespace,
        copies: int,
        stay: bool,
        priority: int,
        ttl_s: float | None,
    ) -> None:
        """Serve one request, or two that compute the same tokens side by side."""
        tokens = self.spell(chunks)
        requests = [
            self.begin(namespace, tokens, len(tokens) - 1, priority, ttl_s) for _ in range(copies)
        ]
        for request in requests:
            self.grow(request, tokens[len(request.tokens) :])
        for request in requests:
            self.put(request, len(request.tokens))
            if not stay:
                self.end(request)

    @rule(
        chunks=chunk_lists,
        namespace=namespaces,
        spare=st.integers(0, 2),
        priority=priorities,
        ttl_s=lifetimes,
    )
    def acquire(
        self,
        chunks: list[list[int]],
        namespace: Namespace,
        spare: int,
        priority: int,
        ttl_s: float | None,
    ) -> None:
        tokens = self.spell(chunks)
        self.begin(namespace, tokens, max(0, len(tokens) - spare), priority, ttl_s)

    @precondition(lambda self: self.world.cache.host)
    @rule(chunks=chunk_lists, namespace=namespaces, priority=priorities, ttl_s=lifetimes)
    def recall(
        self, chunks: list[list[int]], namespace: Namespace, priority: int, ttl_s: float | None
    ) -> None:
        """Acquire what is on the device, and what the host has after it, without a gap."""
        world, tokens = self.world, self.spell(chunks)
        request = self.begin(namespace, tokens, len(tokens), priority, ttl_s)
        paths, length = world.paths.along(namespace, tokens), len(request.tokens)
        there = len(list(takewhile(world.stored().__contains__, paths[length:])))
        before = world.cache.usage()
        count = min(there, before.free + before.cached) // world.page_size * world.page_size
        assert world.cache.recall(request.lease, as_array(tokens)) == count
        self.forget_evicted(max(0, count - before.free))
        request.tokens, request.paths = tokens[: length + count], paths[: length + count]
        world.put(request.paths)

    @rule()
    def carry_out(self) -> None:
        self.world.carry_out()

    @precondition(lambda self: self.world.running)
    @rule(pick=picks, chunks=chunk_lists)
    def extend(self, pick: random.Random, chunks: list[list[int]]) -> None:
        self.grow(pick.choice(self.world.running), self.spell(chunks))

    @precondition(lambda self: self.world.running)
    @rule(pick=picks)
    def commit(self, pick: random.Random) -> None:
        request = pick.choice(self.world.running)
        length = len(request.tokens)
        self.put(request, length if pick.random() < 0.7 else pick.randint(0, length))

    @precondition(lambda self: self.world.running)
    @rule(pick=picks)
    def truncate(self, pick: random.Random) -> None:
        request = pick.choice(self.world.running)
        length = pick.randint(request.lease.locked, len(request.tokens))
        self.world.cache.truncate(request.lease, length)
        del request.tokens[length:]
        del request.paths[length:]

    @precondition(lambda self: self.world.running)
    @rule(pick=picks)
    def release(self, pick: random.Random) -> None:
        self.end(pick.choice(self.world.running))

    @rule(chunks=chunk_lists, namespace=namespaces)
    def touch(self, chunks: list[list[int]], namespace: Namespace) -> None:
        world, tokens = self.world, self.spell(chunks)
        expected, nodes = world.matched(world.paths.along(namespace, tokens)), world.cached()
        found = world.cache.touch(as_array(tokens), namespace=namespace)
        assert found.length == len(expected) * world.page_size
        touched = {id(nodes[path]) for path in expected}  # a node of which a part matches as well
        world.use([path for path in world.pages if id(nodes[path]) in touched])

    @rule()
    def flush(self) -> None:
        world = self.world
        held = world.held()
        freed = world.cache.flush()
        assert freed == (len(world.pages) - len(held)) * world.page_size
        world.pages = {path: page for path, page in world.pages.items() if path in held}

    @rule(seconds=st.sampled_from([1.0, 5.0, 9.0]))
    def wait(self, seconds: float) -> None:
        self.world.now_s += seconds
        self.world.sweep()

    @rule(
        name=names, chunks=chunk_lists, namespace=namespaces, priority=priorities, ttl_s=lifetimes
    )
    def pin(
        self,
        name: str,
        chunks: list[list[int]],
        namespace: Namespace,
        priority: int,
        ttl_s: float | None,
    ) -> None:
        world, tokens = self.world, self.spell(chunks)
        pages = world.ends(world.paths.along(namespace, tokens))
        old = world.pins.pop((namespace, name), None)
        total = len(world.pinned().union(pages)) * world.page_size
        wrong: type[Exception] | None = None
        if not pages or not world.pages.keys() >= set(pages):
            wrong = NotCachedError
        elif total > world.quota:
            wrong = PinQuotaError
        if wrong is None:
            found = world.cache.pin(
                name, as_array(tokens), namespace=namespace, ttl_s=ttl_s, priority=priority
            )
            assert found.num_tokens == len(pages) * world.page_size
            if old is not None:
                world.let_go(old.pages, old.priority, 0.0)
            until_s = inf if ttl_s is None else world.now_s + ttl_s
            world.pins[namespace, name] = PinModel(pages, priority, until_s)
            world.sweep()
            return
        with pytest.raises(wrong):
            world.cache.pin(name, as_array(tokens), namespace=namespace)
        if old is not None:
            world.pins[namespace, name] = old

    @rule(name=names, namespace=namespaces)
    def unpin(self, name: str, namespace: Namespace) -> None:
        world = self.world
        pin = world.pins.pop((namespace, name), None)
        if pin is None:
            with pytest.raises(NoPinError):
                world.cache.unpin(name, namespace=namespace)
            return
        world.cache.unpin(name, namespace=namespace)
        world.let_go(pin.pages, pin.priority, 0.0)
        world.sweep()

    @invariant()
    def the_structure_is_sound(self) -> None:
        self.world.cache.check()

    @invariant()
    def the_cache_has_the_pages_of_the_model(self) -> None:
        world = self.world
        world.check()
        pins = {(pin.namespace, pin.name) for pin in world.cache.pins()}
        assert pins == world.pins.keys()

    @invariant()
    def every_slot_holds_the_path_that_it_stands_for(self) -> None:
        world = self.world
        if world.cache.host is not None and world.cache.host.plan():
            return  # not yet
        for request in world.running:
            slots = request.lease.slots.tolist()
            assert [world.memory[slot] for slot in slots] == request.paths
        for path, slot in world.stored().items():
            assert world.host_memory[slot] == path

    @invariant()
    def every_slot_is_accounted_for(self) -> None:
        world = self.world
        private = sum(len(request.lease.private) for request in world.running)
        locked = len(world.held()) * world.page_size
        in_tree = len(world.pages) * world.page_size
        usage = world.cache.usage()
        assert usage.cached == in_tree - locked
        assert usage.leased == locked + private
        assert usage.pinned == len(world.pinned()) * world.page_size
        assert usage.free == usage.pool - in_tree - private
        assert world.cache.available == usage.free + usage.cached


@pytest.mark.parametrize(
    "max_examples", [20, pytest.param(600, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_the_cache_agrees_with_a_dictionary_of_pages(max_examples: int) -> None:
    run_state_machine_as_test(
        CacheMachine,
        settings=settings(
            max_examples=max_examples,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
