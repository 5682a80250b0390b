"""Who of those that wait goes first.

A policy turns a job into a rank, least first. Every rank falls with the time that a job has waited,
so that a stream of newcomers, however well they match or however important they are, cannot hold
anybody back for ever.

Source of longest-prefix-match: SGLang (arXiv:2312.07104, section 3), which goes back to arrival
order on queues of more than 128. Here a queue of any length is ordered: matches are looked up on
arrival and then a few a pass, and a long queue is sorted less often. A look-up counts as a use of
what it finds, so that the tree does not evict what somebody waits for.

DFS weight is SGLang's too: the tree is walked depth first, at each node the child first below which
most jobs wait, so that a prefix is used up before the next is taken in.
"""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from ...radix_cache import Node, RadixCache
from .job import Job

MATCHES_A_PASS = 128  # look-ups of a few microseconds each
SORT_SHARE = 20  # a sort's time may be one part in so many; 1 µs a job is what it takes
SORT_S_A_JOB = 1e-6
TOKENS_A_SECOND = 100  # matched or unmatched tokens that a second of waiting outweighs
JOBS_A_SECOND = 10  # of the walk, that a second of waiting outweighs
SECONDS_A_PRIORITY = 10.0  # of waiting that outweigh one step of priority


@dataclass(eq=False, slots=True)
class Waiting:
    """A job in the queue, and what its rank is made of."""

    job: Job
    arrival: int
    since: float  # seconds, of the queue's clock
    matched: int = 0  # leading tokens that were cached when it was last looked up,
    path: list[Node] = field(default_factory=list[Node])  # and the nodes that they were in
    place: int = 0  # in the walk through the tree


Rank: TypeAlias = Callable[[Waiting, float], float]


def fcfs(one: Waiting, now: float) -> float:
    """First come, first served."""
    return one.arrival


def lpm(one: Waiting, now: float) -> float:
    """Longest prefix match first: what is in the cache is used before it is evicted."""
    return -(one.matched + TOKENS_A_SECOND * (now - one.since))


def shortest(one: Waiting, now: float) -> float:
    """The fewest tokens to compute first."""
    return one.job.count - one.matched - TOKENS_A_SECOND * (now - one.since)


def dfs_weight(one: Waiting, now: float) -> float:
    """As a depth-first walk through the tree meets them, the heaviest child first."""
    return one.place - JOBS_A_SECOND * (now - one.since)


def walk(waiting: Iterable[Waiting]) -> None:
    """Number the jobs' places in the walk. O(n log n) comparisons of paths.

    A node's own jobs come after those below it, as in SGLang.
    """
    jobs = list(waiting)
    weight = Counter(node for one in jobs for node in one.path)
    first = {node: index for index, node in enumerate(weight)}  # tells equal weights apart

    def key(one: Waiting) -> list[tuple[float, int]]:
        return [*((-weight[node], first[node]) for node in one.path), (math.inf, one.arrival)]

    for place, one in enumerate(sorted(jobs, key=key)):
        one.place = place


def priority(one: Waiting, now: float) -> float:
    """The highest `priority` of the request first."""
    return -(one.job.submit.priority + (now - one.since) / SECONDS_A_PRIORITY)


POLICIES: dict[str, Rank] = {
    "lpm": lpm,
    "fcfs": fcfs,
    "shortest-first": shortest,
    "dfs-weight": dfs_weight,
    "priority": priority,
}


class Queue:
    """Jobs that wait, and the order in which they are to be admitted.

    Args:
        policy: a name of `POLICIES`.
        cache: where prefixes are looked up.
        clock: seconds; a seam for tests.
    """

    def __init__(
        self, policy: str, cache: RadixCache, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rank = POLICIES[policy]
        self._matches = self._rank in (lpm, shortest, dfs_weight)
        self._cache, self._clock = cache, clock
        self._first: deque[Job] = deque()  # retracted ones, which go before all others
        self._waiting: dict[int, Waiting] = {}  # by arrival
        self._arrivals: dict[int, int] = {}  # id of a job → its arrival
        self._order: list[Waiting] = []  # as last sorted; some have left since
        self._sorted_at = -math.inf
        self._next_arrival = 0
        self._checks: deque[Waiting] = deque()  # whose match was looked up longest ago comes first

    def __len__(self) -> int:
        return len(self._first) + len(self._waiting)

    def __iter__(self) -> Iterator[Job]:
        """Go through all, in order of arrival after those put back."""
        yield from self._first
        yield from (one.job for one in self._waiting.values())

    def add(self, job: Job) -> None:
        """Take a job that has just arrived."""
        one = Waiting(job, self._next_arrival, self._clock())
        self._next_arrival += 1
        self._waiting[one.arrival] = one
        self._arrivals[id(job)] = one.arrival
        self._order.append(one)
        if self._matches:
            self._look_up(one)
            self._checks.append(one)

    def put_back(self, job: Job) -> None:
        """Take a job that was running: it goes first."""
        self._first.appendleft(job)

    def remove(self, job: Job) -> None:
        """Let a job go; it must be here."""
        arrival = self._arrivals.pop(id(job), None)
        if arrival is None:
            self._first.remove(job)
        else:
            del self._waiting[arrival]

    def candidates(self) -> Iterator[Job]:
        """Yield all in the order of their ranks; whoever is admitted is to be removed."""
        yield from list(self._first)
        if self._waiting:
            self._refresh()
            for one in list(self._order):
                if one.arrival in self._waiting:
                    yield one.job

    def _refresh(self) -> None:
        """Sort anew, unless that was done a moment ago, and look a few matches up."""
        if self._rank is fcfs:
            self._order = list(self._waiting.values())
            return
        now = self._clock()
        if now - self._sorted_at < SORT_SHARE * SORT_S_A_JOB * len(self._waiting):
            return
        for _ in range(min(MATCHES_A_PASS, len(self._checks))):
            one = self._checks.popleft()
            if one.arrival in self._waiting:
                self._look_up(one)
                self._checks.append(one)
        if self._rank is dfs_weight:
            walk(self._waiting.values())
        self._order = sorted(self._waiting.values(), key=lambda one: self._rank(one, now))
        self._sorted_at = now

    def _look_up(self, one: Waiting) -> None:
        job = one.job
        found = self._cache.touch(job.key, namespace=job.submit.namespace)
        one.matched, one.path = found.length, found.path
