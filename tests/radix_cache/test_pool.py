import numpy as np
import pytest

from radixlm.radix_cache.pool import SlotPool


def test_a_fresh_pool_hands_out_ascending_slots() -> None:
    pool = SlotPool(5)
    assert pool.allocate(2).tolist() == [0, 1]
    assert pool.allocate(0).tolist() == []
    assert pool.allocate(3).tolist() == [2, 3, 4]
    assert pool.num_free == 0


def test_freed_slots_come_back_in_the_same_order() -> None:
    pool = SlotPool(5)
    slots = pool.allocate(4)
    pool.free(slots[1:3])
    pool.check(slots[[0, 3]])
    assert pool.allocate(2).tolist() == [1, 2]
    pool.check(slots)


def test_check_finds_a_double_free_and_a_lost_slot() -> None:
    pool = SlotPool(4)
    slots = pool.allocate(3)
    pool.free(slots[:1])
    pool.free(slots[:1])
    with pytest.raises(AssertionError, match="owned twice"):
        pool.check(slots[1:])
    with pytest.raises(AssertionError, match="lost"):
        SlotPool(4).check(np.array([0], dtype=np.int32))
