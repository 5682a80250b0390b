"""JSON objects as EBNF: members in declared order, counted, with open or closed ends.

One rule per declared member and state, the state being how many members were written; where no
bound counts them, only whether any was. That is linear in the members without bounds, members x
maxProperties with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .ebnf import COLON, COMMA, EMPTY, Rules, alternation, literal, repeated
from .strings import json_text

__all__ = ["Member", "Members", "object_of"]


@dataclass(frozen=True, slots=True)
class Member:
    """A declared property: its key's text, its value's expression."""

    key: str
    value: str
    is_required: bool

    @property
    def expression(self) -> str:
        """The member as it is written."""
        return f"({literal(json_text(self.key))} {COLON} {self.value})"


@dataclass(frozen=True, slots=True)
class Members:
    """All that an object may hold."""

    declared: Sequence[Member]
    other: str | None  # the expression of one undeclared member; None: the object is closed
    low: int = 0
    high: int | None = None


def object_of(members: Members, rules: Rules) -> str | None:
    """Return an expression for the objects that `members` describes; None if there are none."""
    return _Object(members, rules).expression()


class _Object:
    def __init__(self, members: Members, rules: Rules) -> None:
        self._members = members
        self._rules = rules
        self._required_after = [0]  # how many required members there are from each index on
        for member in reversed(members.declared):
            self._required_after.insert(0, self._required_after[0] + member.is_required)
        # Counts beyond this one behave alike.
        self._last_count = max(members.low, 1) if members.high is None else members.high + 1
        self._memo: dict[tuple[int, int], str | None] = {}

    def expression(self) -> str | None:
        # From the last member back, so that the recursion below is one level deep.
        for index in range(len(self._members.declared), 0, -1):
            for count in range(min(index, self._last_count) + 1):
                self._tail(index, count)
        body = self._tail(0, 0)
        return None if body is None else f"({literal('{')} {body} {literal('}')})"

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
            return self._end(count)
        member = self._members.declared[index]
        comma = COMMA + " " if count else ""
        options = []
        if (rest := self._tail(index + 1, count + 1)) is not None:
            options.append(f"({comma}{member.expression} {rest})")
        if not member.is_required and (rest := self._tail(index + 1, count)) is not None:
            options.append(rest)
        return self._rules.add(alternation(options)) if options else None

    def _end(self, count: int) -> str | None:
        low, high, other = self._members.low, self._members.high, self._members.other
        least = max(low - count, 0)
        most = None if high is None else high - count
        if other is None or most == 0:
            return EMPTY if least == 0 else None
        more = f"({COMMA} {other})"
        if count:
            return repeated(more, least, most)
        tail = repeated(more, max(least - 1, 0), None if most is None else most - 1)
        some = f"({other} {tail})"
        return some if least else alternation([EMPTY, some])
