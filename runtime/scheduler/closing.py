"""Constrained jobs that are complete within their budget: tokens that would break it are redrawn.

A token is drawn under the grammar's mask. If no completion would fit behind it, the job's row alone
is drawn again, under a mask without the tokens that do not fit. The noise is the same, a function
of seed, position and token; so what is drawn is distributed as the model's choice among the tokens
that fit.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from torch import Tensor

from ...constrained.closing import Closing
from ...constrained.grammar import Grammar
from ..engine.sampler import FAILED
from .job import Job

logger = logging.getLogger(__name__)

MAX_DRAWS = 8  # of one token; then it is the first of the known completion

Draw = Callable[[int, Tensor], int]  # (index of the job, [1, ceil(vocab / 32)] mask) -> token


def begin(job: Job, grammar: Grammar) -> None:
    """Give a job its matcher, which ends within the job's budget.

    Raises:
        BudgetError: nothing that the grammar allows is known to fit.
    """
    job.matcher = Closing.of(grammar, job.max_new)


def redraw(jobs: Sequence[Job], tokens: list[int], row_of: dict[int, Tensor], draw: Draw) -> None:
    """Replace, in place, the tokens behind which a job could not be completed in time.

    Args:
        jobs: [batch].
        tokens: [batch] drawn under the grammars' masks.
        row_of: for each constrained job's index, its mask: [ceil(vocab / 32)] i32 on the CPU.
        draw: draws a job's token again under another mask.
    """
    for index, job in enumerate(jobs):
        token = tokens[index]
        if (
            isinstance(job.matcher, Closing)
            and token != FAILED
            and token not in job.submit.stop_ids  # it ends the text, and is no part of it
        ):
            try:
                tokens[index] = _fitting(job.matcher, token, row_of[index], index, draw)
            except Exception:  # of the back end's; the neighbours in the batch go on
                logger.exception("it cannot be told which tokens fit into a budget")
                tokens[index] = FAILED


def _fitting(match: Closing, token: int, row: Tensor, index: int, draw: Draw) -> int:
    for _ in range(MAX_DRAWS):
        if match.admits(token):
            return token
        token = draw(index, match.narrowed(row)[None])
        if token == FAILED:
            return token
    return match.way_out()
