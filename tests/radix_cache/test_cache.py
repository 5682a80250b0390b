import numpy as np
import pytest

from radixlm.radix_cache import (
    Lease,
    LeaseReleasedError,
    OutOfSlotsError,
    RadixCache,
    Statistics,
    Tokens,
    Usage,
)


def tokens_of(*ids: int) -> Tokens:
    return np.array(ids, dtype=np.int32)


def put(cache: RadixCache, tokens: Tokens, namespace: str = "") -> list[int]:
    """Serve one request for `tokens`, and return the slots that it ended with."""
    lease = computed(cache, tokens, namespace)
    slots: list[int] = lease.slots.tolist()
    cache.release(lease)
    cache.check()
    return slots


def computed(cache: RadixCache, tokens: Tokens, namespace: str = "") -> Lease:
    lease = cache.acquire(tokens, namespace=namespace)
    cache.extend(lease, len(tokens) - lease.num_cached)
    cache.commit(lease, tokens)
    cache.check()
    return lease


def test_a_second_request_gets_the_slots_of_the_first() -> None:
    cache = RadixCache(10)
    slots = put(cache, tokens_of(1, 2, 3))
    lease = cache.acquire(tokens_of(1, 2, 3, 4))
    assert lease.slots.tolist() == slots
    assert (lease.num_cached, lease.locked, len(lease)) == (3, 3, 3)


@pytest.mark.parametrize(
    ("page_size", "asked", "limit", "matched"),
    [
        (1, [1, 2, 3, 4, 5, 6], None, 6),
        (1, [1, 2, 3, 4, 5, 6, 7], None, 6),
        (1, [1, 2, 3, 4, 5, 6], 5, 5),
        (1, [1, 2, 3, 4, 5, 6], 99, 6),
        (1, [1, 2, 3, 4, 5, 6], 0, 0),
        (1, [1, 2, 9], None, 2),
        (1, [9], None, 0),
        (1, [], None, 0),
        (2, [1, 2, 3, 4, 5, 6], 5, 4),
        (2, [1, 2, 3, 9, 5, 6], None, 2),
        (4, [1, 2, 3, 4, 5, 6], None, 4),
        (4, [1, 2, 3, 9], None, 0),
    ],
)
def test_the_longest_prefix_in_whole_pages_is_found(
    page_size: int, asked: list[int], limit: int | None, matched: int
) -> None:
    cache = RadixCache(10, page_size=page_size)
    put(cache, tokens_of(1, 2, 3, 4, 5, 6))
    lease = cache.acquire(tokens_of(*asked), limit=limit)
    cache.check()
    assert lease.num_cached == matched
    assert cache.match_length(tokens_of(*asked[:limit])) == matched


def test_a_partial_match_locks_only_what_it_matches() -> None:
    cache = RadixCache(10)
    put(cache, tokens_of(1, 2, 3, 4, 5))
    cache.acquire(tokens_of(1, 2, 9))
    assert cache.usage() == Usage(pool=10, free=5, cached=3, leased=2)
    assert cache.flush() == 3
    cache.check()


def test_two_requests_that_compute_the_same_tokens_end_on_the_same_slots() -> None:
    cache = RadixCache(10)
    first, second = (cache.acquire(tokens_of(1, 2, 3)) for _ in range(2))
    cache.extend(first, 3)
    cache.extend(second, 3)
    assert not set(first.slots) & set(second.slots)
    cache.commit(first, tokens_of(1, 2, 3))
    cache.commit(second, tokens_of(1, 2, 3))
    cache.check()
    assert first.slots.tolist() == second.slots.tolist()
    assert cache.usage() == Usage(pool=10, free=7, cached=0, leased=3)


def test_committing_a_prefix_leaves_the_rest_private() -> None:
    cache = RadixCache(10, page_size=2)
    lease = cache.acquire(tokens_of(1, 2, 3, 4, 5))
    cache.extend(lease, 5)
    cache.commit(lease, tokens_of(1, 2, 3))
    cache.check()
    assert (lease.locked, len(lease)) == (2, 5)
    cache.commit(lease, tokens_of(1, 2))
    assert lease.locked == 2
    cache.release(lease)
    cache.check()
    assert cache.usage() == Usage(pool=10, free=8, cached=2, leased=0)


def test_a_lease_below_a_split_keeps_its_whole_path() -> None:
    cache = RadixCache(10)
    lease = computed(cache, tokens_of(1, 2, 3, 4))
    put(cache, tokens_of(1, 2, 7))
    assert cache.flush() == 1
    cache.check()
    assert cache.match_length(tokens_of(1, 2, 3, 4)) == 4
    cache.extend(lease, 1)
    cache.commit(lease, tokens_of(1, 2, 3, 4, 5))
    cache.check()


def test_truncating_gives_back_private_slots_alone() -> None:
    cache = RadixCache(10)
    lease = computed(cache, tokens_of(1, 2))
    cache.extend(lease, 5)
    kept = lease.slots[:4].tolist()
    cache.truncate(lease, 4)
    cache.check()
    assert lease.slots.tolist() == kept
    assert cache.usage().free == 6
    for length in (1, 5):
        with pytest.raises(ValueError, match=r"from 2 \(locked\) to 4"):
            cache.truncate(lease, length)


