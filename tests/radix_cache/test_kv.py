import torch

from radixlm.radix_cache.kv import KVPool, bytes_per_slot, num_slots_within


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
    assert num_slots_within(11 * one, 3, 2, 8, torch.bfloat16) == 10
    assert num_slots_within(11 * one - 1, 3, 2, 8, torch.bfloat16) == 9
    assert num_slots_within(0, 3, 2, 8, torch.bfloat16) == 0
    pool = KVPool(3, 10, 2, 8, torch.bfloat16, "cpu")
    taken = sum(tensor.nbytes for tensor in (*pool.keys, *pool.values))
    assert taken == 11 * pool.bytes_per_slot == 11 * one
