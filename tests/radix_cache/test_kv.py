import numpy as np
import torch

from radixlm.radix_cache import RadixCache
from radixlm.radix_cache.kv import KVPool, bytes_per_slot, carry_out, num_slots_within


def test_a_pool_has_a_tensor_per_layer_side_and_a_scratch_slot() -> None:
    pool = KVPool(3, 10, 2, 8, torch.bfloat16, "cpu")
    assert len(pool.keys) == len(pool.values) == 3
    for tensor in (*pool.keys, *pool.values):
        assert tensor.shape == (11, 2, 8)
        assert tensor.dtype == torch.bfloat16
        assert not tensor.any()
    assert pool.scratch_slot == pool.num_slots == 10


def test_a_budget_buys_the_slots_that_fit_with_the_scratch_slot() -> None:
    one = bytes_per_slot(3, 2, 8, torch.bfloat16)
    assert one == 3 * 2 * 2 * 8 * 2
    assert num_slots_within(11 * one, one) == 10
    assert num_slots_within(11 * one - 1, one) == 9
    assert num_slots_within(0, one) == 0
    pool = KVPool(3, 10, 2, 8, torch.bfloat16, "cpu")
    taken = sum(tensor.nbytes for tensor in (*pool.keys, *pool.values))
    assert taken == 11 * pool.bytes_per_slot == 11 * one


def test_what_was_evicted_to_the_host_comes_back_as_it_was() -> None:
    cache = RadixCache(6, host_slots=9)
    device, host = (KVPool(2, slots, 1, 3, torch.float32, "cpu") for slots in (6, 9))
    assert cache.host is not None
    tokens = np.arange(4, dtype=np.int32)
    lease = cache.acquire(tokens)
    cache.extend(lease, 4)
    slots = lease.slots.tolist()
    for layer in range(2):
        device.keys[layer][slots] = torch.rand(4, 1, 3)
        device.values[layer][slots] = torch.rand(4, 1, 3)
    before = [tensor[slots] for tensor in (*device.keys, *device.values)]
    cache.commit(lease, tokens)
    cache.release(lease)
    other = cache.acquire(np.empty(0, dtype=np.int32))
    cache.extend(other, 6)
    plan = cache.host.plan()
    carry_out(plan, device, host)
    cache.host.apply(plan)
    for tensor in (*device.keys, *device.values):
        tensor.fill_(7.0)  # what the other request computes
    cache.release(other)
    lease = cache.acquire(tokens)
    assert cache.recall(lease, tokens) == 4
    carry_out(cache.host.plan(), device, host)
    slots = lease.slots.tolist()
    after = [tensor[slots] for tensor in (*device.keys, *device.values)]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
