"""Continuous batching: which tokens go through the model in the next pass.

A step is two verbs. `plan` chooses the next pass: a token for each decoding job, then forced runs
and chunks of prompts up to the token budget. `commit` records that the pass was computed. Sampling
and finishing happen in between, by the loop. This class owns queues, budgets and leases and never
touches a device.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np

from ...radix_cache import OutOfSlotsError, RadixCache
from ..config import ScheduleConfig
from ..request import RequestId
from .decoding import Decoding, is_plain
from .forecast import Forecast, peak
from .job import Job
from .order import Queue
from .scoring import MAX_TREE_TOKENS
from .sharing import Computing

# Slots that a decoding job gets at once beyond the one it needs: fifteen passes of peace.
SLOTS_AHEAD = 15


@dataclass(frozen=True, slots=True)
class Slice:
    """`count` more tokens of `job` go through the model in this pass."""

    job: Job
    count: int

    @classmethod
    def within(cls, job: Job, budget: int) -> Slice:
        """As much of `job` as a pass takes that has room for `budget` tokens."""
        count = min(job.to_compute, budget)
        if job.options is not None:
            text = max(len(job.sequence) - job.computed, 0)
            count = min(count, text + MAX_TREE_TOKENS)
        return cls(job, count)

    @property
    def samples(self) -> bool:
        """Whether the pass reaches the job's last token, so that the next one can be sampled."""
        return self.count == self.job.to_compute


@dataclass(frozen=True, slots=True)
class Plan:
    """A pass: a token of each job in the columns, then the slices."""

    decoding: int  # rows of `Scheduler.decoding`
    slices: list[Slice]

    def __bool__(self) -> bool:
        return bool(self.decoding or self.slices)


class Verdict(Enum):
    """What becomes of a waiting job in this pass."""

    ADMITTED = auto()
    SHARES = auto()  # another is just computing its prefix: it waits for that, and the next may go
    NO_ROOM = auto()  # nor may anybody behind it go: small ones would keep a large one out


