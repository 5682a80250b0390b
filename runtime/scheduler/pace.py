"""How fast the scheduler is of late, and how long a refused client had better wait."""

from __future__ import annotations

import time
from collections.abc import Callable

WINDOW_S = 2.0  # that rates are taken over
LEAST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0  # that a client is told to wait


class Pace:
    """Rates over the last window.

    Args:
        clock: seconds; a seam for tests.

    Attributes:
        tokens_a_second: that were generated.
        ended_a_second: requests that were served to their end.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.tokens_a_second = self.ended_a_second = 0.0
        self._ended = 0
        self._window = (clock(), 0, 0)  # start, tokens and requests before it

    def ended(self) -> None:
        """Count a request that was served."""
        self._ended += 1

    def measure(self, generated: int) -> None:
        """Take the rates anew, when a window is over.

        Args:
            generated: tokens since the start.
        """
        start, tokens, ended = self._window
        elapsed = self._clock() - start
        if elapsed >= WINDOW_S:
            self.tokens_a_second = (generated - tokens) / elapsed
            self.ended_a_second = (self._ended - ended) / elapsed
            self._window = (self._clock(), generated, self._ended)

    def wait_s(self, waiting: int) -> float:
        """How long a client that finds `waiting` requests before it should wait, in seconds.

        Until half of them have been served: by then there is room for the others that were
        refused meanwhile, too. A second when nobody waits, a minute when nothing ends.
        """
        if waiting == 0:
            return LEAST_WAIT_S
        if self.ended_a_second == 0:
            return LONGEST_WAIT_S
        return min(max(waiting / 2 / self.ended_a_second, LEAST_WAIT_S), LONGEST_WAIT_S)
