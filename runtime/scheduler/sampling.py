"""From logits to next tokens and log-probabilities, for the jobs of one pass."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from ..engine.logits import Logprobs, copy_of, logprobs
from ..engine.runner import Runner
from ..engine.sampler import SampleRow
from .closing import redraw
from .job import Job
from .mask import fill_mask


def sample(runner: Runner, jobs: Sequence[Job], logits: Tensor, rows: Sequence[int]) -> list[int]:
    """Choose the next token of each job and note the log-probabilities that it asked for.

    Args:
        runner: whose sampler is used.
        jobs: [batch] jobs that have reached their last token.
        logits: [any, vocab] f32 of the pass.
        rows: for each job, its row of `logits`.

    Returns:
        [batch] token ids; -1 where no token can be chosen (logits not finite, all forbidden).
    """
    chosen = logits if len(rows) == logits.shape[0] else copy_of(logits, rows)
    mask = fill_mask(jobs, chosen.shape[1])
    sampled = runner.sampler.sample(
        chosen,
        [_sample_row(job) for job in jobs],
        mask=None if mask is None else mask[0],
        pairs=None if mask is None else mask[1],
    )
    tokens = [int(token) for token in sampled.tokens]
    if mask is not None:

        def draw(index: int, row: Tensor) -> int:
            again = chosen[index : index + 1]
            return runner.sampler.sample(again, [_sample_row(jobs[index])], mask=row).tokens[0]

        redraw(jobs, tokens, {job: mask[0][row] for job, row in mask[1].tolist()}, draw)
    for index, job in enumerate(jobs):
        if job.submit.logprobs is not None:
            _record_output_logprobs(job, chosen[index : index + 1], tokens[index])
    return tokens


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


def _record_output_logprobs(job: Job, logits: Tensor, token: int) -> None:
    request = job.submit.logprobs
    assert request is not None
    if token >= 0:
        chosen = np.array([token], dtype=np.int32)
        _note(job, logprobs(logits, chosen, request.top, request.token_ids))


def record_forced_logprobs(job: Job, logits: Tensor, position: int) -> None:
    """Note the log-probabilities of forced tokens: those of the pass that computes them.

    Args:
        job: which has asked for them.
        logits: [wanted, vocab] f32; row i predicts the token after position + i.
        position: of the first.
    """
    request = job.submit.logprobs
    assert request is not None
    first = max(position + 1, job.prompt + job.scored)
    targets = job.tokens[first : min(position + len(logits) + 1, job.count)]
    if len(targets):
        rows = logits[first - position - 1 :][: len(targets)]
        _note(job, logprobs(rows, targets, request.top, request.token_ids))


def _note(job: Job, found: Logprobs) -> None:
    """Note those of the next generated tokens."""
    job.scored += len(found.chosen)
    job.logprobs.extend(found.chosen)
    job.top_logprobs.extend(found.top)
    job.id_logprobs.extend(found.ids)


def record_prompt_logprobs(job: Job, logits: Tensor) -> None:
    """Note the log-probabilities of prompt tokens that this pass has scored.

    Args:
        job: not yet advanced over the pass.
        logits: [wanted, vocab] f32; row i predicts the token after the i-th wanted position.

    The first entry of the list, for the position where scoring starts, is None, as in SGLang.
    """
    request = job.submit.logprobs
    assert request is not None
    if job.input_logprobs is None:
        job.input_logprobs = [None]
        job.input_top = [None] if request.top else None
        job.input_ids = [None] if request.token_ids else None
    first = request.start + len(job.input_logprobs)  # position of the first token scored here
    targets = job.tokens[first : min(first + logits.shape[0], job.prompt)]
    found = logprobs(logits[: len(targets)], targets, request.top, request.token_ids)
    job.input_logprobs.extend(found.chosen)
    if job.input_top is not None:
        job.input_top.extend(found.top)
    if job.input_ids is not None:
        job.input_ids.extend(found.ids)
