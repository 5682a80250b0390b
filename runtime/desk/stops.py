"""What ends a sequence's text: stop strings and patterns, and how much might become one."""

from __future__ import annotations

from collections.abc import Sequence

from ...ir.stop_patterns import Match, StopScanner


class Stops:
    """The stop strings and patterns of one sequence.

    Whichever is complete first ends the text; of two that end together the one that begins first,
    then the string.
    """

    def __init__(self, strings: Sequence[str], patterns: Sequence[str]) -> None:
        self._strings = strings
        self._longest = max(map(len, strings), default=0)
        self._scanner = StopScanner.of(patterns)
        self._seen = 0  # characters of the text

    def __bool__(self) -> bool:
        return bool(self._strings or self._scanner.patterns)

    def find(self, text: str) -> Match | None:
        """Return the first stop in a text that has grown since the last call, and had none then."""
        seen, self._seen = self._seen, len(text)
        found = self._scanner.feed(text[seen:]) if self._scanner.patterns else None
        hit = find_stop(text, self._strings, start=seen - self._longest + 1)
        if hit is None:
            return found
        string = Match(hit[0], hit[0] + len(hit[1]), hit[1])
        if found is None or (string.end, string.start) <= (found.end, found.start):
            return string
        return found

    def held_back(self, text: str) -> int:
        """Return how many characters at the end of `text` may be the beginning of a stop."""
        return max(held_back(text, self._strings), self._scanner.held)


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
