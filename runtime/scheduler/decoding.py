"""Jobs that get a token a pass and nothing else, as columns.

A decoding step does the same few things to every job: a slot for the next token, the last token as
input, the sampled one appended, the two ways to end looked at. Done job by job in Python that is
20 µs each; as columns of numpy arrays it is a handful of array operations for all of them.
Jobs with penalties, biases or log-probabilities stay with the scheduler one by one.

While a job is here its columns are the truth; `Job.count`, `computed` and `tokens` are brought up
to date when it leaves, and its tokens every `RECENT` passes. Only a constrained job takes each
token itself, since its grammar must: `Job.count` and `tokens` are up to date then, but for a
token that is not read. What its grammar forces goes through the model with its next pass.

A pass goes through four moments, and on a device that runs ahead of the host the second comes
before the last of the pass before: `inputs`, `commit`, then `sampled`, then `read`. Between the
last two a row's last token counts but is not known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..engine.inputs import Decodes, Row, stand_in
from ..engine.sampler import Drawing
from ..request import RequestId
from .job import Job

MAX_STOP_IDS = 8  # that a column holds; a job with more is not for here
RECENT = 64  # sampled tokens of each job that are kept here before they go to the job
FIRST_CAPACITY = 16

Rows: TypeAlias = slice | NDArray[np.intp]


def is_plain(job: Job) -> bool:
    """Whether a decoding job needs nothing but its next token, though under a grammar's mask."""
    sampling = job.submit.sampling
    return (
        job.submit.logprobs is None
        and len(job.submit.stop_ids) <= MAX_STOP_IDS
        and job.generated >= sampling.min_new_tokens
        and not sampling.logit_bias
        and sampling.presence_penalty == sampling.frequency_penalty == 0
        and sampling.repetition_penalty == 1
    )


@dataclass(eq=False, slots=True)
class Columns:
    """One entry a job, in arrays that have room for more."""

    count: NDArray[np.int64]  # tokens of the sequence
    computed: NDArray[np.int64]  # of these, in the pool, or will be after the passes under way
    limit: NDArray[np.int64]  # tokens that it may have
    slots: NDArray[np.int64]  # that its lease has
    address: NDArray[np.uint64]  # of the lease's slots, i32
    last: NDArray[np.int64]  # its last token, or its stand-in
    place: NDArray[np.int64]  # of its logits in the pass that was launched last
    unread: NDArray[np.int64]  # where its last token is in the pass sampled last; -1: it is known
    since: NDArray[np.int64]  # column of `recent` where its tokens begin
    recent: NDArray[np.int32]  # [capacity, RECENT] sampled tokens, by pass
    stops: NDArray[np.int64]  # [capacity, MAX_STOP_IDS], filled up with -2
    prompt: NDArray[np.int64]
    seed: NDArray[np.uint64]
    temperature: NDArray[np.float32]
    top_k: NDArray[np.int64]
    top_p: NDArray[np.float32]
    min_p: NDArray[np.float32]
    greedy: NDArray[np.bool_]
    is_constrained: NDArray[np.bool_]

    @classmethod
    def empty(cls, capacity: int) -> Columns:
        """Make room for so many jobs."""

        def long() -> NDArray[np.int64]:
            return np.zeros(capacity, np.int64)

        def real() -> NDArray[np.float32]:
            return np.zeros(capacity, np.float32)

        return cls(
            count=long(),
            computed=long(),
            limit=long(),
            slots=long(),
            address=np.zeros(capacity, np.uint64),
            last=long(),
            place=long(),
            unread=long(),
            since=long(),
            recent=np.zeros((capacity, RECENT), np.int32),
            stops=np.zeros((capacity, MAX_STOP_IDS), np.int64),
            prompt=long(),
            seed=np.zeros(capacity, np.uint64),
            temperature=real(),
            top_k=long(),
            top_p=real(),
            min_p=real(),
            greedy=np.zeros(capacity, np.bool_),
            is_constrained=np.zeros(capacity, np.bool_),
        )

    def take(self, other: Columns, rows: NDArray[np.intp]) -> None:
        """Fill the first entries with those rows of another, or of these."""
        for name in self.__slots__:
            getattr(self, name)[: len(rows)] = getattr(other, name)[rows]