class Scheduler:
    """Queues and budgets over one radix cache.

    Jobs wait in the order of the policy. A job is admitted when the cache has slots for all that it
    must compute, and for what all running ones are taken to generate (`forecast.py`). When decoding
    runs out of slots, the job that has generated least is retracted: its KV stays in the tree as
    far as memory allows, and it resumes later with the tokens it has.
    """

    def __init__(
        self,
        cache: RadixCache,
        config: ScheduleConfig,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.cache = cache
        self.config = config
        self.waiting = Queue(config.schedule_policy, cache, clock)
        self.stepping: list[Job] = []  # running ones that are handled one by one
        self._settling: list[Job] = []  # those of them that may go to the columns
        self.decoding = Decoding()  # the other running ones
        self._forecast = Forecast()

    @property
    def has_work(self) -> bool:
        """Whether anybody runs or waits."""
        return bool(self.stepping or len(self.decoding) or len(self.waiting))

    @property
    def running(self) -> list[Job]:
        """The admitted jobs: those handled one by one, then the columns."""
        return [*self.stepping, *self.decoding.jobs]

    def jobs(self) -> Iterator[Job]:
        """All jobs, running ones first."""
        yield from self.running
        yield from self.waiting

    def find(self, rid: RequestId) -> Job | None:
        """The job of a request, if it has not ended."""
        return next((job for job in self.jobs() if job.submit.rid == rid), None)

    def add(self, job: Job) -> None:
        """Queue a job."""
        self.waiting.add(job)

    def plan(self) -> Plan:
        """Choose the next pass. Every chosen job has slots for its tokens."""
        chunk = self.config.chunked_prefill_size
        budget = chunk if chunk > 0 else 1 << 62
        self._move_between_columns(budget)
        self._grow_columns()
        for job in list(self.stepping):
            self._grow(job)  # which may retract others, before or after their turn
        # Who is done waits for its last token to be read.
        slices = [
            Slice(job, 1) for job in self.stepping if job.to_compute == 1 and not job.awaits_reading
        ]
        budget = max(budget - len(slices) - self.decoding.pass_tokens(), 1)
        several = [job for job in self.stepping if job.to_compute > 1]
        several.sort(key=lambda job: job.computed < job.prompt)  # forced runs before prompts
        for job in several:
            if budget > 0:
                slices.append(Slice.within(job, budget))
                budget -= slices[-1].count
        if budget > 0 and len(self.waiting):
            slices += self._admissions(budget)
        return Plan(len(self.decoding), slices)

    def awaiting(self) -> list[Job]:
        """The jobs outside the columns whose last token is to be read."""
        return [job for job in self.stepping if job.unread >= 0]

    @property
    def may_retract(self) -> bool:
        """Whether the next plan may have to: then all sampled tokens must have been read."""
        running = len(self.stepping) + len(self.decoding)
        missing = sum(max(job.count - len(job.lease or ()), 0) for job in self.stepping)
        missing += int(self.decoding.missing().sum())
        # Twice, since columns take up to half of what is left as slots ahead.
        return self.cache.available < 2 * (running * self.cache.page_size + missing)

    def settle(self, job: Job) -> None:
        """Let a job that has sampled a token go to the columns, if nothing else is asked of it."""
        if is_plain(job) and job not in self._settling:
            self._settling.append(job)

    def _move_between_columns(self, budget: int) -> None:
        """Between two passes: who is plain joins, who has the last token on its way leaves.

        Forced runs that are too long for a pass of `budget` tokens go on in slices.
        """
        if full := self.decoding.full():
            self.stepping += self.decoding.leave(full, ended=False)
        for job in self._settling:
            waits = job.to_compute == 1 or (job.matcher is not None and job.to_compute > 1)
            if job.lease is not None and waits and not job.is_full:
                self.stepping.remove(job)
                self.decoding.join(job)
        self._settling.clear()
        total = len(self.stepping) + self.decoding.pass_tokens()
        if total >= budget and (runs := self.decoding.runs()):
            self.stepping += self.decoding.leave(runs, ended=False)

    def _admissions(self, budget: int) -> list[Slice]:
        """Admit waiting jobs while there is room, and return their parts of the pass."""
        slices: list[Slice] = []
        computing = Computing(self.cache.page_size)
        for job in self.stepping:
            computing.add(job)
        for job in self.waiting.candidates():
            verdict = self._admit(job, computing)
            if verdict is Verdict.NO_ROOM:
                break
            if verdict is Verdict.SHARES:
                continue
            self.waiting.remove(job)
            self.stepping.append(job)
            computing.add(job)
            slices.append(Slice.within(job, budget))
            budget -= slices[-1].count
            if budget <= 0:
                break
        return slices

    def commit(self, plan: Plan) -> None:
        """Record that a pass was computed; prompts become visible to others chunk by chunk."""
        if plan.decoding:
            self.decoding.commit()
        for piece in plan.slices:
            job = piece.job
            was_prefill = job.to_compute > 1 or job.generated == 0
            job.computed += piece.count
            if was_prefill and job.lease is not None:
                self.cache.commit(job.lease, job.key[: job.computed])

    def end(self, job: Job) -> None:
        """Take a job out wherever it is; what it computed stays in the tree, all else is freed."""
        if job.lease is None:
            self.waiting.remove(job)
            return
        if job in self.stepping:
            self.stepping.remove(job)
        elif job in self.decoding.jobs:
            self.decoding.leave([self.decoding.jobs.index(job)], ended=False)
        if job.unread >= 0:
            job.read(-1)  # nobody will
        self._free(job)
        if job.generated:
            self._forecast.ended(job.generated)

    def _admit(self, job: Job, computing: Computing) -> Verdict:
        running = len(self.stepping) + len(self.decoding)
        if running >= self.config.max_running_requests:
            return Verdict.NO_ROOM
        # The last token is always computed, for its logits; so is whatever must be scored.
        limit = max(len(job.sequence) - 1, 0)
        if (scored := job.score_from) is not None:
            limit = min(limit, scored)
        namespace = job.submit.namespace
        key = job.key
        matched = self.cache.match_length(key, namespace=namespace)
        if self.cache.enabled and computing.shares(job, matched, limit):
            return Verdict.SHARES
        needed = job.count - min(matched, limit)
        if self.cache.available < needed:
            return Verdict.NO_ROOM
        growth = self._growth(job, needed) if running else 0
        if self.cache.available < needed + growth:
            return Verdict.NO_ROOM
        lease = self.cache.acquire(key, namespace=namespace, limit=limit)
        self.cache.recall(lease, key[:limit])
        if (sure := job.told_apart(len(lease))) < len(lease):
            self.cache.release(lease)
            lease = self.cache.acquire(key, namespace=namespace, limit=sure)
        needed = job.count - len(lease)
        if self.cache.available < needed + growth:  # the match itself was what could be evicted
            self.cache.release(lease)
            return Verdict.NO_ROOM
        self.cache.extend(lease, needed)
        job.lease = lease
        job.computed = lease.locked
        if job.retractions == 0:
            job.cached = min(lease.locked, job.prompt)
        return Verdict.ADMITTED

    def _growth(self, job: Job, needed: int) -> int:
        """Slots to be wanted beyond those of now, if `job` is admitted and takes `needed`."""
        columns, others = self.decoding, [*self.stepping, job]
        generated = np.append(columns.generated(), [other.generated for other in others])
        rooms = [max(other.max_new - other.generated, 0) for other in others]
        own = [other.count - other.cached for other in self.stepping]
        prompts = np.array([row.prompt - row.cached for row in columns.jobs], dtype=np.int64)
        rest = self._forecast.rest(generated, np.append(columns.rooms(), rooms))
        wanted = peak(np.append(prompts + columns.generated(), [*own, needed]), rest)
        return max(wanted - columns.spare(), 0)

    def _grow_columns(self) -> None:
        """Give every plain job the slots of its next tokens, and some ahead while memory lasts."""
        while (missing := self.decoding.missing()).any():
            left = self.cache.available - int(missing.sum())
            spare = max(left, 0) // (2 * len(self.decoding))
            for row in np.flatnonzero(missing).tolist():
                lease = self.decoding.jobs[row].lease
                assert lease is not None
                ahead = min(SLOTS_AHEAD, spare, self.decoding.room(row))
                try:
                    self.cache.extend(lease, int(missing[row]) + ahead)
                except OutOfSlotsError:
                    self._retract_one()
                    break  # rows have moved
                self.decoding.extended(row)

    def _grow(self, job: Job) -> None:
        """Give a decoding job the slots of its next tokens, retracting others if need be."""
        while job.lease is not None and len(job.lease) < job.count:
            try:
                self.cache.extend(job.lease, job.count - len(job.lease))
            except OutOfSlotsError:
                self._retract_one()

    def _retract_one(self) -> None:
        """Send the running job that has generated least back to the queue."""
        stepping = [(job.generated, -index) for index, job in enumerate(self.stepping)]
        columns = self.decoding.generated()
        least = min(stepping, default=None)
        row = None if len(columns) == 0 else len(columns) - 1 - int(columns[::-1].argmin())
        if row is not None and (least is None or columns[row] <= least[0]):
            (job,) = self.decoding.leave([row], ended=False)
        else:
            assert least is not None, "somebody holds the slots that are wanted"
            job = self.stepping.pop(-least[1])
        assert job.unread < 0, "`may_retract` was heeded"
        self._free(job)
        self._forecast.retracted()
        job.retractions += 1
        job.computed = 0
        job.forget_prompt_logprobs()
        self.waiting.put_back(job)

    def _free(self, job: Job) -> None:
        assert job.lease is not None
        tokens = job.key[: job.computed]
        if job.options is not None and not job.to_compute:  # the likeliest option stays, too
            path = job.options.likeliest()
            self.cache.arrange(job.lease, len(tokens) + path, start=len(tokens))
            tokens = np.concatenate((tokens, job.options.tokens[path]))
        self.cache.commit(job.lease, tokens)
        self.cache.release(job.lease)
        job.lease = None
