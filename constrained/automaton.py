"""The language of a pattern as a bounded automaton: is it empty, finite, how short is its shortest.

States are sets of partial derivatives (Antimirov, 1996) of the pattern that `pattern.py` lowers, so
only what is reachable is built and nothing is determinised beyond `MAX_STATES`. interegular, which
answers the same questions, was not chosen for it: it has no such bound, and `.*a.{30}` takes it to
2^30 states.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from .ebnf import ALL, Charset
from .errors import GrammarError, LimitError
from .pattern import lower_pattern

__all__ = ["MAX_STATES", "NOTHING", "Automaton", "analysed"]

MAX_STATES = 300
MAX_PATTERN_CHARS = 400
MAX_OUTPUT_CHARS = 20_000

NOTHING = r"[^\x00-\U0010ffff]"  # a pattern that no text matches

# ("set", charset) · ("cat", left, right) · ("alt", options) · ("rep", term, low, high) · ("eps",)
Term = tuple[Any, ...]
State = frozenset[Term]

EPS: Term = ("eps",)
_TOKEN = re.compile(r'\s*(?:(\()|(\))|(\|)|(\[[^\]]*\])|("")|\{(\d+),(\d*)\}|(\*))')
_CODE = re.compile(r"\\U([0-9a-f]{8})(?:-\\U([0-9a-f]{8}))?")


@dataclass(frozen=True, slots=True)
class Automaton:
    """A complete deterministic automaton; state 0 is the start."""

    classes: tuple[Charset, ...]  # a partition of all characters
    steps: tuple[tuple[int, ...], ...]  # [state][class] the next state
    accepting: frozenset[int]

    @classmethod
    def of(
        cls,
        pattern: str,
        *,
        search: bool = False,
        max_states: int = MAX_STATES,
        max_work: int | None = None,
    ) -> Automaton:
        """Build it.

        Args:
            pattern: as `lower_pattern` takes it.
            search: match anywhere in a text.
            max_states: that it may take.
            max_work: derivatives that may be taken, some 10 us each; None: any number.

        Raises:
            GrammarError: the pattern is not regular, or takes more than that.
        """
        if len(pattern) > MAX_PATTERN_CHARS:
            raise LimitError("the pattern is too long to be analysed", kind="regex")
        start: State = frozenset([_Reader(lower_pattern(pattern, search=search)).term()])
        classes = _partition(start)
        numbers: dict[State, int] = {start: 0}
        steps: list[tuple[int, ...]] = []
        queue = [start]
        work = 0
        for state in queue:
            row: list[int] = []
            work += len(state) * len(classes)
            if max_work is not None and work > max_work:
                raise LimitError("the pattern takes too long to be analysed", kind="regex")
            for chars in classes:
                after = frozenset(t for term in state for t in _derived(term, chars[0][0]))
                if after not in numbers:
                    if len(numbers) >= max_states:
                        raise LimitError("the pattern has too many states", kind="regex")
                    numbers[after] = len(numbers)
                    queue.append(after)
                row.append(numbers[after])
            steps.append(tuple(row))
        accepting = frozenset(n for state, n in numbers.items() if any(map(_is_nullable, state)))
        return cls(classes, tuple(steps), accepting)

    def complement(self) -> Automaton:
        """Return the automaton of every other text."""
        others = frozenset(range(len(self.steps))) - self.accepting
        return Automaton(self.classes, self.steps, others)

    @property
    def is_empty(self) -> bool:
        """Whether nothing matches."""
        return not self._useful()

    @property
    def is_finite(self) -> bool:
        """Whether the texts that match are finitely many."""
        return all(len(loop) == 0 for loop in self._loops())

    def min_length(self) -> int | None:
        """Return the length of the shortest text that matches; None if none does."""
        seen, edge, length = {0}, {0}, 0
        while edge:
            if edge & self.accepting:
                return length
            edge = {after for state in edge for after in self.steps[state]} - seen
            seen |= edge
            length += 1
        return None

    def texts(self, limit: int) -> list[str] | None:
        """Return all texts that match; None if they are more than `limit`."""
        if not self.is_finite:
            return None
        useful = self._useful()
        found: list[str] = []
        stack = [(0, "")] if 0 in useful else []
        while stack:
            state, text = stack.pop()
            if state in self.accepting:
                found.append(text)
            if len(found) + len(stack) > limit:
                return None
            for chars, after in zip(self.classes, self.steps[state], strict=True):
                if after in useful:
                    codes = [code for low, high in chars for code in range(low, high + 1)][
                        : limit + 1
                    ]
                    stack += [(after, text + chr(code)) for code in codes]
        return sorted(found) if len(found) <= limit else None

    def is_disjoint(self, other: Automaton) -> bool:
        """Whether no text matches both."""
        seen = {(0, 0)}
        queue = [(0, 0)]
        pairs = [
            (i, j)
            for i, left in enumerate(self.classes)
            for j, right in enumerate(other.classes)
            if any(max(a, c) <= min(b, d) for a, b in left for c, d in right)
        ]
        for left_state, right_state in queue:
            if left_state in self.accepting and right_state in other.accepting:
                return False
            for i, j in pairs:
                after = (self.steps[left_state][i], other.steps[right_state][j])
                if after not in seen:
                    seen.add(after)
                    queue.append(after)
        return True

    def pattern(self) -> str:
        """Return a pattern, anchored at both ends, for the texts that match, by state elimination.

        Raises:
            LimitError: it would be longer than `MAX_OUTPUT_CHARS`.
        """
        useful = self._useful()
        edges: dict[tuple[int, int], str] = {}
        start, end = -1, -2
        for state in sorted(useful):
            for after in sorted(set(self.steps[state]) & useful):
                ranges = [
                    piece
                    for chars, step in zip(self.classes, self.steps[state], strict=True)
                    if step == after
                    for piece in chars
                ]
                edges[state, after] = _class(sorted(ranges))
            if state in self.accepting:
                edges[state, end] = ""
        if 0 in useful:
            edges[start, 0] = ""
        for state in sorted(useful, key=lambda s: sum(s in edge for edge in edges)):
            _eliminate(edges, state)
            if sum(map(len, edges.values())) > MAX_OUTPUT_CHARS:
                raise LimitError("the pattern is too long to be written out", kind="regex")
        found = edges.get((start, end))
        return NOTHING if found is None else f"^(?:{found})$"

    def _useful(self) -> set[int]:
        """Return the states that lead to an accepting one; all are reachable."""
        useful = set(self.accepting)
        while True:
            more = {s for s, row in enumerate(self.steps) if not useful.isdisjoint(row)} - useful
            if not more:
                return useful
            useful |= more

    def _loops(self) -> Iterator[set[int]]:
        """Return, for each useful state, the ways back to it."""
        useful = self._useful()
        for state in useful:
            reached: set[int] = set()
            edge = set(self.steps[state]) & useful
            while edge:
                reached |= edge
                edge = {a for s in edge for a in self.steps[s] if a in useful} - reached
            yield reached & {state}


class _Reader:
    """Reads the EBNF that `lower_pattern` writes: classes, groups, alternatives, repeats."""

    def __init__(self, text: str) -> None:
        self._tokens = list(_TOKEN.finditer(text))
        self._at = 0

    def term(self) -> Term:
        options: list[Term] = [self._sequence()]
        while self._at < len(self._tokens) and self._tokens[self._at][3]:
            self._at += 1
            options.append(self._sequence())
        return options[0] if len(options) == 1 else ("alt", tuple(options))

    def _sequence(self) -> Term:
        parts: list[Term] = []
        while self._at < len(self._tokens):
            match = self._tokens[self._at]
            if match[2] or match[3]:
                break
            self._at += 1
            if match[1]:
                parts.append(self.term())
                self._at += 1
            elif match[4]:
                pairs = [(int(m[1], 16), int(m[2] or m[1], 16)) for m in _CODE.finditer(match[4])]
                parts.append(("set", tuple(pairs)))
            elif match[5]:
                parts.append(EPS)
            elif match[8]:
                parts[-1] = _repeat(parts[-1], 0, None)
            else:
                parts[-1] = _repeat(parts[-1], int(match[6]), int(match[7]) if match[7] else None)
        result: Term = EPS
        for part in reversed(parts):
            result = _cat(part, result)
        return result


def _cat(left: Term, right: Term) -> Term:
    if left == EPS:
        return right
    return left if right == EPS else ("cat", left, right)


def _repeat(term: Term, low: int, high: int | None) -> Term:
    if high == 0 or term == EPS:
        return EPS
    return term if (low, high) == (1, 1) else ("rep", term, low, high)


@cache
def _is_nullable(term: Term) -> bool:
    match term[0]:
        case "eps":
            return True
        case "cat":
            return _is_nullable(term[1]) and _is_nullable(term[2])
        case "alt":
            return any(map(_is_nullable, term[1]))
        case "rep":
            return term[2] == 0 or _is_nullable(term[1])
        case _:
            return False


def _derived(term: Term, code: int) -> set[Term]:
    """Return the partial derivatives of a term by a character."""
    match term[0]:
        case "set":
            return {EPS} if any(low <= code <= high for low, high in term[1]) else set()
        case "cat":
            found = {_cat(after, term[2]) for after in _derived(term[1], code)}
            return found | _derived(term[2], code) if _is_nullable(term[1]) else found
        case "alt":
            return {after for option in term[1] for after in _derived(option, code)}
        case "rep":
            _, body, low, high = term
            rest = _repeat(body, max(low - 1, 0), None if high is None else high - 1)
            return {_cat(after, rest) for after in _derived(body, code)}
        case _:
            return set()


def _partition(state: State) -> tuple[Charset, ...]:
    """Return the coarsest partition of all characters that no set of the terms cuts."""
    sets: set[Charset] = set()
    stack: list[Term] = list(state)
    while stack:
        term = stack.pop()
        match term[0]:
            case "set":
                sets.add(term[1])
            case "cat":
                stack += term[1:]
            case "alt":
                stack += term[1]
            case "rep":
                stack.append(term[1])
    cuts = sorted(
        {low for chars in (ALL, *sets) for low, _ in chars}
        | {high + 1 for chars in (ALL, *sets) for _, high in chars}
    )
    groups: dict[tuple[bool, ...], list[tuple[int, int]]] = {}
    ordered = sorted(sets)
    for low, after in itertools.pairwise(cuts):
        if any(first <= low <= last for first, last in ALL):
            inside = tuple(any(a <= low <= b for a, b in chars) for chars in ordered)
            groups.setdefault(inside, []).append((low, after - 1))
    return tuple(tuple(ranges) for ranges in groups.values())


def _eliminate(edges: dict[tuple[int, int], str], state: int) -> None:
    """Take a state out of a graph of patterns, leading its ways around it."""
    loop = edges.pop((state, state), None)
    again = "" if loop is None else f"(?:{loop})*"
    before = [(edge[0], text) for edge, text in edges.items() if edge[1] == state]
    after = [(edge[1], text) for edge, text in edges.items() if edge[0] == state]
    for edge in [edge for edge in edges if state in edge]:
        del edges[edge]
    for source, first in before:
        for target, last in after:
            text = f"{first}{again}{last}"
            known = edges.get((source, target))
            edges[source, target] = text if known is None else f"(?:{known}|{text})"


def _class(ranges: list[tuple[int, int]]) -> str:
    merged: list[tuple[int, int]] = []
    for low, high in ranges:
        if merged and low == merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], high)
        else:
            merged.append((low, high))
    return "[" + "".join(f"{_escaped(low)}-{_escaped(high)}" for low, high in merged) + "]"


def _escaped(code: int) -> str:
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def analysed(pattern: str, *, search: bool = False) -> Automaton | None:
    """Return the automaton of a pattern, or None where it is beyond the bounds."""
    try:
        return Automaton.of(pattern, search=search)
    except (GrammarError, RecursionError):
        return None
