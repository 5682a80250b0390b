"""The bitmask of a batch."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from torch import Tensor

from radixlm.runtime.messages import Submit
from radixlm.runtime.request import RequestId, SamplingParams
from radixlm.runtime.scheduler.job import Job
from radixlm.runtime.scheduler.mask import fill_mask


class Fixed:
    """A matcher that allows one token, or fails."""

    def __init__(self, token: int | None) -> None:
        self.token = token

    def fill(self, mask: Tensor, row: int) -> None:
        if self.token is None:
            raise RuntimeError("a bug of the back end's")
        mask[row] = 0
        mask[row, self.token // 32] = 1 << (self.token % 32)


def job(matcher: Fixed | None) -> Job:
    submit = Submit(rid=RequestId("r"), tokens=[1], sampling=SamplingParams(), seed=0)
    made = Job.of(submit, max_new=1)
    made.matcher = cast("Any", matcher)
    return made


def test_only_constrained_jobs_get_a_row() -> None:
    filled = fill_mask([job(None), job(Fixed(3)), job(None), job(Fixed(40))], 64)
    assert filled is not None
    mask, rows = filled
    assert rows == [1, 3]
    assert torch.equal(mask, torch.tensor([[8, 0], [0, 256]], dtype=torch.int32))


def test_there_is_no_mask_without_constrained_jobs() -> None:
    assert fill_mask([job(None)], 64) is None


def test_a_matcher_that_raises_forbids_everything_for_its_own_row_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    filled = fill_mask([job(Fixed(None)), job(Fixed(3))], 64)
    assert filled is not None
    assert filled[0].tolist() == [[0, 0], [8, 0]]
    assert "mask could not be filled" in caplog.text
