"""What a structural tag consists of, once it is read: the parts that back ends write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .plan import Plan

__all__ = [
    "MAX_FREE_CHARS",
    "Constant",
    "Derived",
    "Either",
    "Free",
    "Islands",
    "Joined",
    "Listed",
    "Matching",
    "Part",
    "Quoted",
    "Until",
    "Valid",
]

MAX_FREE_CHARS = 8_000  # of bounded free text: five states of the lexer each, as it is met


@dataclass(frozen=True, slots=True)
class Constant:
    """Exactly this text."""

    text: str


@dataclass(frozen=True, slots=True)
class Valid:
    """A JSON document."""

    plan: Plan
    at: str  # the JSON pointer of its schema in the tag


@dataclass(frozen=True, slots=True)
class Matching:
    """Text of a pattern."""

    ebnf: str  # as `lower_pattern` writes it


@dataclass(frozen=True, slots=True)
class Derived:
    """Text of a grammar in xgrammar's EBNF."""

    rules: str  # a line each, `root` among them
    at: str


@dataclass(frozen=True, slots=True)
class Quoted:
    """Text of a grammar in llguidance's Lark."""

    lark: str  # `start` among its rules
    at: str


@dataclass(frozen=True, slots=True)
class Joined:
    """One part after the other."""

    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """One of several parts."""

    options: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Free:
    """Any text, to the very end; at most so many characters."""

    max_chars: int | None


@dataclass(frozen=True, slots=True)
class Until:
    """Any text up to the first of some marks, that mark included."""

    marks: tuple[str, ...]
    max_chars: int | None  # before the mark


@dataclass(frozen=True, slots=True)
class Islands:
    """Free text in which a trigger opens what belongs to it, to the very end."""

    after: Mapping[str, Part]  # trigger: what must follow it
    free: tuple[str, ...]  # special tokens that may stand in the text, where triggers begin so
    at_least_one: bool
    stop_after_first: bool


@dataclass(frozen=True, slots=True)
class Listed:
    """The same part several times."""

    part: Part
    separator: str
    at_least_one: bool
    stop_after_first: bool


Part = (
    Constant
    | Valid
    | Matching
    | Derived
    | Quoted
    | Joined
    | Either
    | Free
    | Until
    | Islands
    | Listed
)
