"""Grammars as data: EBNF text read into expressions.

The dialect is that of `ebnf.py` and of users' own grammars (xgrammar's). What this reader does not
know is an `UnreadableError`: nothing is then said of the grammar. Looking ahead is passed over, so
a language may come out larger than it is, never smaller.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import assert_never

from .ebnf import Charset, charset, complement

__all__ = [
    "Choice",
    "Expression",
    "Literal",
    "OneOf",
    "Reference",
    "Repeat",
    "Rules",
    "Sequence",
    "UnreadableError",
    "read_grammar",
    "renamed",
]

MAX_DEPTH = 200  # rules and groups inside each other


class UnreadableError(ValueError):
    """A grammar that this reader does not know how to read; it may still be good."""


@dataclass(frozen=True, slots=True)
class Literal:
    """Exactly this text."""

    text: str


@dataclass(frozen=True, slots=True)
class OneOf:
    """One character of a set."""

    chars: Charset


@dataclass(frozen=True, slots=True)
class Sequence:
    """One after the other."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """Any of several."""

    options: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """`low` to `high` times; None is no bound."""

    part: Expression
    low: int
    high: int | None


@dataclass(frozen=True, slots=True)
class Reference:
    """What a rule derives."""

    rule: str


Expression = Literal | OneOf | Sequence | Choice | Repeat | Reference
Rules = Mapping[str, Expression]

_TOKEN = re.compile(
    r"""(?P<space>(?:\s|\#[^\n]*)+)
    | (?P<string>"(?:[^"\\\n]|\\.)*")
    | (?P<set>\[(?:[^\]\\]|\\.)*\])
    | (?P<define>::=)
    | (?P<name>[A-Za-z_][A-Za-z0-9_.-]*)
    | (?P<count>\{\s*\d+\s*(?:,\s*\d*\s*)?\})
    | (?P<ahead>\(=)
    | (?P<mark>[|()*+?])""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(?:U([0-9a-fA-F]{8})|u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_SHORT = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "0": "\0"}
_NEGATED = re.compile(r"\[\^")


def read_grammar(text: str) -> Rules:
    """Return the rules of a grammar by name.

    Raises:
        UnreadableError: it holds something that is not known here.
    """
    return _Reader(text).rules()


def renamed(part: Expression, old: str, new: str) -> Expression:
    """Return an expression in which one rule is referred to by another name."""
    match part:
        case Reference(name):
            return Reference(new) if name == old else part
        case Sequence(parts):
            return Sequence(tuple(renamed(one, old, new) for one in parts))
        case Choice(options):
            return Choice(tuple(renamed(one, old, new) for one in options))
        case Repeat(inner, low, high):
            return Repeat(renamed(inner, old, new), low, high)
        case Literal() | OneOf():
            return part
        case _:
            assert_never(part)


class _Reader:
    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        at = 0
        for match in _TOKEN.finditer(text):
            if match.start() != at or match.lastgroup is None:
                break
            if match.lastgroup != "space":
                self._tokens.append((match.lastgroup, match[0]))
            at = match.end()
        if at < len(text):
            raise UnreadableError(f"{text[at : at + 20]!r} is not known")
        self._at = 0
        self._depth = 0

    def rules(self) -> Rules:
        found: dict[str, Expression] = {}
        while self._at < len(self._tokens):
            kind, name = self._next()
            if kind != "name" or self._next()[0] != "define" or name in found:
                raise UnreadableError(f"no rule begins at {name!r}")
            found[name] = self._choice()
        return found

    def _next(self) -> tuple[str, str]:
        if self._at >= len(self._tokens):
            raise UnreadableError("the grammar ends in the middle of a rule")
        self._at += 1
        return self._tokens[self._at - 1]

    def _peek(self, offset: int = 0) -> tuple[str, str]:
        at = self._at + offset
        return self._tokens[at] if at < len(self._tokens) else ("end", "")

    def _choice(self) -> Expression:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise UnreadableError("groups nest too deep")
        options = [self._sequence()]
        while self._peek() == ("mark", "|"):
            self._at += 1
            options.append(self._sequence())
        self._depth -= 1
        return options[0] if len(options) == 1 else Choice(tuple(options))

    def _sequence(self) -> Expression:
        parts: list[Expression] = []
        while True:
            kind, text = self._peek()
            if kind in ("end", "define") or (kind == "mark" and text in "|)"):
                break
            if kind == "name" and self._peek(1)[0] == "define":
                break
            parts.append(self._repeated(self._atom()))
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def _atom(self) -> Expression:
        kind, text = self._next()
        match kind, text:
            case "string", _:
                return Literal(_unescaped(text[1:-1]))
            case "set", _:
                return OneOf(_set(text))
            case "name", _:
                return Reference(text)
            case ("mark", "(") | ("ahead", _):
                inner = self._choice()
                if self._next() != ("mark", ")"):
                    raise UnreadableError("a group does not end")
                # What looks ahead takes nothing; what it rules out is left in.
                return Sequence(()) if kind == "ahead" else inner
            case _:
                raise UnreadableError(f"{text!r} cannot stand here")

    def _repeated(self, part: Expression) -> Expression:
        while True:
            kind, text = self._peek()
            if kind == "count":
                low, comma, high = text.strip("{}").partition(",")
                first = int(low)
                last = int(high) if high.strip() else (None if comma else first)
                part = Repeat(part, first, last)
            elif kind == "mark" and text in "*+?":
                bounds = {"*": (0, None), "+": (1, None), "?": (0, 1)}[text]
                part = Repeat(part, *bounds)
            else:
                return part
            self._at += 1


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(_escaped, text) if "\\" in text else text


def _escaped(match: re.Match[str]) -> str:
    """Return the character that an escape stands for."""
    code = match[1] or match[2] or match[3]
    return chr(int(code, 16)) if code else _SHORT.get(match[4], match[4])


def _characters(text: str) -> list[str]:
    """The characters of a text, each escape as one; an escaped `-` stays apart as `\\-`."""
    found: list[str] = []
    at = 0
    while at < len(text):
        match = _ESCAPE.match(text, at)
        if match is None:
            found.append(text[at])
            at += 1
            continue
        found.append(_escaped(match))
        at = match.end()
    return found


@lru_cache(maxsize=1024)  # a grammar has few, many times
def _set(text: str) -> Charset:
    is_negated = _NEGATED.match(text) is not None
    inside = text[2 if is_negated else 1 : -1]
    # `\-` is a character, `-` between two is a range: hide the first kind from the second.
    hidden = inside.replace("\\-", "\\U0000002d")
    parts = re.findall(r"\\U[0-9a-fA-F]{8}|\\u[0-9a-fA-F]{4}|\\x[0-9a-fA-F]{2}|\\.|.", hidden, re.S)
    ranges: list[tuple[int, int]] = []
    at = 0
    while at < len(parts):
        first = _characters(parts[at])[0]
        if at + 2 < len(parts) and parts[at + 1] == "-":
            last = _characters(parts[at + 2])[0]
            ranges.append((ord(first), ord(last)))
            at += 3
        else:
            ranges.append((ord(first), ord(first)))
            at += 1
    chars = charset(ranges)
    return complement(chars) if is_negated else chars
