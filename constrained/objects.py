"""JSON objects as EBNF: members in the declared order or in any, counted, with open or closed ends.

In the declared order there is one rule per declared member and state, the state being how many
members were written; where no bound counts them, only whether any was. That is linear in the
members without bounds, members x maxProperties with them. In any order the state is the set of
members written: a rule for each of 2^n.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .ebnf import EMPTY, Rules, alternation, literal, repeated
from .errors import LimitError
from .keywords import KIND
from .layout import Layout, Marks
from .strings import json_text

__all__ = ["MAX_REMEMBERED", "Member", "Members", "object_of"]

MAX_REMEMBERED = 8  # members in any order, of one object: 256 rules with up to 8 alternatives


@dataclass(frozen=True, slots=True)
class Member:
    """A declared property: its key's text, its value's expression."""

    key: str
    value: str
    is_required: bool


@dataclass(frozen=True, slots=True)
class Members:
    """All that an object may hold."""

    declared: Sequence[Member]
    other: str | None  # the expression of one undeclared member; None: the object is closed
    low: int = 0
    high: int | None = None


def object_of(members: Members, rules: Rules, marks: Marks, layout: Layout) -> str | None:
    """Return an expression for the objects that `members` describes; None if there are none.

    Raises:
        LimitError: more than `MAX_REMEMBERED` members come in any order, and `layout` is not near.
    """
    if layout.property_order == "any" and len(members.declared) > 1:
        body = _AnyOrder(members, rules, marks, is_near=layout.is_near).body()
    else:
        body = _DeclaredOrder(members, rules, marks).body()
    return None if body is None else f"({literal('{')} {body} {marks.blank}{literal('}')})"


class _DeclaredOrder:
    def __init__(self, members: Members, rules: Rules, marks: Marks) -> None:
        self._members = members
        self._rules = rules
        self._marks = marks
        self._required_after = [0]  # how many required members there are from each index on
        for member in reversed(members.declared):
            self._required_after.insert(0, self._required_after[0] + member.is_required)
        # Counts beyond this one behave alike.
        self._last_count = max(members.low, 1) if members.high is None else members.high + 1
        self._memo: dict[tuple[int, int], str | None] = {}

    def body(self) -> str | None:
        # From the last member back, so that the recursion below is one level deep.
        for index in range(len(self._members.declared), 0, -1):
            for count in range(min(index, self._last_count) + 1):
                self._tail(index, count)
        return self._tail(0, 0)

    def _tail(self, index: int, count: int) -> str | None:
        """Return what may follow the members before `index`, of which `count` were written."""
        count = min(count, self._last_count)
        key = (index, count)
        if key not in self._memo:
            self._memo[key] = self._make_tail(index, count)
        return self._memo[key]

    def _make_tail(self, index: int, count: int) -> str | None:
        high = self._members.high
        if high is not None and count + self._required_after[index] > high:
            return None
        if index == len(self._members.declared):
            return _end(self._members, self._marks, count)
        member = self._members.declared[index]
        before = _before(self._marks, count)
        options = []
        if (rest := self._tail(index + 1, count + 1)) is not None:
            options.append(f"({before}{_written(member, self._marks)} {rest})")
        if not member.is_required and (rest := self._tail(index + 1, count)) is not None:
            options.append(rest)
        return self._rules.add(alternation(options)) if options else None


class _AnyOrder:
    """Members in any order; undeclared ones behind them.

    Where that is near enough, only some of the required members are remembered: the others may be
    left out or come again, and none are counted.
    """

    def __init__(self, members: Members, rules: Rules, marks: Marks, *, is_near: bool) -> None:
        declared = members.declared
        if len(declared) <= MAX_REMEMBERED:
            remembered = list(range(len(declared)))
        elif is_near:
            required = [index for index, member in enumerate(declared) if member.is_required]
            remembered, members = required[:MAX_REMEMBERED], Members(declared, members.other)
        else:
            raise LimitError(
                f"an object names {len(declared)} properties; EBNF holds {MAX_REMEMBERED} in any "
                "order",
                kind=KIND,
                pointer="",
                hint="Leave the back end to auto, or property_order at declared.",
            )
        self._members = members
        self._rules = rules
        self._marks = marks
        self._bits = {index: 1 << place for place, index in enumerate(remembered)}
        self._needed = sum(bit for index, bit in self._bits.items() if declared[index].is_required)
        self._written = [rules.add(_written(member, marks)) for member in declared]
        self._states: dict[tuple[int, bool], str | None] = {}

    def body(self) -> str | None:
        return self._after(0, False)

    def _after(self, written: int, is_any: bool) -> str | None:
        """Return the rule of what may follow a set of remembered members.

        Args:
            written: their bits.
            is_any: whether any member was written.
        """
        key = (written, is_any)
        if key not in self._states:
            name = self._states[key] = self._rules.reserve()
            options = self._options(written, is_any)
            if options:
                self._rules.define(name, alternation(options))
            else:
                self._states[key] = None
        return self._states[key]

    def _options(self, written: int, is_any: bool) -> list[str]:
        count = written.bit_count() if is_any else 0
        missing = (self._needed & ~written).bit_count()
        high = self._members.high
        before = _before(self._marks, is_any)
        options: list[str] = []
        for index, member in enumerate(self._written):
            bit = self._bits.get(index, 0)
            adds = missing + (not bit & self._needed)
            if (bit and bit & written) or (high is not None and count + adds > high):
                continue
            if (rest := self._after(written | bit, True)) is not None:
                options.append(f"({before}{member} {rest})")
        end = None if missing else _end(self._members, self._marks, max(count, int(is_any)))
        return options if end is None else [*options, end]


def _written(member: Member, marks: Marks) -> str:
    return f"({literal(json_text(member.key))} {marks.colon} {member.value})"


def _before(marks: Marks, count: int) -> str:
    """Return what goes before a member behind so many others."""
    return marks.comma + " " if count else marks.blank


def _end(members: Members, marks: Marks, count: int) -> str | None:
    """Return the undeclared members that may follow `count` others; None if too few may."""
    low, high, other = members.low, members.high, members.other
    least = max(low - count, 0)
    most = None if high is None else high - count
    if other is None or most == 0:
        return EMPTY if least == 0 else None
    more = f"({marks.comma} {other})"
    if count:
        return repeated(more, least, most)
    tail = repeated(more, max(least - 1, 0), None if most is None else most - 1)
    some = f"({marks.blank}{other} {tail})"
    return some if least else alternation([EMPTY, some])
