"""Grammars of a batch: compiled in the background, filled into one bitmask while the model runs."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ...constrained.bitmask import allocate_bitmask
from .job import Job

logger = logging.getLogger(__name__)


class Mask(NamedTuple):
    """The bitmask of a batch."""

    words: Tensor  # [masks, ceil(vocab / 32)] i32 on the host
    pairs: NDArray[np.int32]  # [constrained, 2] the index of each such job, and its row of `words`


def fill_mask(jobs: Sequence[Job], vocab_size: int) -> Mask | None:
    """Fill the bitmask of the constrained jobs among `jobs`.

    Jobs that have generated the same tokens under one grammar and budget share a row, which is
    filled once: the samples of one prompt at their beginning, equal prompts under greedy.

    Returns:
        None when none is constrained.
    """
    filling: list[Job] = []  # of each row of the mask, the job whose matcher fills it
    rows: dict[tuple[int, int, int], list[int]] = {}  # by what is cheap to compare
    pairs: list[tuple[int, int]] = []
    for index, job in enumerate(jobs):
        if job.matcher is None:
            continue
        alike = rows.setdefault(_mark(job), [])
        row = next((row for row in alike if _is_same(filling[row], job)), len(filling))
        if row == len(filling):
            filling.append(job)
            alike.append(row)
        pairs.append((index, row))
    if not pairs:
        return None
    mask = allocate_bitmask(len(filling), vocab_size)
    for row, job in enumerate(filling):
        assert job.matcher is not None
        try:
            job.matcher.fill(mask, row)
        except Exception:  # a bug of the back end's; the neighbours in the batch go on
            logger.exception("a grammar's mask could not be filled")
            mask[row] = 0  # nothing is allowed, so that the sampler fails this row alone
    return Mask(mask, np.array(pairs, dtype=np.int32))


def _mark(job: Job) -> tuple[int, int, int]:
    """Equal for jobs whose matchers may allow the same tokens now."""
    return id(job.grammar), job.count - job.prompt, int(job.tokens[job.count - 1])


def _is_same(one: Job, other: Job) -> bool:
    """Whether two jobs with one mark have generated the same: near its end a budget counts."""
    texts = [job.tokens[job.prompt : job.count] for job in (one, other)]
    return one.max_new == other.max_new and np.array_equal(texts[0], texts[1])
