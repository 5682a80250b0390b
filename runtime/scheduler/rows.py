"""From a job's part of a pass to the model's rows, and what the logits that come back tell."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch import Tensor

from ..engine.inputs import ImageSpan, Row
from ..engine.logits import logprobs_of
from .job import Job
from .sampling import Record
from .schedule import Slice
from .scoring import ROOT, Options


def rows_of(piece: Slice) -> Iterator[Row]:
    """The rows of `piece`: one of the text, then one for each branch of a tree of options."""
    job = piece.job
    assert job.lease is not None
    text, end = len(job.sequence), job.computed + piece.count
    slots = job.lease.slots
    if job.computed < text:
        stop = min(end, text)
        yield Row(
            tokens=job.tokens[job.computed : stop],
            start=job.computed,
            slots=slots[:stop],
            logits_from=logits_from(piece),
            image_spans=tuple(_image_spans(job, job.computed, stop)),
        )
    if job.options is None:
        return
    own = slots[text:]
    for path, first, after in job.options.runs(max(job.computed - text, 0), end - text):
        yield Row(
            tokens=job.options.tokens[first:after],
            start=text + len(path),
            slots=np.concatenate((slots[:text], own[path], own[first:after])),
            logits_from=0,
        )


def _image_spans(job: Job, start: int, stop: int) -> Iterator[ImageSpan]:
    """What of the job's images stands between two positions: a chunk may cut one in two."""
    for image in job.submit.images:
        first, last = max(image.at, start), min(image.at + image.count, stop)
        if first < last:
            yield ImageSpan(image, first - image.at, last - first, at=first - start)


def num_logits(piece: Slice) -> int:
    """How many logits the rows of `piece` ask for."""
    return piece.count - logits_from(piece)


def option_logprobs(piece: Slice, options: Options, logits: Tensor) -> Record | None:
    """Score the tokens of options, before the job is advanced over the pass.

    Args:
        piece: of a job with `options`.
        options: the job's.
        logits: [num_logits(piece), vocab] f32.

    Returns:
        What notes the log-probabilities; None if the pass has found none.
    """
    job, end = piece.job, piece.job.computed + piece.count
    text = len(job.sequence)
    if end < text or not len(logits):
        return None
    first = ROOT if job.computed < text else job.computed - text
    edges = options.edges_from(first, end - text)
    found = logprobs_of(logits, options.sources[edges] - first, options.targets[edges])

    def record() -> None:
        options.scores[edges] = found.cpu().numpy()

    return record


def logits_from(piece: Slice) -> int:
    """The first new token of the text whose logits are needed; their number when none is."""
    job = piece.job
    text = len(job.sequence)
    count = max(min(job.computed + piece.count, text) - job.computed, 0)
    needed = piece.samples if job.options is None else job.computed + count == text
    last = count - 1 if needed and count else count
    if (scored := job.score_from) is not None:
        return min(max(scored - job.computed, 0), last)
    return last
