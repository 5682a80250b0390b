"""Constrained jobs that are complete within their budget: tokens that would break it are redrawn.

A token is drawn under the grammar's mask. If no completion would fit behind it, the job's row alone
is drawn again, under a mask without the tokens that do not fit. The noise is the same, a function
of seed, position and token; so what is drawn is distributed as the model's choice among the tokens
that fit.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ...constrained.closing import Closing
from ...constrained.grammar import Grammar
from ..engine.sampler import FAILED
from .job import Job
from .mask import Mask

logger = logging.getLogger(__name__)

MAX_DRAWS = 8  # of one token; then it is the first of the known completion

Draw = Callable[[int, Tensor], int]  # (index of the job, [1, ceil(vocab / 32)] mask) -> token


def begin(job: Job, grammar: Grammar) -> None:
    """Give a job its matcher, which ends within the job's budget.

    Raises:
        BudgetError: nothing that the grammar allows is known to fit.
    """
    job.matcher = Closing.of(grammar, job.max_new)


def redraw(
    jobs: Sequence[Job], tokens: NDArray[np.int64], mask: Mask, draw: Draw
) -> dict[int, int]:
    """Replace, in place, the tokens behind which a job could not be completed in time.

    Args:
        jobs: [batch].
        tokens: [batch] drawn under the mask.
        mask: of the batch.
        draw: draws a job's token again under another mask.

    Returns:
        The new tokens by their index.
    """
    replaced: dict[int, int] = {}
    drawn = tokens.tolist()
    for index, row in mask.pairs.tolist():
        job, token = jobs[index], drawn[index]
        if (
            isinstance(job.matcher, Closing)
            and token != FAILED
            and token not in job.submit.stop_ids  # it ends the text, and is no part of it
        ):
            try:
                fitting = _fitting(job.matcher, token, mask.words[row], index, draw)
            except Exception:  # of the back end's; the neighbours in the batch go on
                logger.exception("it cannot be told which tokens fit into a budget")
                fitting = FAILED
            if fitting != token:
                replaced[index] = tokens[index] = fitting
    return replaced


def _fitting(match: Closing, token: int, row: Tensor, index: int, draw: Draw) -> int:
    for _ in range(MAX_DRAWS):
        if match.admits(token):
            return token
        token = draw(index, match.narrowed(row)[None])
        if token == FAILED:
            return token
    return match.way_out()
