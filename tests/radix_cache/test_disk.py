"""A cache that is saved and loaded: the same prefixes with the same keys and values, or nothing."""

from __future__ import annotations

import itertools
import os
import random
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from radixlm.radix_cache import CacheError, Namespace, RadixCache, Tokens, disk
from radixlm.radix_cache.errors import UnusableFileError
from radixlm.radix_cache.kv import KVPool
from radixlm.radix_cache.snapshot import ROOT, Entry, Outline, SavedPin, fault_of

FACTS = {"model": "a1", "dtype": "float32"}
NAMESPACES = [Namespace(), Namespace("tenant", "adapter")]


def tokens_of(*ids: int) -> Tokens:
    return np.array(ids, dtype=np.int32)


class Room:
    """A cache with the pool that it speaks of, in which a slot's values tell its path."""

    def __init__(
        self,
        num_slots: int = 64,
        *,
        page_size: int = 1,
        dtype: torch.dtype = torch.float32,
        layers: int = 2,
        policy: str = "lru",
        pin_share: float = 0.5,
    ) -> None:
        self.now_s = 0.0
        self.cache = RadixCache(
            num_slots,
            page_size=page_size,
            policy=policy,
            pin_share=pin_share,
            clock=lambda: self.now_s,
        )
        self.pool = KVPool(layers, num_slots, 1, 2, dtype, "cpu")

    def put(
        self,
        *ids: int,
        namespace: Namespace | str = "",
        ttl_s: float | None = None,
        priority: int = 0,
    ) -> None:
        lease = self.cache.acquire(
            tokens_of(*ids), namespace=namespace, ttl_s=ttl_s, priority=priority
        )
        self.cache.extend(lease, len(ids) - len(lease))
        for at in range(lease.locked, len(ids)):
            self.write(int(lease.slots[at]), stamp(ids[: at + 1], Namespace.of(namespace)))
        self.cache.commit(lease, tokens_of(*ids))
        self.cache.release(lease)
        self.cache.check()

    def write(self, slot: int, value: float) -> None:
        for layer, side in enumerate((*self.pool.keys, *self.pool.values)):
            side[slot] = value + layer

    def length(self, *ids: int, namespace: Namespace | str = "") -> int:
        """How much of a prefix is cached, once every value of it was found right."""
        lease = self.cache.acquire(tokens_of(*ids), namespace=namespace)
        for at, slot in enumerate(lease.slots.tolist()):
            value = stamp(ids[: at + 1], Namespace.of(namespace))
            for layer, side in enumerate((*self.pool.keys, *self.pool.values)):
                assert (side[slot] == value + layer).all()
        self.cache.release(lease)
        return len(lease)

    def save(self, path: Path, *, max_tokens: int = 1000, without: str | None = None) -> int:
        return disk.save(path, self.cache, self.pool, FACTS, max_tokens=max_tokens, without=without)

    def load(self, path: Path) -> int:
        count = disk.load(path, self.cache, self.pool, FACTS)
        self.cache.check()
        assert self.cache.usage().free == self.cache.usage().pool - count
        return count


def stamp(path: tuple[int, ...], namespace: Namespace) -> float:
    return float(hash((path, namespace != Namespace())) % 100_003)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "saved.safetensors"


def test_what_was_saved_is_found_with_its_keys_and_values(path: Path) -> None:
    room = Room()
    room.put(1, 2, 3, 4, 5)
    room.put(1, 2, 3, 8, 9)
    room.put(1, 2, 7, namespace=NAMESPACES[1])
    assert room.save(path) == 10
    other = Room(32)
    assert other.load(path) == 10
    assert other.length(1, 2, 3, 4, 5, 6) == 5
    assert other.length(1, 2, 3, 8, 9) == 5
    assert other.length(1, 2, 7, namespace=NAMESPACES[1]) == 3
    assert other.length(1, 2, 7) == 2
    assert other.cache.statistics().miss_tokens == 2, "loading counts as no request"


