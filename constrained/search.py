"""A completion found by trying: for places in a text whose plan is not known, or does not hold.

Best first over forks of the back end's matcher. From each place the plan that is proposed there is
followed as far as the matcher takes it, then what the matcher says is forced; where that stops,
single bytes are tried, those that close before those that go on. A path's price is the sum of its
bytes' ranks, and a hundredth for each place, so that a path that leads in circles is left in time.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from .grammar import Matcher
from .recogniser import Position
from .special import encoded
from .spelling import Speller

__all__ = ["Guide", "searched"]

PRICE_OF_PLACE = 0.01

_RANKED = b"\"}])>'/;.\n0123456789,:=-aAbcdefghijklmnopqrstuvwxyzBCDEFGHIJKLMNOPQRSTUVWXYZ_ ([{<"
_RANK = {byte: rank for rank, byte in enumerate(_RANKED)}


class Guide(Protocol):
    """Who proposes plans."""

    @property
    def speller(self) -> Speller:
        """Of the vocabulary."""
        ...

    def after(self, position: Position | None, token: int) -> Position | None:
        """Return the position behind a token; None where it is lost."""
        ...

    def proposed(self, position: Position | None) -> tuple[int, ...] | None:
        """Return a plan for a position; None where there is none."""
        ...


def searched(
    matcher: Matcher, guide: Guide, position: Position | None, *, max_trials: int
) -> tuple[int, ...] | None:
    """Return tokens that complete a match; None if none are found.

    Args:
        matcher: stays where it is.
        guide: proposes plans.
        position: the guide's, where the match stands.
        max_trials: places that are looked at, at 0.1 ms to some ms.
    """
    order = itertools.count()
    heap = [(0.0, next(order), _Branch(matcher.fork(), position, (), guide))]
    for _ in range(max_trials):
        if not heap:
            return None
        price, _, branch = heapq.heappop(heap)
        if branch.matcher.is_accepting:
            return _shortened(matcher, branch.path, guide.speller)
        child = branch.next_child(guide)
        if child is not None:
            heapq.heappush(heap, (price + PRICE_OF_PLACE, next(order), child))
        if branch.tokens:
            heapq.heappush(heap, (price + 1, next(order), branch))
    return None


class _Branch:
    """A place that was reached, and the tokens that are tried from it, best first."""

    def __init__(
        self, matcher: Matcher, position: Position | None, path: tuple[int, ...], guide: Guide
    ) -> None:
        self.matcher = matcher
        self.position = position
        self.path = path
        self._follow(guide.proposed(position) or (), guide)
        if not matcher.is_accepting and (text := matcher.forced()):
            self._follow(guide.speller.tokens(encoded(text)) or (), guide)
        self.tokens = [] if matcher.is_accepting else _choices(matcher, guide.speller)

    def _follow(self, tokens: Sequence[int], guide: Guide) -> None:
        """Go on by tokens, as far as the matcher takes them."""
        taken: list[int] = []  # joined at once: a plan may have 100,000 tokens
        for token in tokens:
            if not self.matcher.accept(token):
                break
            self.position = guide.after(self.position, token)
            taken.append(token)
        self.path += tuple(taken)

    def next_child(self, guide: Guide) -> _Branch | None:
        """Return what the next token leads to; None if there is none, or it leads nowhere."""
        if not self.tokens:
            return None
        token = self.tokens.pop(0)
        fork = self.matcher.fork()
        if not fork.accept(token):
            return None
        return _Branch(fork, guide.after(self.position, token), (*self.path, token), guide)


def _choices(matcher: Matcher, speller: Speller) -> list[int]:
    """Return tokens that may come: those of one byte by rank, or some of the others."""
    row = matcher.row().view(np.uint8)
    bits = np.unpackbits(row, bitorder="little")[: len(speller.lengths)]
    allowed = np.flatnonzero(bits.astype(bool) & (speller.lengths > 0))
    single = allowed[speller.lengths[allowed] == 1]
    if len(single) == 0:
        return [int(token) for token in allowed[:8]]
    spelled: list[int] = speller.data[speller.starts[single]].tolist()
    ranked = sorted(
        zip(spelled, single.tolist(), strict=True),
        key=lambda pair: _RANK.get(pair[0], len(_RANK) + pair[0]),
    )
    return [token for _, token in ranked]


def _shortened(matcher: Matcher, path: tuple[int, ...], speller: Speller) -> tuple[int, ...]:
    """Spell what a path spells with fewer tokens, where the matcher takes them so."""
    tokens = speller.tokens(b"".join(speller.vocabulary.tokens[token] for token in path))
    return tokens if tokens is not None and matcher.completes(tokens) else path
