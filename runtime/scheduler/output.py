"""What a sampled token means for its job: does it end, and what is the desk told."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...constrained.closing import Closing
from ...constrained.errors import GrammarError
from ...constrained.grammar import Matcher
from ..messages import Delta, Fault, Finish, Progress, Usage
from ..request import RequestId
from .job import Job


@dataclass
class News:
    """What the desk is to be told with the next message.

    Attributes:
        deltas: of jobs about which there is more to say than one more token.
        rids: of jobs in the columns that have got one more token and go on.
        tokens: theirs.
    """

    deltas: list[Delta] = field(default_factory=list[Delta])
    rids: list[RequestId] = field(default_factory=list[RequestId])
    tokens: list[int] = field(default_factory=list[int])

    def __bool__(self) -> bool:
        return bool(self.deltas or self.rids)

    def progress(self) -> Progress:
        """Return all of it as a message; there is none left."""
        message = Progress(deltas=self.deltas, rids=self.rids, tokens=self.tokens)
        self.deltas, self.rids, self.tokens = [], [], []
        return message


def finish_of(job: Job) -> Finish | None:
    """Whether `job` has ended with its newest token.

    The order is SGLang's: length, then the grammar's end, then a stop token; but a constrained text
    that is whole when its budget ends has stopped. Stop strings are the desk's business, which has
    the text.
    """
    token = int(job.tokens[job.count - 1]) if job.generated else None
    if job.matcher is not None:
        return _constrained(job, job.matcher, token)
    if job.generated >= job.max_new:
        return Finish(type="length", length=job.generated)
    if token in job.submit.stop_ids:
        return Finish(type="stop", matched=token)
    return None


def _constrained(job: Job, matcher: Matcher, token: int | None) -> Finish | None:
    closed_at = matcher.closed_at if isinstance(matcher, Closing) else None
    if token in job.submit.stop_ids:
        return Finish(type="stop", matched=token, closed_at=closed_at)
    if matcher.is_finished:
        return Finish(type="stop", closed_at=closed_at)
    if job.generated < job.max_new:
        return None
    if isinstance(matcher, Closing) and closed_at is None:
        closed_at = job.generated  # it could have gone on from here
    return Finish(type="length", length=job.generated, closed_at=closed_at)


def delta_of(job: Job) -> Delta:
    """Everything about `job` that the desk has not been told yet."""
    first = job.reported == 0
    wants = job.submit.logprobs is not None
    told = job.told
    delta = Delta(
        rid=job.submit.rid,
        tokens=job.tokens[job.prompt + job.reported : job.prompt + told].tolist(),
        forced=[index - job.reported for index in job.forced if index < told],
        logprobs=job.logprobs if wants else None,
        top_logprobs=job.top_logprobs if wants and job.top_logprobs else None,
        id_logprobs=job.id_logprobs if wants and job.id_logprobs else None,
        distortions=job.distortions,
        input_logprobs=job.input_logprobs if first else None,
        input_top_logprobs=job.input_top if first else None,
        input_id_logprobs=job.input_ids if first else None,
        option_logprobs=_option_logprobs(job),
        usage=_usage(job) if first or job.finish is not None else None,
        contract=job.contract if first else None,
        embedding=None if job.pooled is None else job.pooled.astype("<f4").tobytes(),
        finish=job.finish,
    )
    job.reported = told
    job.forced = [index for index in job.forced if index >= told]
    job.logprobs, job.top_logprobs, job.id_logprobs, job.distortions = [], [], [], []
    return delta


def _usage(job: Job) -> Usage:
    return Usage(
        prompt=job.prompt,
        cached=job.cached,
        computed=max(min(job.computed, job.prompt) - job.cached, 0),  # 0: ended in the queue
        retractions=job.retractions,
    )


def _option_logprobs(job: Job) -> list[list[float]] | None:
    return None if job.options is None or job.to_compute else job.options.logprobs()


def aborted(job: Job, message: str, status: int, *, retry_after_s: float | None = None) -> Delta:
    """The last word on a job that is stopped from outside or fails."""
    job.finish = Finish(type="abort", message=message, status=status, retry_after_s=retry_after_s)
    return delta_of(job)


def refused(job: Job, error: GrammarError) -> Delta:
    """The answer to a job whose grammar cannot be used."""
    job.finish = Finish(type="abort", message=str(error), status=400, fault=Fault.of(error))
    return delta_of(job)
