from collections.abc import Callable

import numpy as np
import pytest

from radixlm.radix_cache import Copy, HostUsage, Lease, LeaseReleasedError, RadixCache, Tokens
from radixlm.radix_cache.host import HostTier

NOTHING = np.empty(0, dtype=np.int32)


def tokens_of(*ids: int) -> Tokens:
    return np.array(ids, dtype=np.int32)


def put(cache: RadixCache, *ids: int, ttl_s: float | None = None) -> list[int]:
    lease = cache.acquire(tokens_of(*ids), ttl_s=ttl_s)
    cache.extend(lease, len(ids) - lease.num_cached)
    cache.commit(lease, tokens_of(*ids))
    slots: list[int] = lease.slots.tolist()
    cache.release(lease)
    cache.check()
    return slots


def tiers(
    device: int, host: int, *, page_size: int = 1, clock: Callable[[], float] = lambda: 0.0
) -> tuple[RadixCache, HostTier]:
    cache = RadixCache(device, host_slots=host, page_size=page_size, clock=clock)
    assert cache.host is not None
    return cache, cache.host


def crowd_out(cache: RadixCache) -> None:
    """Make the device's tree give up everything, as a request as large as the pool would."""
    lease = cache.acquire(NOTHING)
    cache.extend(lease, cache.available)
    cache.check()
    cache.release(lease)


def as_data(plan: list[Copy]) -> list[tuple[bool, list[int], list[int]]]:
    return [(order.to_host, order.device.tolist(), order.host.tolist()) for order in plan]


def carried_out(host: HostTier) -> list[tuple[bool, list[int], list[int]]]:
    plan = host.plan()
    host.apply(plan)
    assert host.plan() == []
    return as_data(plan)


def recalled(cache: RadixCache, *ids: int) -> Lease:
    lease = cache.acquire(tokens_of(*ids))
    cache.recall(lease, tokens_of(*ids))
    cache.check()
    return lease


def test_what_is_evicted_comes_back_on_a_hit() -> None:
    cache, host = tiers(6, 10)
    slots = put(cache, 1, 2, 3, 4)
    crowd_out(cache)
    assert cache.match_length(tokens_of(1, 2, 3, 4)) == 0
    ((to_host, device, there),) = carried_out(host)
    assert (to_host, device) == (True, slots)
    assert host.usage() == HostUsage(pool=10, free=6, stored=4)
    lease = recalled(cache, 1, 2, 3, 9)
    assert (lease.num_cached, lease.locked) == (0, 3)
    assert carried_out(host) == [(False, lease.slots.tolist(), there[:3])]
    assert cache.match_length(tokens_of(1, 2, 3, 4)) == 3


def test_the_host_continues_what_the_device_still_has() -> None:
    cache, host = tiers(8, 10, page_size=2)
    put(cache, 1, 2, 3, 4, 5, 6, 7, 8)
    lease = cache.acquire(NOTHING)
    cache.extend(lease, 4)
    cache.release(lease)
    assert cache.match_length(tokens_of(1, 2, 3, 4, 5, 6, 7, 8)) == 4
    lease = recalled(cache, 1, 2, 3, 4, 5, 6, 7, 8)
    assert (lease.num_cached, lease.locked) == (4, 8)
    (first, second) = carried_out(host)
    assert (first[0], second[0]) == (True, False)
    assert first[2] == second[2]
    assert second[1] == lease.slots[4:].tolist()


def test_evicting_again_what_came_back_costs_no_copy() -> None:
    cache, host = tiers(6, 10)
    put(cache, 1, 2, 3)
    crowd_out(cache)
    cache.release(recalled(cache, 1, 2, 3))
    carried_out(host)
    crowd_out(cache)
    assert host.plan() == []
    assert recalled(cache, 1, 2, 3).locked == 3


def test_the_least_recently_used_make_room_in_the_host() -> None:
    cache, host = tiers(4, 4)
    put(cache, 1, 2)
    put(cache, 3, 4)
    crowd_out(cache)
    cache.release(recalled(cache, 1, 2))
    put(cache, 5, 6)
    crowd_out(cache)
    cache.check()
    assert host.usage().stored == 4
    assert recalled(cache, 3, 4).locked == 0
    assert recalled(cache, 1, 2).locked == 2


