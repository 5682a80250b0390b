"""Writing grammars in xgrammar's EBNF: literals, character classes, rules.

An *expression* is EBNF text that can stand anywhere: what needs parentheses already has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

__all__ = [
    "ALL",
    "EMPTY",
    "Charset",
    "Rules",
    "alternation",
    "charset",
    "complement",
    "literal",
    "one_of",
    "repeated",
]

# Sorted, disjoint, non-adjacent code point ranges, ends included.
Charset = tuple[tuple[int, int], ...]

# Everything that UTF-8 can encode: surrogates are not characters.
ALL: Charset = ((0x0, 0xD7FF), (0xE000, 0x10FFFF))

EMPTY = '""'


def charset(ranges: Iterable[tuple[int, int]]) -> Charset:
    """Sort and merge ranges, and leave surrogates out."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(part for piece in ranges for part in _without_surrogates(*piece)):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return tuple(merged)


@lru_cache(maxsize=1024)  # a grammar has few sets, many times
def complement(chars: Charset) -> Charset:
    """Return every other code point that UTF-8 can encode."""
    edges = [-1, *(edge for low, high in chars for edge in (low, high)), 0x110000]
    gaps = zip(edges[::2], edges[1::2], strict=True)
    return charset((low + 1, high - 1) for low, high in gaps if low + 1 < high)


def literal(text: str) -> str:
    """Return an expression for exactly `text`."""
    return '"' + "".join(map(_quoted, text)) + '"'


def one_of(chars: Charset) -> str:
    """Return an expression for one character of a set, which is not empty."""
    return "[" + "".join(_range(low, high) for low, high in chars) + "]"


def alternation(options: Sequence[str]) -> str:
    """Return an expression for any of one or more expressions, without repeats."""
    unique = list(dict.fromkeys(options))
    return unique[0] if len(unique) == 1 else "(" + " | ".join(unique) + ")"


def repeated(expression: str, low: int, high: int | None) -> str:
    """Return an expression for `low` to `high` times another; None is no bound."""
    if high == 0 or expression == EMPTY:
        return EMPTY
    if (low, high) == (1, 1):
        return expression
    suffix = f"{{{low},{'' if high is None else high}}}"
    return f"(({expression}){suffix})"


class Rules:
    """A grammar under construction: named rules, `root` among them in the end."""

    def __init__(self, prefix: str = "r") -> None:
        self._prefix = prefix  # of fresh names
        self._bodies: dict[str, str] = {}
        self._count = 0

    def reserve(self) -> str:
        """Return a fresh name, to be defined later: how recursion is written."""
        self._count += 1
        return f"{self._prefix}{self._count}"

    def define(self, name: str, body: str) -> str:
        """Give `name` its body, and return the name."""
        self._bodies[name] = body
        return name

    def add(self, body: str) -> str:
        """Define a fresh rule and return its name."""
        return self.define(self.reserve(), body)

    def text(self) -> str:
        """Return the grammar, one rule a line."""
        return "\n".join(f"{name} ::= {body}" for name, body in self._bodies.items())


def _without_surrogates(low: int, high: int) -> list[tuple[int, int]]:
    parts = [(max(low, first), min(high, last)) for first, last in ALL]
    return [(first, last) for first, last in parts if first <= last]


def _quoted(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    return char if " " <= char <= "~" else f"\\U{ord(char):08x}"


def _range(low: int, high: int) -> str:
    # Every end as an escape: no character of a class then means anything but itself.
    return f"\\U{low:08x}" if low == high else f"\\U{low:08x}-\\U{high:08x}"
