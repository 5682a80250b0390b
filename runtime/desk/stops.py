"""Stop strings: where they are, and how much of a text might become one."""

from __future__ import annotations

from collections.abc import Sequence


def find_stop(text: str, stops: Sequence[str], *, start: int) -> tuple[int, str] | None:
    """Return the place and the string of the first stop in `text` that may begin at `start` or
    later.

    Of two that begin at the same place the one named first wins.
    """
    best: tuple[int, str] | None = None
    for stop in stops:
        at = text.find(stop, max(start, 0))
        if at >= 0 and (best is None or at < best[0]):
            best = (at, stop)
    return best


def held_back(text: str, stops: Sequence[str]) -> int:
    """Return how many characters at the end of `text` may be the beginning of a stop string."""
    longest = 0
    for stop in stops:
        for length in range(min(len(stop) - 1, len(text)), longest, -1):
            if text.endswith(stop[:length]):
                longest = length
                break
    return longest