def test_more_than_the_host_can_hold_is_dropped() -> None:
    cache, host = tiers(8, 3)
    put(cache, 1, 2, 3, 4, 5)
    crowd_out(cache)
    assert host.plan() == []
    assert host.usage().stored == 0


def take_room(cache: RadixCache, count: int) -> None:
    lease = cache.acquire(NOTHING)
    cache.extend(lease, count)
    cache.check()
    cache.release(lease)


def test_a_leaf_that_goes_piece_by_piece_comes_back_whole() -> None:
    cache, host = tiers(8, 8)
    put(cache, 1, 2, 3, 4, 5, 6, 7, 8)
    for count in (2, 5, 8):
        take_room(cache, count)
    cache.check()
    assert host.usage().stored == 8
    assert recalled(cache, 1, 2, 3, 4, 5, 6, 7, 8).locked == 8


def test_the_end_of_a_prefix_does_not_come_back_without_its_start() -> None:
    cache, host = tiers(8, 3)
    put(cache, 1, 2, 3, 4, 5, 6, 7, 8)
    take_room(cache, 3)
    take_room(cache, 8)  # five more than fit
    assert host.usage().stored == 3
    assert recalled(cache, 1, 2, 3, 4, 5, 6, 7, 8).locked == 0


def test_making_room_for_a_recall_does_not_take_it_from_the_host() -> None:
    cache, host = tiers(4, 4)
    put(cache, 1, 2, 3, 4)
    crowd_out(cache)
    carried_out(host)
    put(cache, 5, 6, 7, 8)
    lease = recalled(cache, 1, 2, 3, 4)  # evicts 5 6 7 8, for which there is no room but its own
    assert lease.locked == 4
    assert [to_host for to_host, _, _ in carried_out(host)] == [False]


def test_a_recall_takes_what_there_is_room_for() -> None:
    cache, _ = tiers(6, 10, page_size=2)
    put(cache, 1, 2, 3, 4, 5, 6)
    crowd_out(cache)
    held = cache.acquire(NOTHING)
    cache.extend(held, 3)
    assert recalled(cache, 1, 2, 3, 4, 5, 6).locked == 2


def test_orders_in_one_direction_are_one_unless_a_slot_is_written_twice() -> None:
    cache, host = tiers(4, 2)
    put(cache, 1)
    put(cache, 2)
    crowd_out(cache)
    assert len(host.plan()) == 1
    put(cache, 3)
    crowd_out(cache)
    first, second = carried_out(host)
    assert set(second[2]) <= set(first[2])


def test_entries_expire_in_the_host_too() -> None:
    now_s = 0.0
    cache, host = tiers(4, 10, clock=lambda: now_s)
    put(cache, 1, 2, ttl_s=10)
    put(cache, 3, 4)
    crowd_out(cache)
    now_s = 10.0
    assert recalled(cache, 1, 2).locked == 0
    assert host.usage().stored == 2
    assert recalled(cache, 3, 4).locked == 2


def test_what_expires_on_the_device_does_not_move_to_the_host() -> None:
    now_s = 0.0
    cache, host = tiers(4, 10, clock=lambda: now_s)
    put(cache, 1, 2, ttl_s=10)
    now_s = 10.0
    assert cache.usage().free == 4
    assert host.plan() == []


def test_a_flush_empties_the_host_as_well() -> None:
    cache, host = tiers(4, 10)
    put(cache, 1, 2)
    crowd_out(cache)
    put(cache, 3)
    cache.flush()
    cache.check()
    assert host.usage().stored == 0
    assert recalled(cache, 1, 2).locked == 0


def test_a_recall_is_for_a_fresh_lease_and_without_a_host_brings_nothing() -> None:
    cache = RadixCache(4)
    lease = cache.acquire(tokens_of(1, 2))
    assert cache.recall(lease, tokens_of(1, 2)) == 0
    cache.extend(lease, 2)
    with pytest.raises(ValueError, match="cannot recall behind 2 private slots"):
        cache.recall(lease, tokens_of(1, 2))
    cache.release(lease)
    with pytest.raises(LeaseReleasedError, match="cannot recall"):
        cache.recall(lease, tokens_of(1, 2))
    with pytest.raises(ValueError, match="host_slots must be at least 0, not -1"):
        RadixCache(4, host_slots=-1)
