"""Grammars of a batch: compiled in the background, filled into one bitmask while the model runs."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from torch import Tensor

from ...constrained.bitmask import allocate_bitmask
from .job import Job

logger = logging.getLogger(__name__)


def fill_mask(jobs: Sequence[Job], vocab_size: int) -> tuple[Tensor, list[int]] | None:
    """Fill the bitmask of the constrained jobs among `jobs`.

    Returns:
        The mask, [constrained, ceil(vocab / 32)] i32 on the host, and the index in `jobs` of each
        of its rows; None when no job is constrained.
    """
    constrained = [
        (index, job.matcher) for index, job in enumerate(jobs) if job.matcher is not None
    ]
    if not constrained:
        return None
    mask = allocate_bitmask(len(constrained), vocab_size)
    for row, (_, matcher) in enumerate(constrained):
        try:
            matcher.fill(mask, row)
        except Exception:  # a bug of the back end's; the neighbours in the batch go on
            logger.exception("a grammar's mask could not be filled")
            mask[row] = 0  # nothing is allowed, so that the sampler fails this row alone
    return mask, [index for index, _ in constrained]
