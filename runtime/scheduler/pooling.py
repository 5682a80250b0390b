"""Prompts whose hidden states are wanted instead of a continuation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..engine.runner import Runner
from .job import Job
from .rows import num_logits, rows_of
from .schedule import Plan, Slice


def part(plan: Plan) -> tuple[Plan, Plan]:
    """Part a plan in what samples, and what gives hidden states."""
    pooled = [piece for piece in plan.slices if piece.job.submit.pooling is not None]
    if not pooled:
        return plan, Plan(0, [])
    rest = [piece for piece in plan.slices if piece.job.submit.pooling is None]
    return Plan(plan.decoding, rest), Plan(0, pooled)


def pool(runner: Runner, slices: Sequence[Slice]) -> list[Job]:
    """Compute the slices, and add to what their jobs have pooled.

    Args:
        runner: of the model.
        slices: of jobs with `Submit.pooling`, not yet advanced over the pass.

    Returns:
        The jobs that have reached their end.
    """
    rows = [row for piece in slices for row in rows_of(piece)]
    states = runner.states(rows).cpu().numpy()
    at = 0
    for piece in slices:
        wanted = num_logits(piece)
        _add(piece, states[at : at + wanted])
        at += wanted
    return [piece.job for piece in slices if piece.samples]


def _add(piece: Slice, states: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> None:
    job = piece.job
    if job.submit.pooling == "last":
        job.pooled = states[-1] if len(states) else None
        return
    # A mean begins at the first token, since no part of it is taken from the cache.
    total = states.sum(0, dtype=np.float64)
    if job.computed > 0 and job.pooled is not None:
        total += job.pooled
    job.pooled = total / job.prompt if piece.samples else total
