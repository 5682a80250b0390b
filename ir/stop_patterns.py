"""Patterns that end a text while it grows: `stop_regex`.

The text ends at the first character with which any pattern is found in it, and is cut where that
match begins; of several matches that end there the one that begins first counts. So what is found
never depends on how the text was cut into tokens. A match of more than `MAX_MATCH` characters is
not seen, which bounds how much text a reader waits for.

Algorithm: Thompson's simulation of an automaton (CACM 11(6), 1968), every state with the earliest
place where a match that is in it began. Each character costs at most one visit of each state,
whatever the pattern, so that no pattern need be refused for its time. Not chosen: `re`, which tells
neither whether a match may still come nor promises linear time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from typing import Any, NamedTuple

from .ambiguity import parse

_compiler: Any = import_module("re._compiler")  # these two have no stubs
_parser: Any = import_module("re._parser")

MAX_MATCH = 1_024  # characters of a match
MAX_STATES = 500  # of a pattern's automaton, repeats written out
MAX_PATTERN = 1_000  # characters
_KNOWN_CHARACTERS = 256  # whose test is remembered, for each place of a pattern

Test = Callable[[str], bool]


class Around(NamedTuple):
    """What stands on both sides of a place between two characters, as far as a pattern may ask."""

    at_start: bool  # of the text
    at_line: bool  # the start of a line
    boundary: bool  # a word begins or ends here
    ascii_boundary: bool  # the same, for words of ASCII's letters


@dataclass(slots=True)
class _State:
    """One of: a character that is consumed (`test`), a condition (`holds`), a fork, the end."""

    to: list[int]
    test: Test | None = None
    holds: Callable[[Around], bool] | None = None
    is_end: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """Where in the text a pattern was found first."""

    start: int
    end: int
    pattern: str


class StopPattern:
    """One pattern, as an automaton.

    Raises:
        re.error: it is no pattern.
        ValueError: it may not end a text; the message says why, and what to write.
    """

    def __init__(self, pattern: str) -> None:
        self.source = pattern
        if len(pattern) > MAX_PATTERN:
            raise self._refused(f"it has {len(pattern)} characters; at most {MAX_PATTERN} may be")
        items: Any = parse(pattern, 0).items
        self.states: list[_State] = [_State([], is_end=True)]
        self.start = self._sequence(items, items.state.flags, 0)
        self._begins: dict[str, bool] = {}
        self.accepting = [self._accepts(state) for state in range(len(self.states))]
        if self.accepting[self.start]:
            raise self._refused(
                "it matches nothing at all, so no text would come; let it match a character"
            )

    def step(self, live: dict[int, int], character: str, around: Around) -> dict[int, int]:
        """The states after a character, each with the earliest start that leads there.

        Args:
            live: states before it and their starts, of which the earliest come first.
        """
        after: dict[int, int] = {}
        seen: set[int] = set()
        for state, start in live.items():
            stack = [state]
            while stack:
                at = stack.pop()
                if at in seen:
                    continue
                seen.add(at)
                place = self.states[at]
                if place.test is not None:
                    if place.test(character):
                        after.setdefault(place.to[0], start)
                elif place.holds is None or place.holds(around):
                    stack.extend(place.to)
        return after

    def may_begin(self, character: str) -> bool:
        """Whether a match can begin with a character."""
        found = self._begins.get(character)
        if found is None:
            tests = [self.states[state].test for state in self._closure(self.start, ())]
            found = any(test is not None and test(character) for test in tests)
            if len(self._begins) >= _KNOWN_CHARACTERS:
                self._begins.clear()
            self._begins[character] = found
        return found

    def _closure(self, state: int, without: Container[int]) -> set[int]:
        """All states that are reached without a character, but not by way of some."""
        seen, stack = {state}, [state]
        while stack:
            at = stack.pop()
            if self.states[at].test is None and at not in without:
                stack.extend(to for to in self.states[at].to if to not in seen)
                seen.update(self.states[at].to)
        return seen

    def _accepts(self, state: int) -> bool:
        """Whether the match may end in a state.

        Raises:
            ValueError: only if a condition holds there, which the next character would tell.
        """
        conditions = {at for at, place in enumerate(self.states) if place.holds is not None}
        free = 0 in self._closure(state, conditions)
        if not free and 0 in self._closure(state, ()):
            raise self._refused(
                "it ends in \\b or ^, and what comes next is not written yet; end it in a character"
            )
        return free

    # ---- building

    def _refused(self, why: str) -> ValueError:
        shown = self.source if len(self.source) <= 60 else self.source[:60] + "…"
        return ValueError(f"the stop_regex {shown!r} cannot end a text: {why}")

    def _add(self, state: _State) -> int:
        if len(self.states) >= MAX_STATES:
            raise self._refused(
                f"with its repeats written out it has over {MAX_STATES} places; "
                "repeat shorter things, or fewer times"
            )
        self.states.append(state)
        return len(self.states) - 1

    def _sequence(self, items: Sequence[Any], flags: int, then: int) -> int:
        """Add the states of items in a row before the state `then`; return the first."""
        for item in reversed(list(items)):
            then = self._item(item, flags, then)
        return then

    def _item(self, item: Any, flags: int, then: int) -> int:
        operation, value = item
        match str(operation):
            case "LITERAL" | "NOT_LITERAL" | "ANY" | "IN":
                return self._add(_State([then], test=_test_of(item, flags)))
            case "SUBPATTERN":
                _, add, remove, inner = value
                return self._sequence(inner, (flags | add) & ~remove, then)
            case "BRANCH":
                return self._add(
                    _State([self._sequence(branch, flags, then) for branch in value[1]])
                )
            case "MAX_REPEAT" | "MIN_REPEAT":
                least, most, body = value
                return self._repeat((least, most), body, flags, then)
            case "AT":
                return self._add(_State([then], holds=self._condition(str(value), flags)))
            case "ASSERT" | "ASSERT_NOT":
                raise self._refused(
                    "it looks ahead or behind; a match is cut off from its beginning on, so write "
                    "what is to go, and nothing else"
                )
            case "ATOMIC_GROUP" | "POSSESSIVE_REPEAT":
                raise self._refused("it is possessive; write a plain group or repeat")
            case _:
                raise self._refused("it refers back to a group; write the text out")

    def _repeat(self, times: tuple[int, int], body: Sequence[Any], flags: int, then: int) -> int:
        least, most = int(times[0]), int(times[1])
        if most == int(_parser.MAXREPEAT):
            again = self._add(_State([then]))
            self.states[again].to.append(self._sequence(body, flags, again))
            then = again
        else:
            end = then
            for _ in range(most - least):
                then = self._add(_State([self._sequence(body, flags, then), end]))
        for _ in range(least):
            then = self._sequence(body, flags, then)
        return then

    def _condition(self, name: str, flags: int) -> Callable[[Around], bool]:
        """What an anchor asks for."""
        is_ascii = bool(flags & re.ASCII)
        match name:
            case "AT_BEGINNING" if flags & re.MULTILINE:
                return lambda around: around.at_line
            case "AT_BEGINNING" | "AT_BEGINNING_STRING":
                return lambda around: around.at_start
            case "AT_BOUNDARY":
                return lambda around: around.ascii_boundary if is_ascii else around.boundary
            case "AT_NON_BOUNDARY":
                return lambda around: not (around.ascii_boundary if is_ascii else around.boundary)
            case _:
                raise self._refused("it asks for the end, and a growing text has none; write \\n")


stop_pattern = lru_cache(64)(StopPattern)
"""The automaton of a pattern; the same one each time, as it never changes."""


def check_stop_patterns(patterns: str | Sequence[str]) -> tuple[str, ...]:
    """Return patterns as a tuple of texts.

    Raises:
        TypeError: one of them is no text.
        re.error: one is no pattern.
        ValueError: one may not end a text.
    """
    found = (patterns,) if isinstance(patterns, str) else tuple(patterns)
    for pattern in found:
        if not isinstance(pattern, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # a user's
            raise TypeError(f"stop_regex is a pattern's text or a list of them, not {pattern!r}")
        stop_pattern(pattern)
    return found


@dataclass(slots=True)
class StopScanner:
    """Looks for patterns in a text that comes in pieces.

    Attributes:
        length: of the text so far, in characters.
        found: the first match; what comes after it is not looked at.
    """

    patterns: tuple[StopPattern, ...]
    length: int = 0
    found: Match | None = None
    _last: str = ""
    _live: list[dict[int, int]] = field(default_factory=list[dict[int, int]])  # state -> start

    @classmethod
    def of(cls, patterns: Sequence[str]) -> StopScanner:
        """A scanner for patterns that were checked."""
        return cls(tuple(stop_pattern(p) for p in patterns), _live=[{} for _ in patterns])

    def feed(self, text: str) -> Match | None:
        """Take the next piece; return the first match, once there is one."""
        for character in text:
            if self.found is not None:
                break
            self._step(character)
        return self.found

    @property
    def held(self) -> int:
        """How many characters at the end of the text may be the beginning of a match."""
        starts = [start for live in self._live for start in live.values()]
        return self.length - min(starts, default=self.length)

    def _step(self, character: str) -> None:
        around: Around | None = None
        self.length += 1
        best: Match | None = None
        for index, pattern in enumerate(self.patterns):
            live = self._live[index]
            if pattern.may_begin(character):
                live.setdefault(pattern.start, self.length - 1)
            if not live:
                continue
            around = around or _around(self._last, character)
            after = pattern.step(live, character, around)
            oldest = self.length - MAX_MATCH
            live = self._live[index] = {at: begin for at, begin in after.items() if begin >= oldest}
            start = next((begin for at, begin in live.items() if pattern.accepting[at]), None)
            if start is not None and (best is None or start < best.start):
                best = Match(start, self.length, pattern.source)
        self._last, self.found = character, best


def _around(last: str, character: str) -> Around:
    word, ascii_word = _is_word(character), _is_word(character) and character.isascii()
    return Around(
        at_start=not last,
        at_line=last in ("", "\n"),
        boundary=_is_word(last) != word,
        ascii_boundary=(_is_word(last) and last.isascii()) != ascii_word,
    )


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _test_of(item: Any, flags: int) -> Test:
    """Whether a character is one that an item stands for, as `re` itself sees it."""
    state = _parser.State()
    state.flags = flags
    matches = _compiler.compile(_parser.SubPattern(state, [item]), flags).match
    known: dict[str, bool] = {}

    def test(character: str) -> bool:
        found = known.get(character)
        if found is None:
            if len(known) >= _KNOWN_CHARACTERS:
                known.clear()
            found = known[character] = matches(character) is not None
        return found

    return test
