"""Prefixes that are being computed: who shares one waits for it instead of computing it too.

Forks, the members of a batch and `n > 1` arrive together and have most of their prompt in common.
The first is admitted; the others follow one pass later and find its tokens in the tree.
"""

from __future__ import annotations

from ...radix_cache.node import common_prefix
from .job import Job

# Shared tokens that are worth a pass of waiting. A pass of one token takes a CPU as long as four
# more tokens in another; on an accelerator the waiting ones lose a pass, the batch nothing.
MIN_SHARED_TOKENS = 8


class Computing:
    """The prompts in work during one plan, found by what comes after their cached prefix.

    If a waiting job shares more with one of them than the tree holds, then both have the same
    cached prefix, and the same tokens after it.
    """

    def __init__(self, page_size: int) -> None:
        self._page_size = page_size
        self._jobs: dict[tuple[str, int, bytes], Job] = {}

    def add(self, job: Job) -> None:
        """Note a job that was admitted, if tokens of its prompt are still to be computed."""
        if job.to_compute > MIN_SHARED_TOKENS:
            cached = job.computed // self._page_size * self._page_size
            self._jobs.setdefault(self._key(job, cached), job)

    def shares(self, job: Job, matched: int, limit: int) -> bool:
        """Whether `job` should wait, with `matched` of the `limit` tokens that it may reuse."""
        if limit - matched < MIN_SHARED_TOKENS:
            return False
        other = self._jobs.get(self._key(job, matched))
        if other is None:
            return False
        return common_prefix(job.key[:limit], other.key) - matched >= MIN_SHARED_TOKENS

    def _key(self, job: Job, cached: int) -> tuple[str, int, bytes]:
        following = job.key[cached : cached + MIN_SHARED_TOKENS]
        return job.submit.namespace, cached, following.tobytes()