def test_too_few_slots_leave_everything_as_it_was() -> None:
    cache = RadixCache(10)
    held = computed(cache, tokens_of(1, 2, 3))
    put(cache, tokens_of(7, 8, 9))
    before = cache.usage(), cache.statistics(), held.slots.tolist()
    with pytest.raises(OutOfSlotsError, match=r"8 slots are wanted and 7 are available") as error:
        cache.extend(held, 8)
    assert (error.value.wanted, error.value.available) == (8, 7)
    assert (cache.usage(), cache.statistics(), held.slots.tolist()) == before
    cache.extend(held, 7)
    cache.check()
    assert cache.available == 0


def test_only_the_tail_that_is_needed_is_evicted() -> None:
    cache = RadixCache(8, page_size=2)
    put(cache, tokens_of(1, 2, 3, 4, 5, 6, 7, 8))
    cache.extend(cache.acquire(tokens_of(9)), 3)
    cache.check()
    assert cache.match_length(tokens_of(1, 2, 3, 4, 5, 6, 7, 8)) == 4
    assert cache.usage() == Usage(pool=8, free=1, cached=4, leased=3)


def test_namespaces_share_slots_but_no_tokens() -> None:
    cache = RadixCache(4)
    put(cache, tokens_of(1, 2, 3), namespace="a")
    assert cache.match_length(tokens_of(1, 2, 3), namespace="b") == 0
    put(cache, tokens_of(1, 2, 3), namespace="b")
    assert cache.match_length(tokens_of(1, 2, 3), namespace="a") == 1
    assert cache.match_length(tokens_of(1, 2, 3), namespace="b") == 3


def test_a_disabled_cache_allocates_and_keeps_nothing() -> None:
    cache = RadixCache(10, enabled=False)
    put(cache, tokens_of(1, 2, 3))
    assert cache.acquire(tokens_of(1, 2, 3)).num_cached == 0
    assert cache.usage() == Usage(pool=10, free=10, cached=0, leased=0)


def test_a_released_lease_is_refused() -> None:
    cache = RadixCache(10)
    lease = computed(cache, tokens_of(1))
    cache.release(lease)
    with pytest.raises(LeaseReleasedError, match="cannot release"):
        cache.release(lease)
    with pytest.raises(LeaseReleasedError, match="cannot extend"):
        cache.extend(lease, 1)
    with pytest.raises(LeaseReleasedError, match="cannot commit"):
        cache.commit(lease, tokens_of(1))
    with pytest.raises(LeaseReleasedError, match="cannot truncate"):
        cache.truncate(lease, 1)
    cache.check()


def test_a_lease_of_another_cache_is_refused() -> None:
    lease = RadixCache(10).acquire(tokens_of(1))
    with pytest.raises(LeaseReleasedError, match="another cache"):
        RadixCache(10).release(lease)


def test_wrong_arguments_are_refused() -> None:
    cache = RadixCache(10)
    lease = cache.acquire(tokens_of())
    with pytest.raises(ValueError, match="num_slots must be at least 1, not 0"):
        RadixCache(0)
    with pytest.raises(ValueError, match="page_size must be at least 1, not 0"):
        RadixCache(1, page_size=0)
    with pytest.raises(ValueError, match="count must be at least 0, not -1"):
        cache.extend(lease, -1)
    with pytest.raises(ValueError, match="limit must be None or at least 0, not -1"):
        cache.acquire(tokens_of(1), limit=-1)
    with pytest.raises(ValueError, match="cannot commit 1 tokens: the lease has 0 slots"):
        cache.commit(lease, tokens_of(1))
    with pytest.raises(TypeError, match=r"must be \[n\] int32, not \[2\] int64"):
        cache.acquire(np.array([1, 2]))
    cache.check()


def test_matching_does_not_touch_recency() -> None:
    cache = RadixCache(4)
    put(cache, tokens_of(1, 2))
    put(cache, tokens_of(3, 4))
    cache.match_length(tokens_of(1, 2))
    cache.extend(cache.acquire(tokens_of()), 2)
    assert cache.match_length(tokens_of(1, 2)) == 0
    assert cache.match_length(tokens_of(3, 4)) == 2


def test_statistics_count_tokens() -> None:
    cache = RadixCache(10)
    put(cache, tokens_of(1, 2, 3))
    put(cache, tokens_of(1, 2, 4, 5))
    cache.flush()
    put(cache, tokens_of(1))
    assert cache.statistics() == Statistics(
        hit_tokens=2, miss_tokens=6, inserted_tokens=6, evicted_tokens=5, num_nodes=1
    )


def test_an_idle_namespace_leaves_nothing_behind() -> None:
    cache = RadixCache(10)
    for tenant in range(100):
        put(cache, tokens_of(1, 2, 3), namespace=str(tenant))
    cache.flush()
    cache.check()
    assert cache.list_nodes() == []
    assert cache.usage().free == 10


def test_a_conversation_of_many_turns_is_matched_without_recursion() -> None:
    cache = RadixCache(5000)
    tokens = np.arange(5000, dtype=np.int32)
    lease = cache.acquire(tokens)
    for length in range(1, 5001):
        cache.extend(lease, 1)
        cache.commit(lease, tokens[:length])
    cache.release(lease)
    cache.check()
    assert cache.match_length(tokens) == 5000
    assert cache.flush() == 5000
