from dataclasses import dataclass

import numpy as np
import pytest

from radixlm.radix_cache import (
    Namespace,
    NoPinError,
    NotCachedError,
    OutOfSlotsError,
    PinInfo,
    PinQuotaError,
    RadixCache,
    Tokens,
)

NOTHING = np.empty(0, dtype=np.int32)


@dataclass
class Clock:
    now_s: float = 100.0

    def __call__(self) -> float:
        return self.now_s


def tokens_of(*ids: int) -> Tokens:
    return np.array(ids, dtype=np.int32)


def put(cache: RadixCache, *ids: int, ttl_s: float | None = None, namespace: str = "") -> None:
    lease = cache.acquire(tokens_of(*ids), ttl_s=ttl_s, namespace=namespace)
    cache.extend(lease, len(ids) - lease.num_cached)
    cache.commit(lease, tokens_of(*ids))
    cache.release(lease)
    cache.check()


def test_a_pinned_prefix_survives_any_pressure() -> None:
    cache = RadixCache(10)
    put(cache, 1, 2, 3, 4, 5)
    cache.pin("system", tokens_of(1, 2, 3))
    cache.check()
    assert cache.flush() == 2
    lease = cache.acquire(NOTHING)
    with pytest.raises(OutOfSlotsError):
        cache.extend(lease, 8)
    cache.extend(lease, 7)
    cache.check()
    assert cache.match_length(tokens_of(1, 2, 3)) == 3
    assert (cache.usage().leased, cache.usage().pinned) == (10, 3)


def test_an_unpinned_prefix_stays_until_room_is_needed() -> None:
    cache = RadixCache(10)
    put(cache, 1, 2, 3)
    cache.pin("system", tokens_of(1, 2, 3))
    cache.unpin("system")
    cache.check()
    assert cache.match_length(tokens_of(1, 2, 3)) == 3
    assert cache.usage().cached == 3
    with pytest.raises(NoPinError, match=r"nothing is pinned as 'system' .* pinned are: none"):
        cache.unpin("system")


def test_a_pin_ends_with_its_time() -> None:
    clock = Clock()
    cache = RadixCache(10, clock=clock)
    put(cache, 1, 2, 3)
    cache.pin("system", tokens_of(1, 2, 3), ttl_s=60)
    clock.now_s += 59
    assert cache.pins()[0].ttl_left_s == 1
    assert cache.available == 7
    clock.now_s += 1
    assert cache.available == 10
    cache.check()
    assert cache.pins() == []
    assert cache.match_length(tokens_of(1, 2, 3)) == 3


def test_pins_are_listed_with_what_they_saved() -> None:
    clock = Clock()
    cache = RadixCache(10, clock=clock)
    put(cache, 1, 2, 3)
    put(cache, 1, 2, 3)  # a hit before it is pinned
    cache.pin("system", tokens_of(1, 2, 3))
    clock.now_s += 7
    put(cache, 1, 2, 3, 4)
    put(cache, 1, 2)
    (pin,) = cache.pins()
    assert pin == PinInfo(
        name="system", namespace=Namespace(), num_tokens=3, age_s=7, ttl_left_s=None, hits=1
    )
    assert pin.hit_tokens == 3


def test_pins_hold_no_more_than_their_share_and_what_they_share_counts_once() -> None:
    cache = RadixCache(12)
    put(cache, 1, 2, 3, 4, 5)
    put(cache, 1, 2, 3, 7, 8)
    cache.pin("a", tokens_of(1, 2, 3, 4))
    cache.pin("b", tokens_of(1, 2, 3, 7, 8))
    assert cache.usage().pinned == 6
    with pytest.raises(PinQuotaError, match=r"'c': .* would hold 7 tokens and 6 are") as error:
        cache.pin("c", tokens_of(1, 2, 3, 4, 5))
    assert (error.value.wanted, error.value.quota) == (7, 6)
    cache.check()
    cache.pin("c", tokens_of(1, 2))
    cache.unpin("b")
    assert cache.usage().pinned == 4
    cache.pin("c", tokens_of(1, 2, 3, 4, 5))
    cache.check()
    assert cache.usage().pinned == 5


