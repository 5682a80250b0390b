import numpy as np
import pytest
import torch

from radixlm.runtime.engine.inputs import Decodes, Inputs, Row, Staging, stand_in


def row(start: int, count: int, logits_from: int, first_slot: int) -> Row:
    tokens = np.arange(count, dtype=np.int32) + 10 * count
    slots = np.arange(start + count, dtype=np.int32)[::-1] + first_slot
    return Row(tokens=tokens, start=start, slots=slots, logits_from=logits_from)


def test_rows_lie_one_after_another() -> None:
    inputs = Inputs.build(
        [row(0, 3, 3, 0), row(2, 1, 0, 50), row(1, 2, 0, 90)], Staging(torch.device("cpu"))
    )
    assert inputs.tokens.tolist() == [30, 31, 32, 10, 20, 21]
    assert inputs.positions.tolist() == [0, 1, 2, 2, 1, 2]
    assert inputs.wanted.tolist() == [3, 4, 5]
    assert inputs.layout.query_lens.tolist() == [3, 1, 2]
    assert inputs.layout.kv_lens.tolist() == [3, 3, 3]
    slots, new_slots = inputs.layout.gather(torch.device("cpu"))
    assert new_slots.tolist() == [2, 1, 0, 50, 91, 90]
    assert slots.tolist() == [2, 1, 0, 52, 51, 50, 92, 91, 90]


def test_decodes_come_before_the_rows() -> None:
    slots = [np.array([7, 3], dtype=np.int32), np.array([9], dtype=np.int32)]
    decodes = Decodes(
        tokens=np.array([60, 70]),
        lengths=np.array([2, 1]),
        addresses=np.array([each.ctypes.data for each in slots], dtype=np.uint64),
        slots=lambda: slots,
    )
    inputs = Inputs.build([row(2, 3, 1, 20)], Staging(torch.device("cpu")), decodes)
    assert inputs.tokens.tolist() == [60, 70, 30, 31, 32]
    assert inputs.positions.tolist() == [1, 0, 2, 3, 4]
    assert inputs.wanted.tolist() == [0, 1, 3, 4]
    all_slots, new_slots = inputs.layout.gather(torch.device("cpu"))
    assert new_slots.tolist() == [3, 9, 22, 21, 20]
    assert all_slots.tolist() == [7, 3, 9, 24, 23, 22, 21, 20]


def test_tokens_that_the_host_has_not_read_come_from_the_device() -> None:
    slots = [np.array([7], dtype=np.int32), np.array([9], dtype=np.int32)]
    decodes = Decodes(
        tokens=np.array([stand_in(2), 70]),
        lengths=np.array([1, 1]),
        addresses=np.array([each.ctypes.data for each in slots], dtype=np.uint64),
        slots=lambda: slots,
    )
    one = Row(np.array([stand_in(0)], np.int32), 0, np.array([4], np.int32), logits_from=0)
    failed = Row(np.array([stand_in(1)], np.int32), 0, np.array([5], np.int32), logits_from=0)
    drawn = torch.tensor([11, -1, 13])
    staging = Staging(torch.device("cpu"))
    inputs = Inputs.build([one, failed], staging, decodes, drawn)
    assert inputs.tokens.tolist() == [13, 70, 11, 0]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device")
def test_passes_laid_out_ahead_of_the_device_keep_their_numbers() -> None:
    device = torch.device("cuda")
    staging, sums = Staging(device), list[torch.Tensor]()
    busy = torch.randn(2048, 2048, device=device)
    for step in range(20):
        for _ in range(20):
            busy = busy @ busy.T / 2048
        one = row(0, 3 + 200 * step, 0, 0)
        sums.append(Inputs.build([one], staging).tokens.sum())
        if step % 2:  # as the loop does: the pass before the last is over
            torch.cuda.synchronize()
    counts = [3 + 200 * step for step in range(20)]
    assert [int(s) for s in sums] == [n * (n - 1) // 2 + 10 * n * n for n in counts]


@pytest.mark.parametrize(("start", "count", "logits_from"), [(0, 0, 0), (1, 2, 3), (1, 2, -1)])
def test_a_row_that_breaks_its_promise_is_our_bug(start: int, count: int, logits_from: int) -> None:
    with pytest.raises(AssertionError):
        Inputs.build([row(start, count, logits_from, 0)], Staging(torch.device("cpu")))