class Decoding:
    """The decoding jobs of a scheduler for which `is_plain` holds, in the order in which they came.

    Attributes:
        jobs: one for each row of the columns.
        rids: theirs.
    """

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.rids: list[RequestId] = []
        self._columns = Columns.empty(FIRST_CAPACITY)
        self._num_constrained = 0
        self._pass = 0  # column of `recent` that the next tokens go to

    def __len__(self) -> int:
        return len(self.jobs)

    def join(self, job: Job) -> None:
        """Take a job of which only its last token, and what is forced before it, is to be computed.

        A job that is not constrained has nothing forced.
        """
        assert job.lease is not None
        assert job.to_compute == 1 or (job.matcher is not None and job.to_compute > 1)
        assert not job.is_full, "it would go one token too far"
        row = len(self.jobs)
        if row == len(self._columns.count):
            wider = Columns.empty(2 * row)
            wider.take(self._columns, np.arange(row))
            self._columns = wider
        c, sampling = self._columns, job.submit.sampling
        c.count[row], c.limit[row] = job.count, job.prompt + job.max_new
        c.computed[row] = job.computed
        c.last[row], c.since[row] = job.tokens[job.count - 1], self._pass
        c.unread[row] = job.unread
        if job.unread >= 0:  # read here, and given to the job with those that follow
            job.count, job.unread = job.count - 1, -1
        stops = job.submit.stop_ids
        c.stops[row] = -2
        c.stops[row, : len(stops)] = stops
        c.prompt[row], c.seed[row] = job.prompt, job.submit.seed
        c.temperature[row], c.top_k[row] = sampling.temperature, sampling.top_k
        c.top_p[row], c.min_p[row] = sampling.top_p, sampling.min_p
        c.greedy[row] = sampling.is_greedy
        c.is_constrained[row] = job.matcher is not None
        self._num_constrained += job.matcher is not None
        self.jobs.append(job)
        self.rids.append(job.submit.rid)
        self.extended(row)

    def leave(self, rows: Sequence[int], *, ended: bool) -> list[Job]:
        """Let jobs go, up to date, their last token unread if it is; return them.

        Args:
            rows: theirs.
            ended: whether the token just read ends them; then nobody has been told of it yet.
        """
        left = [self._settled(row, ended) for row in rows]
        self._num_constrained -= sum(job.matcher is not None for job in left)
        gone = set(rows)
        kept = [row for row in range(len(self.jobs)) if row not in gone]
        self._columns.take(self._columns, np.array(kept, dtype=np.intp))
        self.jobs = [self.jobs[row] for row in kept]
        self.rids = [self.rids[row] for row in kept]
        return left

    def constrained(self) -> list[int]:
        """The rows whose tokens a grammar has its say about."""
        if not self._num_constrained:
            return []
        return np.flatnonzero(self._columns.is_constrained[: len(self.jobs)]).tolist()

    def runs(self) -> list[int]:
        """The rows of which the next pass computes more than the last token."""
        if not self._num_constrained:
            return []
        return np.flatnonzero(self.to_compute() > 1).tolist()

    def to_compute(self) -> NDArray[np.int64]:
        """How many tokens of each go through the model in the next pass, [rows]."""
        n = len(self.jobs)
        return self._columns.count[:n] - self._columns.computed[:n]

    def pass_tokens(self) -> int:
        """How many tokens that is together."""
        return int(self.to_compute().sum()) if self._num_constrained else len(self.jobs)

    def missing(self) -> NDArray[np.int64]:
        """How many slots the lease of each has too few for its tokens, [rows]."""
        n = len(self.jobs)
        missing: NDArray[np.int64] = np.maximum(
            self._columns.count[:n] - self._columns.slots[:n], 0
        )
        return missing

    def full(self) -> list[int]:
        """The rows whose last token, unread, is the last that they may have."""
        n = len(self.jobs)
        return np.flatnonzero(self._columns.count[:n] >= self._columns.limit[:n]).tolist()

    def room(self, row: int) -> int:
        """How many tokens a row may still grow by."""
        return int(self._columns.limit[row] - self._columns.count[row])

    def spare(self) -> int:
        """How many slots their leases have for tokens to come."""
        n = len(self.jobs)
        return int(np.maximum(self._columns.slots[:n] - self._columns.count[:n], 0).sum())

    def rooms(self) -> NDArray[np.int64]:
        """How many tokens each may still grow by, [rows]."""
        n = len(self.jobs)
        return self._columns.limit[:n] - self._columns.count[:n]

    def generated(self) -> NDArray[np.int64]:
        """How many tokens each has sampled, [rows], unread ones included."""
        n = len(self.jobs)
        return self._columns.count[:n] - self._columns.prompt[:n]

    def extended(self, row: int) -> None:
        """Note that a row's lease has changed."""
        lease = self.jobs[row].lease
        assert lease is not None
        self._columns.slots[row] = len(lease)
        self._columns.address[row] = lease.slots.__array_interface__["data"][0]

    def inputs(self) -> tuple[Decodes, list[Row]]:
        """The next pass's part of these jobs, which is launched now: a row for each forced run."""
        n, c = len(self.jobs), self._columns
        runs = self.runs()
        if not runs:
            single: Rows = slice(n)
            c.place[:n] = np.arange(n)
        else:
            single = np.flatnonzero(self.to_compute() == 1)
            c.place[np.concatenate((single, runs))] = np.arange(n)
        decodes = Decodes(
            tokens=c.last[single],
            lengths=c.count[single],
            addresses=c.address[single],
            slots=lambda: [
                _slots(job, count)
                for job, count in zip(self.at(single), c.count[single].tolist(), strict=True)
            ],
        )
        return decodes, [self._run(row) for row in runs]

    def commit(self) -> None:
        """Record that the pass of the last `inputs` is launched."""
        n = len(self.jobs)
        self._columns.computed[:n] = self._columns.count[:n]

    def at(self, rows: Rows) -> list[Job]:
        """The jobs of some rows."""
        if isinstance(rows, slice):
            return self.jobs[rows]
        return [self.jobs[row] for row in rows.tolist()]

    def launched(self) -> tuple[Rows, NDArray[np.int64]]:
        """Who wants a token after the pass that was launched last, in its order.

        Not those that have left since, nor those whose grammar has forced more.

        Returns:
            Their rows, and where their logits are in the pass: [wanting] each.
        """
        n, c = len(self.jobs), self._columns
        if not self._num_constrained:
            return slice(n), c.place[:n]
        rows = np.flatnonzero(self.to_compute() == 0)
        rows = rows[c.place[rows].argsort()]
        return rows, c.place[rows]

    def drawing(self, rows: Rows) -> Drawing:
        """How the next tokens of some rows are drawn."""
        c = self._columns
        return Drawing(
            greedy=c.greedy[rows],
            temperature=c.temperature[rows],
            top_k=c.top_k[rows],
            top_p=c.top_p[rows],
            min_p=c.min_p[rows],
            seed=c.seed[rows],
            position=c.count[rows] - c.prompt[rows],
        )

    def sampled(self, rows: Rows) -> None:
        """Count a token, not yet read, for some rows: theirs come first among the pass's tokens."""
        c = self._columns
        c.count[rows] += 1
        c.unread[rows] = np.arange(len(c.count[rows]))
        c.last[rows] = stand_in(0) - c.unread[rows]

    def appended(self, row: int, count: int) -> None:
        """Note that the job of a row has got `count` more tokens that its grammar forces."""
        job = self.jobs[row]
        self._columns.count[row] += count
        self._columns.last[row] = job.tokens[job.count - 1]

    def replaced(self, job: Job) -> None:
        """Note that the last token of a job, not yet read, is another than the one drawn."""
        row, c = self.jobs.index(job), self._columns
        c.computed[row] = min(c.computed[row], c.count[row] - 1)

    def read(self, tokens: NDArray[np.int64]) -> tuple[NDArray[np.int64], list[int]]:
        """Learn the unread tokens.

        Args:
            tokens: [any] of the pass sampled last; -1 where there is none.

        Returns:
            The new token of each row, [rows], -1 where there is none; and the rows that end with
            theirs, or should have had one.
        """
        n, c = len(self.jobs), self._columns
        if self._pass == RECENT:
            self._flush()
        index = c.unread[:n]
        is_new = index >= 0
        new = np.full(n, -1, np.int64) if len(tokens) == 0 else np.where(is_new, tokens[index], -1)
        failed = is_new & (new < 0)
        c.recent[:n, self._pass] = new
        if self._num_constrained:
            c.recent[:n, self._pass][c.is_constrained[:n]] = -1
        self._pass += 1
        c.last[:n] = np.where(is_new, new, c.last[:n])
        c.count[:n] -= failed
        c.unread[:n] = -1
        ends = (c.stops[:n] == new[:, None]).any(1) | (c.count[:n] >= c.limit[:n]) | failed
        return new, np.flatnonzero(ends & is_new).tolist()

    def _flush(self) -> None:
        """Give the jobs their tokens, so that `recent` is empty."""
        for row, job in enumerate(self.jobs):
            recent = self._columns.recent[row, self._columns.since[row] : self._pass]
            job.extend(recent[recent >= 0])
        self._columns.since[: len(self.jobs)] = 0
        self._pass = 0

    def _settled(self, row: int, ended: bool) -> Job:
        """Return a row's job with all that happened to it."""
        c, job = self._columns, self.jobs[row]
        if job.matcher is None:
            recent = c.recent[row, c.since[row] : self._pass]
            job.extend(recent[recent >= 0])
            untold = int(ended and recent[-1] >= 0)
            job.reported = max(job.generated - untold, job.reported)
        elif not ended:  # else who has given it its last tokens knows what was told before
            job.reported = job.generated
        if c.unread[row] >= 0:
            job.append_unread(int(c.unread[row]))
        job.computed = min(int(c.computed[row]), job.count)  # it may have got no token
        return job

    def _run(self, row: int) -> Row:
        """A row's part of a pass that computes more than its last token."""
        job, start = self.jobs[row], int(self._columns.computed[row])
        tokens = job.tokens[start : job.count]
        return Row(tokens, start, _slots(job, job.count), logits_from=len(tokens) - 1)


def _slots(job: Job, count: int) -> NDArray[np.int32]:
    assert job.lease is not None
    return job.lease.slots[:count]