def test_of_a_longer_node_only_the_pinned_part_counts() -> None:
    cache = RadixCache(12)
    put(cache, 1, 2, 3, 4, 5, 6, 7, 8)
    cache.pin("a", tokens_of(1, 2, 3, 4, 5, 6))
    cache.check()
    assert (cache.usage().pinned, cache.usage().cached) == (6, 2)


def test_a_name_that_is_pinned_again_stands_for_the_new_prefix() -> None:
    clock = Clock()
    cache = RadixCache(10, clock=clock, pin_share=0.3)
    put(cache, 1, 2, 3)
    put(cache, 4, 5, 6)
    cache.pin("system", tokens_of(1, 2, 3), ttl_s=10)
    cache.pin("system", tokens_of(4, 5, 6), ttl_s=20)
    cache.check()
    clock.now_s += 15
    assert [(pin.num_tokens, pin.ttl_left_s) for pin in cache.pins()] == [(3, 5)]
    cache.flush()
    assert cache.match_length(tokens_of(1, 2, 3)) == 0
    assert cache.match_length(tokens_of(4, 5, 6)) == 3


def test_only_what_is_cached_can_be_pinned() -> None:
    cache = RadixCache(20, page_size=2)
    put(cache, 1, 2, 3, 4)
    with pytest.raises(NotCachedError, match="4 of its 6 tokens are cached; compute") as error:
        cache.pin("a", tokens_of(1, 2, 3, 4, 5, 6))
    assert (error.value.cached, error.value.wanted) == (4, 6)
    with pytest.raises(NotCachedError, match="shorter than a page"):
        cache.pin("a", tokens_of(1))
    with pytest.raises(NotCachedError):
        cache.pin("a", tokens_of(1, 2), namespace="other")
    assert cache.pin("a", tokens_of(1, 2, 3)).num_tokens == 2
    cache.check()


def test_a_pin_counts_as_no_hit_of_its_prefix() -> None:
    cache = RadixCache(10)
    put(cache, 1, 2, 3)
    cache.pin("a", tokens_of(1, 2, 3))
    assert cache.statistics().hit_tokens == 0
    assert cache.list_nodes()[0].hits == 0


def test_names_belong_to_their_namespace() -> None:
    cache = RadixCache(10)
    put(cache, 1, namespace="a")
    cache.pin("x", tokens_of(1), namespace="a")
    with pytest.raises(NoPinError):
        cache.unpin("x", namespace="b")
    cache.unpin("x", namespace="a")


def test_entries_expire_and_pinned_ones_with_their_pin() -> None:
    clock = Clock()
    cache = RadixCache(20, clock=clock)
    put(cache, 1, 2, 3, ttl_s=10)
    put(cache, 7, 8, ttl_s=10)
    cache.pin("a", tokens_of(1, 2), ttl_s=30)
    clock.now_s += 10
    assert cache.match_length(tokens_of(1, 2, 3)) == 2
    assert cache.match_length(tokens_of(7, 8)) == 0
    cache.check()
    clock.now_s += 20
    assert cache.match_length(tokens_of(1, 2)) == 0
    cache.check()
    assert cache.usage().free == 20


def test_a_use_prolongs_the_life_of_an_entry() -> None:
    clock = Clock()
    cache = RadixCache(20, clock=clock)
    put(cache, 1, 2, 3, ttl_s=10)
    clock.now_s += 9
    put(cache, 1, 2, ttl_s=10)
    clock.now_s += 9
    assert cache.match_length(tokens_of(1, 2, 3)) == 2
    lease = cache.acquire(tokens_of(1, 2), ttl_s=1)
    clock.now_s += 100
    assert cache.match_length(tokens_of(1, 2)) == 2
    cache.release(lease)
    clock.now_s += 1
    assert cache.match_length(tokens_of(1, 2)) == 0
    cache.check()


@pytest.mark.parametrize("ttl_s", [0, -1.0])
def test_a_lifetime_is_more_than_nothing(ttl_s: float) -> None:
    cache = RadixCache(20)
    with pytest.raises(ValueError, match="ttl_s must be None or more than 0"):
        cache.acquire(NOTHING, ttl_s=ttl_s)
    with pytest.raises(ValueError, match="ttl_s must be None or more than 0"):
        cache.pin("a", NOTHING, ttl_s=ttl_s)
    with pytest.raises(ValueError, match="pin_share must be from 0 to 1, not 2"):
        RadixCache(1, pin_share=2)
