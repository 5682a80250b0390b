"""What is done with the tokens of a pass once they are read.

Each job takes its token: into its text, and into its grammar's match, which may force more behind
it. Then it ends or goes on, and the desk is told.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .flight import Flight
from .forced import Forcing
from .job import Job
from .output import News, aborted, delta_of, finish_of
from .pace import Pace
from .schedule import Scheduler

NO_TOKEN = "no token can be chosen: the logits are not finite, or every token is forbidden"


class Reader:
    """Gives the jobs of a scheduler their tokens.

    Attributes:
        generated: tokens since the start, forced ones included.
        forced: of these, the forced ones.
        prompt: tokens of the prompts that the desk has had news of.
        cached: of these, what the cache had.
    """

    def __init__(
        self, scheduler: Scheduler, news: News, pace: Pace, forcing: Forcing | None
    ) -> None:
        """Count from zero.

        Args:
            scheduler: of the jobs.
            news: for the desk.
            pace: is told who has been served.
            forcing: appends what grammars force; None: all of it is sampled.
        """
        self.generated = self.forced = self.prompt = self.cached = 0
        self._scheduler = scheduler
        self._news = news
        self._pace = pace
        self._forcing = forcing

    def land(self, flight: Flight) -> None:
        """Give the jobs of a pass their tokens."""
        tokens = flight.read()
        if len(self._scheduler.decoding):
            self._decode(tokens)
        for job in self._scheduler.awaiting():
            self._generate(job, int(tokens[job.unread]))
        for job in flight.prompts:
            if job.finish is None:
                self.tell(job)

    def force(self, job: Job) -> int:
        """Append what a job's grammar forces; return how many tokens that is."""
        count = 0 if self._forcing is None else self._forcing.extend(job)
        self.generated += count
        self.forced += count
        return count

    def tell(self, job: Job) -> None:
        """Tell the desk of the job's news; release the job if it has its last token."""
        if job.reported == 0:
            self.prompt += job.prompt
            self.cached += job.cached
        job.due = finish_of(job)
        if job.told == job.generated:
            job.finish = job.due
        if job.finish is not None:
            self._scheduler.end(job)
            self._pace.ended()
        self._news.deltas.append(delta_of(job))

    def drop(self, job: Job, message: str | None, status: int) -> None:
        """Take a job out; tell the desk why, unless it knows."""
        self._scheduler.end(job)
        if message is not None:
            self._news.deltas.append(aborted(job, message, status))

    def _decode(self, tokens: NDArray[np.int64]) -> None:
        """Give each job in the columns its next token."""
        columns = self._scheduler.decoding
        new, ending = columns.read(tokens)
        told = new >= 0
        self.generated += int(told.sum())
        faults = {row: NO_TOKEN for row in ending if new[row] < 0}
        if constrained := [row for row in columns.constrained() if told[row]]:
            more, grown = self._match(constrained, new, faults)
            ending = sorted({*ending, *more})
            told[grown] = False
            self._news.deltas += [delta_of(columns.jobs[row]) for row in grown]
        told[ending] = False
        if told.all():
            self._news.rids, self._news.tokens = list(columns.rids), new.tolist()
        else:
            going = zip(columns.rids, told.tolist(), strict=True)
            self._news.rids = [rid for rid, is_told in going if is_told]
            self._news.tokens = new[told].tolist()
        ended = columns.leave(ending, ended=True) if ending else []
        for row, job in zip(ending, ended, strict=True):
            if row in faults:
                self.drop(job, faults[row], 500)
            else:
                self.tell(job)

    def _match(
        self, rows: list[int], new: NDArray[np.int64], faults: dict[int, str]
    ) -> tuple[list[int], list[int]]:
        """Give some constrained jobs of the columns their next tokens, and what follows from them.

        Args:
            rows: theirs.
            new: [columns] the next token of each.
            faults: takes why jobs cannot go on, by row.

        Returns:
            The rows that end, and those that go on with a forced run.
        """
        columns = self._scheduler.decoding
        ending: list[int] = []
        grown: list[int] = []
        for row, token in zip(rows, new[rows].tolist(), strict=True):
            job = columns.jobs[row]
            assert job.matcher is not None
            job.reported = job.generated
            job.append(token)
            if not self._accept(job, token):
                faults[row] = _broken(token)
                ending.append(row)
            elif finish_of(job) is not None:
                ending.append(row)
            elif (count := job.generated - job.reported - 1) > 0:
                columns.appended(row, count)
                grown.append(row)
        return ending, grown

    def _generate(self, job: Job, token: int) -> None:
        """Give a job outside the columns its next token."""
        job.read(token)
        if token < 0:
            self.drop(job, NO_TOKEN, 500)
            return
        self.generated += 1
        if job.matcher is not None and not self._accept(job, token):
            self.drop(job, _broken(token), 500)
            return
        self.tell(job)
        if job.finish is None:
            self._scheduler.settle(job)

    def _accept(self, job: Job, token: int) -> bool:
        """Let a job's grammar have its new token, and append what it forces then.

        Returns:
            Whether the grammar takes the token; a stop token, which is no part of the text, always.
        """
        assert job.matcher is not None
        if token in job.submit.stop_ids:
            return True
        if not job.matcher.accept(token):
            return False
        self.force(job)
        return True


def _broken(token: int) -> str:
    return f"token {token} broke the grammar that masked it"
