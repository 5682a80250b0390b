"""Forced runs: what a grammar leaves no choice about is appended without sampling.

The tokens of a run go through the model together, in the pass that samples the token after them.
They count as generated in every other way: towards limits, in penalties, in the noise's position.
"""

from __future__ import annotations

from ...constrained.forced import CONTEXT_TOKENS, Spelling
from .job import Job


class Forcing:
    """Appends forced runs to the jobs of one scheduler."""

    def __init__(self, spelling: Spelling) -> None:
        self._spelling = spelling

    def extend(self, job: Job) -> int:
        """Append what the grammar of `job` forces next, and return how many tokens that were.

        The last of them are left to the sampler where a longer token could take their place,
        unless the text ends there. A token that the matcher refuses ends the run, and so does a
        stop token and the job's limit.
        """
        matcher = job.matcher
        room = job.max_new - job.generated
        if matcher is None or room <= 0:
            return 0
        forced = matcher.forced()
        if not forced:
            return 0
        before = job.tokens[max(job.count - CONTEXT_TOKENS, 0) : job.count].tolist()
        run = self._spelling.run(before, forced)
        taken = 0
        for token in run.tokens[:room]:
            if not matcher.accept(token):
                break
            taken += 1
            if token in job.submit.stop_ids:
                break
        if taken > run.certain and not (taken == len(run.tokens) and matcher.is_finished):
            matcher.rollback(taken - run.certain)
            taken = run.certain
        job.forced += range(job.generated, job.generated + taken)
        for token in run.tokens[:taken]:
            job.append(token)
        return taken
