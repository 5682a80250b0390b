"""A pass from its launch until its tokens are read.

On a device that runs ahead of the host the next pass is launched before this one's tokens are
read: what the host has to do with them, it does while the device computes. The order of a step is
then: launch t + 1, read t, draw t + 1. So only the draw, which needs the grammars' masks, waits
for the host. Source: SGLang's overlap scheduler (its v0.4 notes), which goes back to NanoFlow
(arXiv:2408.12757).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..engine.drawn import Drawn
from ..engine.runner import Runner
from .decoding import Decoding
from .job import Job
from .rows import logits_from, num_logits, option_logprobs, rows_of
from .sampling import ColumnSample, Record, Sample, forced_logprobs, prompt_logprobs
from .schedule import Plan


class Flight:
    """One pass.

    Attributes:
        jobs: all that are in it.
        drawn: the tokens of the columns that were left at the draw, then those of other jobs.
        prompts: jobs of which no further token is wanted, all of them computed.
    """

    def __init__(self, plan: Plan, columns: Decoding, runner: Runner, before: Drawn | None) -> None:
        """Launch the forward of a pass.

        Args:
            plan: as made, not committed yet.
            columns: the scheduler's.
            runner: of the model.
            before: the tokens of the pass before, unless the host has read them.
        """
        self.jobs = jobs_in(plan, columns)
        self.drawn: Drawn | None = None
        self.prompts: list[Job] = []
        self._columns, self._runner = columns, runner
        self._decoding = plan.decoding
        self._records: list[Record] = []
        self._sample: Sample | None = None
        self._column_sample: ColumnSample | None = None
        decodes, runs = columns.inputs() if plan.decoding else (None, [])
        rows = [row for piece in plan.slices for row in rows_of(piece)]
        self._logits = runner.forward(runs + rows, decodes, before)
        self._arrived = self._look_at(plan)

    def draw(self) -> None:
        """Choose the next token of everybody who is still there and has nothing else to compute."""
        parts: list[Tensor] = []
        if self._decoding and len(self._columns):
            logits = self._logits[: self._decoding]
            self._column_sample = ColumnSample(self._runner, self._columns, logits)
            parts.append(self._column_sample.tokens)
        arrived = [one for one in self._arrived if one.wants_token]
        for one in self._arrived:
            if one.has_grown:
                row = self._logits[one.row : one.row + 1]
                self._record(forced_logprobs(self._runner, one.job, row, one.end - 1))
        if arrived:
            jobs, rows = [one.job for one in arrived], [one.row for one in arrived]
            self._sample = Sample(self._runner, jobs, self._logits, rows)
            for index, job in enumerate(jobs, sum(map(len, parts))):
                job.append_unread(index)
            parts.append(self._sample.tokens)
        self.drawn = Drawn(parts) if parts else None

    def read(self) -> NDArray[np.int64]:
        """Wait for the tokens, [any], and note the log-probabilities."""
        for record in self._records:
            record()
        if self.drawn is None:
            return np.empty(0, np.int64)
        tokens = self.drawn.read()
        if self._column_sample is not None:
            self._column_sample.settle(tokens[: len(self._column_sample.tokens)])
        if self._sample is not None:
            self._sample.settle(tokens[len(tokens) - len(self._sample.jobs) :])
        return tokens

    def _look_at(self, plan: Plan) -> list[_Arrived]:
        """Return who has reached its last token; score what is known of the tokens after others."""
        arrived: list[_Arrived] = []
        at = plan.decoding
        for piece in plan.slices:
            job, position = piece.job, piece.job.computed + logits_from(piece)
            logits = self._logits[at : at + num_logits(piece)]
            if job.options is not None:
                self._record(option_logprobs(piece, job.options, logits))
            if job.wants_prompt_logprobs:
                self._record(prompt_logprobs(job, logits, position))
            if job.submit.logprobs is not None:
                self._record(forced_logprobs(self._runner, job, logits, position))
            at += len(logits)
            if piece.samples and job.is_over:
                self.prompts.append(job)
            elif piece.samples:
                arrived.append(_Arrived(job, at - 1, job.computed + piece.count))
        return arrived

    def _record(self, record: Record | None) -> None:
        if record is not None:
            self._records.append(record)


def jobs_in(plan: Plan, columns: Decoding) -> list[Job]:
    """The jobs of a pass, in its order, before any of them leaves the columns."""
    return [*(columns.jobs if plan.decoding else []), *(piece.job for piece in plan.slices)]


@dataclass(frozen=True, slots=True)
class _Arrived:
    """A job of which a pass computes all that was known at its launch."""

    job: Job
    row: int  # of the logits after its last token
    end: int  # tokens that are computed then

    @property
    def wants_token(self) -> bool:
        """Whether the job still goes on from there."""
        job = self.job
        return job.lease is not None and job.computed == job.count == self.end and not job.is_over

    @property
    def has_grown(self) -> bool:
        """Whether its grammar has forced the next token since, and the token's score is wanted."""
        job = self.job
        grown = job.lease is not None and job.computed == self.end < job.count
        return grown and job.submit.logprobs is not None
