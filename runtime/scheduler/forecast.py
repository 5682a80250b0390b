"""How many slots the running jobs will want at the same time, from how long others became.

A job says how much it may generate, and most end long before. Admission by what they may want would
leave the pool half empty; admission by what they have now, as before, ends in retractions. So the
lengths of requests that have ended are remembered, and a job that has generated `n` tokens is taken
to become as long as a share of those that became longer than `n`. The share, the caution, rises
with each retraction and falls with each request that ends.

Source: the peak of predicted memory is LightLLM's "past-future" scheduler (arXiv:2507.10150), the
caution does what SGLang's new-token ratio does. LightLLM draws the lengths at random; here they are
a quantile, so that the same requests are admitted in the same order again.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import deque

import numpy as np
from numpy.typing import NDArray

REMEMBERED = 256  # requests whose length is known
UNKNOWN = 16  # tokens that a job is taken to want beyond what it has, when none became longer
CAUTION = 0.5  # quantile to begin with, and the least
RISE, FALL = 0.1, 0.01  # by a retraction, by a request that ends


class Forecast:
    """Lengths of what was generated of late."""

    def __init__(self) -> None:
        self._recent: deque[int] = deque()  # in the order of their end
        self._sorted: list[int] = []
        self._caution = CAUTION

    def ended(self, generated: int) -> None:
        """Remember a request that ended after so many tokens."""
        self._recent.append(generated)
        insort(self._sorted, generated)
        if len(self._recent) > REMEMBERED:
            self._sorted.pop(bisect_right(self._sorted, self._recent.popleft()) - 1)
        self._caution = max(self._caution - FALL, CAUTION)

    def retracted(self) -> None:
        """Note that too many were admitted."""
        self._caution = min(self._caution + RISE, 1.0)

    def rest(self, generated: NDArray[np.int64], room: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many more tokens jobs will generate, [n].

        Args:
            generated: by each so far, [n].
            room: how many more each may, [n].
        """
        known = np.array(self._sorted, dtype=np.int64)
        longer = np.searchsorted(known, generated, side="right")
        left = len(known) - longer
        if len(known) == 0:
            return np.minimum(room, UNKNOWN)
        at = longer + np.maximum(np.ceil(self._caution * left).astype(np.int64) - 1, 0)
        length = known[np.minimum(at, len(known) - 1)]
        return np.minimum(room, np.where(left > 0, length - generated, UNKNOWN))


def peak(own: NDArray[np.int64], rest: NDArray[np.int64]) -> int:
    """The most slots beyond those of now that jobs will want at one time.

    Just before the job with the i-th longest rest ends, that one and those that outlive it have
    grown by its rest, and all others have given back what is their own.

    Args:
        own: slots that a job gives back when it ends, [n].
        rest: tokens that it is still to generate, [n].
    """
    order = np.argsort(-rest, kind="stable")
    given_back = own.sum() - own[order].cumsum()
    wanted = rest[order] * np.arange(1, len(rest) + 1) - given_back
    return max(int(wanted.max(initial=0)), 0)