@pytest.mark.parametrize("page_size", [1, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_every_dtype_and_page_size_comes_back(
    page_size: int, dtype: torch.dtype, path: Path
) -> None:
    ids = tuple(range(12))
    room = Room(page_size=page_size, dtype=dtype)
    room.put(*ids)
    generator = torch.Generator().manual_seed(0)
    for side in (*room.pool.keys, *room.pool.values):
        side.copy_(torch.rand(side.shape, generator=generator))
    slots = room.cache.acquire(tokens_of(*ids)).slots.tolist()
    room.save(path)
    other = Room(page_size=page_size, dtype=dtype)
    other.load(path)
    there = other.cache.acquire(tokens_of(*ids)).slots.tolist()
    assert len(there) == 12
    for name in ("keys", "values"):
        for a, b in zip(getattr(room.pool, name), getattr(other.pool, name), strict=True):
            assert torch.equal(a[slots], b[there])


def test_the_file_is_one_that_any_safetensors_library_reads(path: Path) -> None:
    room = Room()
    room.put(5, 6, 7)
    room.save(path)
    tensors = load_file(path)
    assert tensors["tokens"].tolist() == [5, 6, 7]
    assert tensors["keys.1"].shape == (3, 1, 2)


def test_an_empty_cache_is_saved_and_loaded(path: Path) -> None:
    assert Room().save(path) == 0
    assert Room().load(path) == 0


@pytest.mark.sample(4)
@pytest.mark.parametrize("seed", range(8))
def test_trees_at_random_come_back_as_they_were(seed: int, path: Path) -> None:
    rng = random.Random(seed)
    page_size = rng.choice([1, 2, 4])
    room = Room(400, page_size=page_size, policy=rng.choice(["lru", "lfu", "slru", "priority"]))
    for _ in range(40):
        ids = [rng.randint(1, 2) for _ in range(rng.randint(1, 12))]
        room.put(*ids, namespace=rng.choice(NAMESPACES), priority=rng.randint(0, 3))
    other = Room(400, page_size=page_size)
    assert room.save(path) == other.load(path)
    for path_ids in itertools.product((1, 2), repeat=8):
        for namespace in NAMESPACES:
            wanted = room.cache.match_length(tokens_of(*path_ids), namespace=namespace)
            assert other.length(*path_ids, namespace=namespace) == wanted
    other.cache.check()


def test_eviction_goes_on_in_the_order_that_it_had(path: Path) -> None:
    room = Room(32)
    for first in (1, 2, 3, 4):
        room.put(first, 0, 0, 0)
    room.put(2, 0, 0, 0)
    room.save(path)
    other = Room(16)
    other.load(path)
    for first in (1, 3, 4, 2):
        assert other.cache.match_length(tokens_of(first, 0, 0, 0)) == 4
        lease = other.cache.acquire(tokens_of())
        other.cache.extend(lease, 4)
        assert other.cache.match_length(tokens_of(first, 0, 0, 0)) == 0


def test_hits_and_priorities_come_back(path: Path) -> None:
    room = Room(policy="lfu")
    room.put(1, 2, priority=7)
    room.put(1, 2, 3)
    room.put(1, 2, 3)
    room.save(path)
    other = Room()
    other.load(path)
    seen = [[(n.tokens, n.hits, n.priority) for n in r.cache.list_nodes()] for r in (room, other)]
    assert seen[0] == seen[1]


def test_the_bound_keeps_pins_first_and_then_the_hottest(path: Path) -> None:
    room = Room()
    room.put(1, 1, 1, 1)
    room.put(2, 2, 2, 2)
    room.put(3, 3, 3, 3)
    room.cache.pin("old", tokens_of(1, 1, 1, 1))
    assert room.save(path, max_tokens=10) == 10
    other = Room()
    assert other.load(path) == 10
    found = [other.length(*[first] * 4) for first in (1, 2, 3)]
    assert found == [4, 2, 4], "of the coldest the head alone"


def test_a_smaller_pool_takes_what_is_worth_most(path: Path) -> None:
    room = Room()
    for first in (1, 2, 3):
        room.put(first, 0, 0, 0)
    room.save(path)
    other = Room(9)
    assert other.load(path) == 8
    assert [other.length(first, 0, 0, 0) for first in (1, 2, 3)] == [0, 4, 4]


def test_pins_come_back_but_for_those_that_are_not_worth_it(path: Path) -> None:
    room = Room()
    room.put(1, 2, 3)
    room.cache.pin("rules", tokens_of(1, 2), priority=2)
    room.cache.pin("~7", tokens_of(1, 2, 3))
    room.save(path, without="~")
    other = Room()
    other.load(path)
    (pin,) = other.cache.pins()
    assert (pin.name, pin.num_tokens, pin.ttl_left_s) == ("rules", 2, None)
    other.cache.flush()
    assert other.length(1, 2, 3) == 2


def test_pins_beyond_the_quota_are_cached_all_the_same(path: Path) -> None:
    room = Room()
    room.put(1, 2, 3)
    room.cache.pin("rules", tokens_of(1, 2, 3))
    room.save(path)
    other = Room(pin_share=0.0)
    assert other.load(path) == 3
    assert other.cache.pins() == []


def test_lifetimes_go_on_while_the_file_lies_there(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = Room()
    room.put(1, 1, ttl_s=10)
    room.put(2, 2, ttl_s=100)
    room.put(3, 3)
    room.cache.pin("short", tokens_of(3, 3), ttl_s=10)
    monkeypatch.setattr("time.time", lambda: 1000.0)
    room.save(path)
    monkeypatch.setattr("time.time", lambda: 1050.0)
    other = Room()
    assert other.load(path) == 4
    assert other.cache.pins() == []
    assert [other.length(1, 1), other.length(3, 3)] == [0, 2]
    other.now_s = 51.0
    assert other.cache.match_length(tokens_of(2, 2)) == 0
    assert other.cache.match_length(tokens_of(3, 3)) == 2


def test_what_a_running_request_has_computed_is_saved(path: Path) -> None:
    room = Room()
    lease = room.cache.acquire(tokens_of(1, 2, 3))
    for length in (2, 3):
        room.cache.extend(lease, length - len(lease))
        for at in range(lease.locked, length):
            room.write(int(lease.slots[at]), stamp((1, 2, 3)[: at + 1], Namespace()))
        room.cache.commit(lease, tokens_of(1, 2, 3)[:length])
        assert room.cache.acquire(tokens_of(1, 2, 3)).num_cached == length
    room.cache.extend(lease, 5)  # private: not computed
    assert room.save(path) == 3
    other = Room()
    assert other.load(path) == 3
    assert other.length(1, 2, 3) == 3


def cut(data: bytes) -> bytes:
    return data[:-40]


def cut_to_nothing(data: bytes) -> bytes:
    return data[:0]


def cut_in_the_header(data: bytes) -> bytes:
    return data[:30]


def flip_in_the_values(data: bytes) -> bytes:
    return data[:-60] + bytes([data[-60] ^ 1]) + data[-59:]


def flip_in_the_tree(data: bytes) -> bytes:
    at = 8 + struct.unpack("<Q", data[:8])[0] + 5
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def text(data: bytes) -> bytes:
    return b"hello " * 100


@pytest.mark.parametrize(
    "damage",
    [cut, cut_to_nothing, cut_in_the_header, flip_in_the_values, flip_in_the_tree, text],
    ids=lambda damage: damage.__name__,
)
def test_a_damaged_file_is_refused_and_nothing_is_loaded(
    damage: Callable[[bytes], bytes], path: Path
) -> None:
    room = Room()
    room.put(1, 2, 3, 4, 5)
    room.save(path)
    path.write_bytes(damage(path.read_bytes()))
    other = Room()
    with pytest.raises(UnusableFileError, match="damaged") as caught:
        other.load(path)
    assert str(path) in str(caught.value)
    assert isinstance(caught.value, CacheError)
    assert other.cache.usage().free == 64


def test_a_flipped_bit_anywhere_in_the_data_is_noticed(path: Path) -> None:
    room = Room()
    room.put(1, 2, 3)
    room.save(path)
    data = path.read_bytes()
    start = 8 + struct.unpack("<Q", data[:8])[0]
    for at in range(start, len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
        with pytest.raises(UnusableFileError):
            Room().load(path)


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"layers": 3}, "other layers"),
        ({"dtype": torch.bfloat16}, r"not \[3, 1, 2\] torch.bfloat16"),
        ({"page_size": 3}, "pages of 1 tokens, here they have 3"),
    ],
)
def test_a_file_for_another_pool_is_refused(
    other: dict[str, object], reason: str, path: Path
) -> None:
    room = Room()
    room.put(1, 2, 3)
    room.save(path)
    with pytest.raises(UnusableFileError, match=reason):
        Room(**other).load(path)  # type: ignore[arg-type]


