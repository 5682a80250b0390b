import numpy as np

from radixlm.radix_cache import RadixCache

EMPTY = np.empty(0, dtype=np.int32)


def test_slots_stay_as_they_are_while_the_buffer_grows() -> None:
    cache = RadixCache(1000)
    lease = cache.acquire(EMPTY)
    for _ in range(1000):
        cache.extend(lease, 1)
    assert lease.slots.dtype == np.int32
    assert lease.slots.tolist() == list(range(1000))


def test_appending_reallocates_rarely() -> None:
    cache = RadixCache(1000)
    lease = cache.acquire(EMPTY)
    buffers: set[int] = set()
    for _ in range(1000):
        cache.extend(lease, 1)
        buffer = lease.slots.base
        assert buffer is not None
        buffers.add(len(buffer))
    assert len(buffers) <= 11


def test_a_lease_prints_what_it_holds() -> None:
    cache = RadixCache(10)
    lease = cache.acquire(EMPTY, namespace="tenant")
    cache.extend(lease, 3)
    cache.commit(lease, np.array([1, 2], dtype=np.int32))
    assert repr(lease) == "Lease(tenant 'tenant': 2 locked, 1 private)"
