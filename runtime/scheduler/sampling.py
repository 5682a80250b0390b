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

from ..engine.logits import Logprobs, Scores, copy_of, logprobs
from ..engine.runner import Runner
from ..engine.sampler import Sampler, SampleRow
from .closing import redraw
from .decoding import Decoding
from .job import Job
from .mask import Mask, fill_mask

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
        self._sampler, self._distortions = runner.sampler, runner.distortions
        self._logits = logits if len(rows) == logits.shape[0] else copy_of(logits, rows)
        self._mask = mask = fill_mask(jobs, logits.shape[1])
        words, pairs = mask or (None, None)
        self.tokens = self._sampler.sample(
            self._logits, [_sample_row(job) for job in jobs], mask=words, pairs=pairs
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
        held: dict[int, int] = {}  # rows of the mask
        if self._mask is not None:
            held = dict(self._mask.pairs.tolist())
            replaced = keep_budgets(self._sampler, self.jobs, self._logits, self._mask, tokens)
            for index in replaced:
                job = self.jobs[index]
                job.computed = min(job.computed, job.count - 1)
                if index in self._scores:
                    self._scores[index] = self._score(index, tokens[index : index + 1])
        for index, scores in self._scores.items():
            if tokens[index] >= 0:
                note(self.jobs[index], scores.read())
        if self._mask is not None:
            asking = [index for index in self._scores if index in held and tokens[index] >= 0]
            self._measure(asking, tokens, self._mask.words, [held[index] for index in asking])

    def _measure(
        self, asking: list[int], tokens: NDArray[np.int64], words: Tensor, held: list[int]
    ) -> None:
        """Note what the mask did to some of the jobs, each held to a row of it."""
        if not asking:
            return
        rows = np.array(asking)
        found = self._distortions.measure(self._logits, rows, tokens[rows], words, np.array(held))
        for index, one in zip(asking, found, strict=True):
            self.jobs[index].distortions.append(one)

    def _score(self, index: int, token: Tensor | NDArray[Any]) -> Scores:
        request = self.jobs[index].submit.logprobs
        assert request is not None
        return logprobs(self._logits[index : index + 1], token, request.top, request.token_ids)


class ColumnSample:
    """The next token of each job in the columns that wants one.

    Attributes:
        tokens: [batch] i64 on the device, as in `Sample`.
    """

    def __init__(self, runner: Runner, columns: Decoding, logits: Tensor) -> None:
        """Draw the tokens.

        Args:
            runner: whose sampler is used.
            columns: of the scheduler.
            logits: [launched, vocab] f32 of the pass, of all that were in the columns then.
        """
        self._sampler, self._columns = runner.sampler, columns
        rows, places = columns.launched()
        self._logits = logits if len(places) == len(logits) else copy_of(logits, places.tolist())
        self._jobs: list[Job] = []
        self._mask: Mask | None = None
        if columns.constrained():
            self._jobs = columns.at(rows)
            self._mask = fill_mask(self._jobs, logits.shape[1])
        words, pairs = self._mask or (None, None)
        self.tokens = self._sampler.draw(
            self._logits, columns.drawing(rows), mask=words, pairs=pairs
        )
        columns.sampled(rows)

    def settle(self, tokens: NDArray[np.int64]) -> None:
        """Look at the tokens, now that they are read; arguments as those of `Sample.settle`."""
        if self._mask is None:
            return
        for index in keep_budgets(self._sampler, self._jobs, self._logits, self._mask, tokens):
            job = self._jobs[index]
            if job.unread >= 0:  # it has left the columns meanwhile
                job.computed = min(job.computed, job.count - 1)
            else:
                self._columns.replaced(job)


def keep_budgets(
    sampler: Sampler, jobs: Sequence[Job], logits: Tensor, mask: Mask, tokens: NDArray[np.int64]
) -> dict[int, int]:
    """Replace drawn tokens, in place, where a job's budget admits another one only.

    Args:
        sampler: that has drawn them.
        jobs: [batch].
        logits: [batch, vocab] f32, from which they were drawn.
        mask: of the batch.
        tokens: [batch].

    Returns:
        The new tokens by their index.
    """

    def draw(index: int, row: Tensor) -> int:
        part = slice(index, index + 1)
        return int(sampler.sample(logits[part], [_sample_row(jobs[index])], mask=row))

    return redraw(jobs, tokens, mask, draw)


def _sample_row(job: Job) -> SampleRow:
    """What is known of a job when its next token is drawn, or is redrawn before it is read."""
    params, prompt = job.submit.sampling, job.prompt
    known = job.count - (job.unread >= 0)
    early = known - prompt < params.min_new_tokens
    return SampleRow(
        params=params,
        seed=job.submit.seed,
        position=known - prompt,
        prompt=job.tokens[:prompt],
        generated=job.tokens[prompt:known],
        forbidden=job.submit.stop_ids if early else (),
    )


def note(job: Job, found: Logprobs) -> None:
    """Note the log-probabilities of the next generated tokens."""
    job.scored += len(found.chosen)
    job.logprobs.extend(found.chosen)
    job.top_logprobs.extend(found.top)
    job.id_logprobs.extend(found.ids)


def forced_logprobs(runner: Runner, job: Job, logits: Tensor, position: int) -> Record | None:
    """Score forced tokens by the pass that computes what is before them.

    Args:
        runner: of the pass.
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
            job.distortions += runner.distortions.measure(rows, np.arange(len(targets)), targets)

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
