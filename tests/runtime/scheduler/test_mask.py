"""The bitmask of a batch."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any, cast

import numpy as np
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
        self.filled = 0

    def fill(self, mask: Tensor, row: int) -> None:
        self.filled += 1
        if self.token is None:
            raise RuntimeError("a bug of the back end's")
        mask[row] = 0
        mask[row, self.token // 32] = 1 << (self.token % 32)


def compiled() -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(object())
    return future


def job(
    matcher: Fixed | None,
    grammar: Future[Any] | None = None,
    generated: tuple[int, ...] = (),
) -> Job:
    submit = Submit(rid=RequestId("r"), tokens=[1], sampling=SamplingParams(), seed=0)
    made = Job.of(submit, max_new=9)
    made.matcher = cast("Any", matcher)
    made.grammar = grammar or compiled()
    made.extend(np.array(generated, dtype=np.int32))
    return made


def test_only_constrained_jobs_get_a_row() -> None:
    filled = fill_mask([job(None), job(Fixed(3)), job(None), job(Fixed(40))], 64)
    assert filled is not None
    mask, rows = filled
    assert rows.tolist() == [[1, 0], [3, 1]]
    assert torch.equal(mask, torch.tensor([[8, 0], [0, 256]], dtype=torch.int32))


def test_jobs_in_one_state_of_a_grammar_share_a_row_that_is_filled_once() -> None:
    matchers = [Fixed(3), Fixed(3), Fixed(5), Fixed(7)]
    one, other = compiled(), compiled()
    jobs = [
        job(matchers[0], one, (8, 9)),
        job(None),
        job(matchers[1], one, (8, 9)),
        job(matchers[2], one, (9, 8)),
        job(matchers[3], other, (8, 9)),
    ]
    filled = fill_mask(jobs, 32)
    assert filled is not None
    mask, rows = filled
    assert rows.tolist() == [[0, 0], [2, 0], [3, 1], [4, 2]]
    assert mask.tolist() == [[8], [32], [128]]
    assert [matcher.filled for matcher in matchers] == [1, 0, 1, 1]


def test_there_is_no_mask_without_constrained_jobs() -> None:
    assert fill_mask([job(None)], 64) is None


def test_a_matcher_that_raises_forbids_everything_for_its_own_row_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    filled = fill_mask([job(Fixed(None)), job(Fixed(3))], 64)
    assert filled is not None
    assert filled[0].tolist() == [[0, 0], [8, 0]]
    assert "mask could not be filled" in caplog.text