def test_a_file_of_another_model_is_refused_by_what_differs(path: Path) -> None:
    room = Room()
    room.put(1, 2, 3)
    room.save(path)
    facts = {**FACTS, "model": "b2"}
    with pytest.raises(UnusableFileError, match=r"saved with another model a1, here b2$"):
        disk.load(path, Room().cache, Room().pool, facts)


def test_a_foreign_safetensors_file_is_refused(path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"keys.0": torch.zeros(2)}, path)
    with pytest.raises(UnusableFileError, match="it is no 'radixlm saved cache"):
        Room().load(path)


def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = Room()
    room.put(1, 2, 3)
    room.save(path)
    before = path.read_bytes()
    room.put(4, 5, 6)

    def full(descriptor: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        room.save(path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("entries", "pins", "fault"),
    [
        ([(1, 2)], [], "before its parent"),
        ([(0, 2)], [], "before its parent"),
        ([(ROOT, 1), (0, 1)], [], "no pages of 2"),
        ([(ROOT, 0)], [], "no pages of 2"),
        ([(ROOT, 2), (ROOT, 2)], [], "begins like one of its siblings"),
        ([(ROOT, 2)], [], "have 2 tokens, and it holds 4"),
        ([(ROOT, 4)], [1], "a pin ends in a node that is not there"),
    ],
)
def test_an_impossible_tree_is_told(
    entries: list[tuple[int, int]], pins: list[int], fault: str
) -> None:
    outline = Outline(
        2,
        [Entry(parent, Namespace(), length, 0, 0, None) for parent, length in entries],
        [SavedPin("x", entry, 0, None) for entry in pins],
    )
    found = fault_of(outline, tokens_of(1, 2, 1, 2))
    assert found is not None
    assert fault in found
