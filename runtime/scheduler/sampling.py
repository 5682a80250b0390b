"""From logits to next tokens and log-probabilities, for the jobs of one pass.

What a device computes is started at once; what needs the tokens on the host is done by `settle`,
when they are read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..engine.distortion import distortions
from ..engine.logits import Logprobs, Scores, copy_of, logprobs
from ..engine.runner import Runner
from ..engine.sampler import SampleRow
from .closing import redraw
from .job import Job
from .mask import fill_mask

Record: TypeAlias = Callable[[], None]


class Sample:
    """The next token of each job that has reached its last one.

    Attributes:
        jobs: [batch].
        tokens: [batch] i64 on the device; -1 where no token can be chosen (logits not finite, all
            forbidden).
    """

    def __init__(
        self, runner: Runner, jobs: Sequence[Job], logits: Tensor, rows: Sequence[int]
    ) -> None:
        """Draw the tokens.

        Args:
            runner: whose sampler is used.
            jobs: [batch] each with all that it has computed.
            logits: [any, vocab] f32 of the pass.
            rows: for each job, its row of `logits`.
        """
        self.jobs = jobs
        self._sampler = runner.sampler
        self._logits = logits if len(rows) == logits.shape[0] else copy_of(logits, rows)
        self._mask = mask = fill_mask(jobs, logits.shape[1])
        self._rows = [_sample_row(job) for job in jobs]
        self.tokens = self._sampler.sample(
            self._logits,
            self._rows,
            mask=None if mask is None else mask[0],
            pairs=None if mask is None else mask[1],
        )
        self._scores = {
            index: self._score(index, self.tokens[index : index + 1])
            for index, job in enumerate(jobs)
            if job.submit.logprobs is not None
        }

    def settle(self, tokens: NDArray[np.int64]) -> None:
        """Look at the tokens, now that they are read, and note log-probabilities.

        Args:
            tokens: [batch] those drawn; changed in place where a budget admits another one only.
                What a pass launched since has computed for such a job is not counted.
        """
        drawn = tokens.tolist()
        held: dict[int, Tensor] = {}  # rows of the mask
        if self._mask is not None:
            self._keep_budgets(tokens, self._mask)
            mask, pairs = self._mask
            held = {index: mask[row : row + 1] for index, row in pairs.tolist()}
        for index, (job, token) in enumerate(zip(self.jobs, drawn, strict=True)):
            if token != tokens[index]:
                job.computed = min(job.computed, job.count - 1)
                if index in self._scores:
                    self._scores[index] = self._score(index, tokens[index : index + 1])
            if index in self._scores and tokens[index] >= 0:
                note(job, self._scores[index].read())
                if index in held:
                    part = slice(index, index + 1)
                    job.distortions += distortions(self._logits[part], tokens[part], held[index])

    def _keep_budgets(
        self, tokens: NDArray[np.int64], mask: tuple[Tensor, NDArray[np.int32]]
    ) -> None:
        def draw(index: int, row: Tensor) -> int:
            part = slice(index, index + 1)
            return int(self._sampler.sample(self._logits[part], self._rows[part], mask=row))

        rows = {job: mask[0][row] for job, row in mask[1].tolist()}
        replaced = tokens.tolist()
        redraw(self.jobs, replaced, rows, draw)
        tokens[:] = replaced

    def _score(self, index: int, token: Tensor | NDArray[Any]) -> Scores:
        request = self.jobs[index].submit.logprobs
        assert request is not None
        return logprobs(self._logits[index : index + 1], token, request.top, request.token_ids)


def _sample_row(job: Job) -> SampleRow:
    params = job.submit.sampling
    early = job.generated < params.min_new_tokens
    return SampleRow(
        params=params,
        seed=job.submit.seed,
        position=job.generated,
        prompt=job.tokens[: job.prompt],
        generated=job.tokens[job.prompt : job.count],
        forbidden=job.submit.stop_ids if early else (),
    )


def note(job: Job, found: Logprobs) -> None:
    """Note the log-probabilities of the next generated tokens."""
    job.scored += len(found.chosen)
    job.logprobs.extend(found.chosen)
    job.top_logprobs.extend(found.top)
    job.id_logprobs.extend(found.ids)


def forced_logprobs(job: Job, logits: Tensor, position: int) -> Record | None:
    """Score forced tokens by the pass that computes what is before them.

    Args:
        job: which has asked for it.
        logits: [wanted, vocab] f32; row i predicts the token after position + i.
        position: of the first.

    Returns:
        What notes their log-probabilities; None if there is no such token yet.
    """
    request = job.submit.logprobs
    assert request is not None
    first = max(position + 1, job.prompt + job.scored)
    targets = job.tokens[first : min(position + len(logits) + 1, job.count)]
    if not len(targets):
        return None
    rows = logits[first - position - 1 :][: len(targets)]
    scores = logprobs(rows, targets, request.top, request.token_ids)

    def record() -> None:
        note(job, scores.read())
        if job.matcher is not None:
            job.distortions += distortions(rows, targets, None)

    return record


def prompt_logprobs(job: Job, logits: Tensor, position: int) -> Record:
    """Score prompt tokens; return what notes their log-probabilities.

    The first entry of the list, for the position where scoring starts, is None, as in SGLang.

    Args:
        job: whose tokens they are.
        logits: [wanted, vocab] f32; row i predicts the token after position + i.
        position: of the first.
    """
    request = job.submit.logprobs
    assert request is not None
    targets = job.tokens[position + 1 : min(position + 1 + len(logits), job.prompt)]
    scores = logprobs(logits[: len(targets)], targets, request.top, request.token_ids)

    def record() -> None:
        found = scores.read()
        if job.input_logprobs is None:
            job.input_logprobs = [None]
            job.input_top = [None] if request.top else None
            job.input_ids = [None] if request.token_ids else None
        job.input_logprobs.extend(found.chosen)
        if job.input_top is not None:
            job.input_top.extend(found.top)
        if job.input_ids is not None:
            job.input_ids.extend(found.ids)

    return record
