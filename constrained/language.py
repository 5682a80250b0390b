"""What a string must be, as an automaton over its characters: which tokens may come in it.

A state knows the fewest characters that complete the string, so a bound on its length is a number
beside the state and not a state for each length.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict, deque
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .automaton import Automaton
from .ebnf import ALL, Charset, charset, complement
from .errors import GrammarError
from .spelt import CLEAN, CLOSED, NEVER, PARTIAL, Spelt, codes_of
from .strings import json_text

__all__ = ["Language", "Table", "Text", "table_of"]

MAX_STATES, MAX_WORK = 1_000, 8_000  # of an automaton
MAX_ROWS = 256  # that a language keeps: 16 KB each with 128,256 tokens
MAX_FORCED = 256  # characters of one forced text
# Control characters without a letter in JSON, which the back end does not write.
UNWRITABLE = ((0x00, 0x07), (0x0B, 0x0B), (0x0E, 0x1F), (0x7F, 0x7F))


class Text(NamedTuple):
    """What a string must be.

    Attributes:
        pattern: that matches somewhere in it; None: any.
        low: characters at least.
        high: characters at most; None: any number.
    """

    pattern: str | None
    low: int
    high: int | None


@dataclass(frozen=True, eq=False, slots=True)
class Table:
    """A complete automaton over classes of characters; state 0 is the start.

    Attributes:
        starts: code points, ascending, from each of which on characters are of one class.
        of_start: those classes.
        steps: [state][class] the next state.
        distance: [state] the fewest characters that complete the string; `NEVER`: none do.
        singles: [class] its character if it has but one, else -1.
        usable: [class] whether any of its characters can be written.
    """

    starts: tuple[int, ...]
    of_start: tuple[int, ...]
    steps: tuple[tuple[int, ...], ...]
    distance: tuple[int, ...]
    singles: tuple[int, ...]
    usable: tuple[bool, ...]

    def class_of(self, code: int) -> int:
        """Return the class of a code point."""
        return self.of_start[bisect_right(self.starts, code) - 1]

    def classes_of(self, low: int, high: int) -> set[int]:
        """Return the classes of code points from `low` to `high`."""
        first, last = bisect_right(self.starts, low) - 1, bisect_right(self.starts, high)
        return set(self.of_start[first:last])

    @property
    def least(self) -> int:
        """The length of the shortest string."""
        return self.distance[0]

    @property
    def num_live(self) -> int:
        """How many states lead to a completion."""
        return sum(distance < NEVER for distance in self.distance)

    @property
    def is_wide(self) -> bool:
        """Whether words and spaces may come in some state that is not one of any text."""
        plain = {self.class_of(code) for code in range(0x20, 0x7F) if chr(code) not in '"\\'}
        letter, space = self.class_of(ord("e")), self.class_of(ord(" "))
        return any(
            self.distance[row[letter]] < NEVER
            and self.distance[row[space]] < NEVER
            and any(row[kind] != state for kind in plain)
            for state, row in enumerate(self.steps)
            if self.distance[state] < NEVER
        )


@lru_cache(maxsize=256)
def table_of(pattern: str | None, low: int) -> Table | None:
    """Return the automaton of the strings of `low` characters at least in which a pattern matches.

    Returns:
        None where it would be too large, or `pattern.py` does not read the pattern.

    Cost: 0.1 s at most, some milliseconds mostly.
    """
    if pattern is None:
        automaton = Automaton((ALL,), ((0,),), frozenset({0}))
    else:
        try:
            automaton = Automaton.of(pattern, search=True, max_states=MAX_STATES, max_work=MAX_WORK)
        except (GrammarError, RecursionError):
            return None
    if len(automaton.steps) * (low + 1) > MAX_STATES:
        return None
    numbers = {(0, 0): 0}
    queue = [(0, 0)]
    steps: list[tuple[int, ...]] = []
    for state, length in queue:
        row = []
        for after in automaton.steps[state]:
            pair = (after, min(length + 1, low))
            if pair not in numbers:
                numbers[pair] = len(numbers)
                queue.append(pair)
            row.append(numbers[pair])
        steps.append(tuple(row))
    accepting = [
        number
        for (state, length), number in numbers.items()
        if state in automaton.accepting and length == low
    ]
    kept = [_writable(chars) for chars in automaton.classes]
    usable = tuple(map(bool, kept))
    edges = sorted(
        (low_, kind) for kind, chars in enumerate(automaton.classes) for low_, _ in chars
    )
    return Table(
        tuple(first for first, _ in edges),
        tuple(kind for _, kind in edges),
        tuple(steps),
        _distances(steps, accepting, usable),
        tuple(c[0][0] if len(c) == 1 and c[0][0] == c[0][1] else -1 for c in kept),
        usable,
    )


def _writable(chars: Charset) -> Charset:
    return complement(charset([*complement(chars), *UNWRITABLE]))


def _distances(
    steps: list[tuple[int, ...]], accepting: list[int], usable: tuple[bool, ...]
) -> tuple[int, ...]:
    before: list[list[int]] = [[] for _ in steps]
    for state, row in enumerate(steps):
        for kind, after in enumerate(row):
            if usable[kind]:
                before[after].append(state)
    distances = [NEVER] * len(steps)
    queue = deque(accepting)
    for state in accepting:
        distances[state] = 0
    while queue:
        state = queue.popleft()
        for source in before[state]:
            if distances[source] == NEVER:
                distances[source] = distances[state] + 1
                queue.append(source)
    return tuple(distances)


class Language:
    """The strings of a text over a vocabulary. Any number of threads may ask.

    A *place* in a string is a state of the table and how many characters stand, 0 without a bound.
    """

    def __init__(self, text: Text, spelt: Spelt) -> None:
        """Keep what tokens are asked of.

        Args:
            text: that has a table.
            spelt: the tokens of the vocabulary.
        """
        table = table_of(text.pattern, text.low)
        assert table is not None
        self._table = table
        self._is_bounded = text.high is not None
        self._high = NEVER - 1 if text.high is None else text.high
        self._rows: OrderedDict[tuple[int, int], NDArray[np.int32]] = OrderedDict()
        self._words = words = spelt.words(table.starts, table.of_start)
        steps = np.array(table.steps, dtype=np.intp)
        distance = np.array(table.distance, dtype=np.int32)
        # Characters that complete the string behind each end of a word, in each state.
        needs = np.full((len(words.ends), len(distance)), NEVER, dtype=np.int32)
        needs[CLEAN] = distance
        needs[CLOSED] = np.where(distance == 0, 0, NEVER)
        for end in range(PARTIAL, len(words.ends)):
            kinds = [kind for kind in words.ends[end] if table.usable[kind]]
            if kinds:
                needs[end] = distance[steps[:, kinds]].min(axis=1) + 1
        self._num_classes = steps.shape[1]
        self._steps = (steps * self._num_classes).ravel()
        self._needs = np.repeat(needs, self._num_classes, axis=1).ravel()

    @property
    def start(self) -> tuple[int, int]:
        """The place at the beginning."""
        return 0, 0

    def after(self, place: tuple[int, int], code: int) -> tuple[int, int] | None:
        """Return the place behind a character; None where nothing completes the string then."""
        state = self._table.steps[place[0]][self._table.class_of(code)]
        length = place[1] + self._is_bounded
        return (state, length) if self._table.distance[state] + length <= self._high else None

    def closes(self, place: tuple[int, int]) -> bool:
        """Whether the string may end here."""
        return self._table.distance[place[0]] == 0

    def goes_on(self, place: tuple[int, int], partial: bytes) -> bool:
        """Whether the beginning of a character may come here."""
        row, length = self._table.steps[place[0]], place[1] + self._is_bounded
        return any(
            self._table.usable[kind] and self._table.distance[row[kind]] + length <= self._high
            for low, high in codes_of(partial)
            for kind in self._table.classes_of(low, high)
        )

    def forced(self, place: tuple[int, int]) -> str:
        """Return the text that must come next, as JSON writes it, the quote that ends it too."""
        text = ""
        for _ in range(MAX_FORCED):
            length = place[1] + self._is_bounded
            following = {
                kind: state
                for kind, state in enumerate(self._table.steps[place[0]])
                if self._table.usable[kind] and self._table.distance[state] + length <= self._high
            }
            if self.closes(place):
                return text if following else f'{text}"'
            kind, state = next(iter(following.items()))
            if len(following) > 1 or self._table.singles[kind] < 0:
                return text
            text += json_text(chr(self._table.singles[kind]))[1:-1]
            place = state, length
        return text

    def row(self, place: tuple[int, int]) -> NDArray[np.int32]:
        """Return which tokens may come as far as they are inside the string: [ceil(vocab / 32)].

        Cost: 0.4 to 1.2 ms with 128,256 tokens, by how many classes there are; some are kept.
        """
        # Where every token fits the bound, all bounds are alike.
        left = min(self._high - place[1], self._words.longest + len(self._table.steps) + 1)
        known = self._rows.get((place[0], left))
        if known is None:
            state = place[0] * self._num_classes
            known = self._words.row(self._steps, self._needs, state, left)
            self._rows[place[0], left] = known
            if len(self._rows) > MAX_ROWS:
                self._rows.popitem(last=False)
        return known
