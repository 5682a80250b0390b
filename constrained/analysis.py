"""What is known of how one grammar's texts are completed: prices, plans, the shortest document.

Plans are proposed by a recogniser of the grammar (`recogniser.py`); where it does not know, by
trying (`search.py`). For regular kinds the shortest plan is looked for over all tokens, so lengths
are exact; for the others a plan spells a text of least price with the fewest tokens: no text that
it finds is shorter, but one may exist.
"""

from __future__ import annotations

from dataclasses import dataclass

from .errors import GrammarError
from .grammar import Matcher
from .network import Network
from .normal.form import Core
from .numbers import Unbounded
from .outline import outline
from .recogniser import Position, Recogniser
from .search import searched
from .spec import GrammarSpec
from .spelling import IMPOSSIBLE, Speller

__all__ = ["Analysis", "Minimum", "Plan"]

MAX_SAVING = 3  # at most so many times fewer tokens than by the price are hoped for
FIRST_TRIALS = 2_000  # of a search from the beginning
MAX_WALKS = 64  # positions whose tokens are all followed, for one exact length: 1 to 60 ms each
# Bounds of repetitions that the network keeps. Where lengths are exact, tokens that repeat too
# often must not be followed.
SPREAD, WIDE_SPREAD = 4, 256

Plan = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Minimum:
    """The fewest tokens that a document is known to fit in."""

    tokens: int
    is_exact: bool  # no document has fewer; else one may, which was not found


class Analysis:
    """What is known of how a grammar's texts are completed. For one thread at a time.

    Attributes:
        speller: of the vocabulary.
        recogniser: None where the grammar cannot be read.
        is_trusted: whether the recogniser's prices hold without being verified each time.
        shortest: the shortest document that is known.
        minimum: its length; None where no document was found.
    """

    def __init__(
        self, spec: GrammarSpec, start: Matcher, core: Core, numbers: Unbounded, speller: Speller
    ) -> None:
        """Read the grammar and look for the shortest document.

        Args:
            spec: what was compiled.
            start: a match at the beginning.
            core: the core schema that the spec became, if it is of JSON.
            numbers: how the back end writes those without bounds.
            speller: of the vocabulary.
        """
        self.speller = speller
        self.recogniser: Recogniser | None = None
        read = outline(spec, core, numbers, speller.vocabulary)
        self._is_regular = read is not None and read.is_regular
        self._inexact: set[Position] = set()
        if read is not None:
            try:
                spread = WIDE_SPREAD if read.is_regular else SPREAD
                network = Network.of(read.rules, speller.counts, max_spread=spread)
                self.recogniser = Recogniser(network, speller)
            except (GrammarError, RecursionError):
                self.recogniser = None
        first = self.proposed(self.start)
        self.is_trusted = (
            read is not None and read.is_exact and first is not None and start.completes(first)
        )
        if first is None or not start.completes(first):
            first = searched(start, self, self.start, max_trials=FIRST_TRIALS)
        self.shortest: Plan | None = first
        self.minimum = (
            None
            if first is None
            else Minimum(
                len(first),
                self.is_trusted and self._is_regular and self.start not in self._inexact,
            )
        )

    @property
    def start(self) -> Position | None:
        """The position at the beginning; None where nothing is recognised."""
        return None if self.recogniser is None else self.recogniser.start

    def after(self, position: Position | None, token: int) -> Position | None:
        """Return the position behind a token; None where it is lost."""
        if position is None or self.recogniser is None:
            return None
        following = self.recogniser.after(position, self.speller.vocabulary.tokens[token])
        return None if following is self.recogniser.nowhere else following

    def proposed(self, position: Position | None) -> Plan | None:
        """Return a plan for a position, not verified; None where there is none."""
        if self.recogniser is None or position is None or position.price >= IMPOSSIBLE:
            return None
        if position.tokens is None:
            spelled = self.speller.tokens(self.recogniser.completion(position))
            if spelled is not None and self._is_regular:
                spelled = self._shortest(position, spelled)
            position.tokens = spelled
        return position.tokens

    def length(self, position: Position, limit: int) -> int:
        """Return how many tokens suffice to complete a position: its price if that is within a
        limit, or beyond what spelling all at once could save.
        """
        if position.price <= limit or position.price > MAX_SAVING * limit:
            return position.price
        plan = self.proposed(position)
        return IMPOSSIBLE if plan is None else len(plan)

    def _shortest(self, position: Position, known: Plan) -> Plan:
        """Look breadth first for fewer tokens than `known`."""
        assert self.recogniser is not None
        seen = {position}
        level: list[tuple[Position, Plan]] = [(position, ())]
        walks = 0
        for _ in range(len(known) - 1):
            following: list[tuple[Position, Plan]] = []
            for place, path in level:
                walks += 1
                if walks > MAX_WALKS:
                    self._inexact.add(position)
                    return known
                for target, token in self.recogniser.ends(place):
                    if target.is_accepting:
                        return (*path, token)
                    if target not in seen:
                        seen.add(target)
                        following.append((target, (*path, token)))
            level = following
        return known
