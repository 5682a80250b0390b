"""Grammars as data: EBNF text read into expressions, and what can be said of their texts.

The dialect is that of `constrained/ebnf.py` and of users' own grammars (xgrammar's). What this
reader does not know is an `UnreadableError`: nothing is then said of the grammar. Looking ahead is
passed over, so a language may come out larger than it is, never smaller.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ...constrained.ebnf import Charset, charset, complement

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


class _Reader:
    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        at = 0
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None or match.lastgroup is None:
                raise UnreadableError(f"{text[at : at + 20]!r} is not known")
            if match.lastgroup != "space":
                self._tokens.append((match.lastgroup, match[0]))
            at = match.end()
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
    return "".join(_characters(text))


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
        code = match[1] or match[2] or match[3]
        found.append(chr(int(code, 16)) if code else _SHORT.get(match[4], match[4]))
        at = match.end()
    return found


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


# ---- what can be said of the texts


def shortest_texts(rules: Rules) -> dict[str, str]:
    """A shortest text of every rule that derives a finite one.

    Value iteration: a text only ever gets shorter, and each pass settles the next shorter rule.
    """
    found: dict[str, str] = {}
    for _ in range(len(rules) + 1):
        moved = False
        for name, expression in rules.items():
            text = shortest(expression, found)
            if text is not None and (name not in found or len(text) < len(found[name])):
                found[name] = text
                moved = True
        if not moved:
            break
    return found


def shortest(expression: Expression, known: Mapping[str, str]) -> str | None:
    """A shortest text of an expression, given those of rules; None where none is known."""
    match expression:
        case Literal(text=text):
            return text
        case OneOf(chars=chars):
            return chr(_plainest(chars)) if chars else None
        case Sequence(parts=parts):
            texts = [shortest(part, known) for part in parts]
            return None if None in texts else "".join(text for text in texts if text is not None)
        case Choice(options=options):
            found = [best for o in options if (best := shortest(o, known)) is not None]
            return min(found, key=len, default=None)
        case Repeat(part=part, low=low):
            if low == 0:
                return ""
            once = shortest(part, known)
            return None if once is None else once * low
        case Reference(rule=rule):
            return known.get(rule)


def _plainest(chars: Charset) -> int:
    """A character that tokenizers are likely to join with others: a letter, a digit."""
    for low, high in chars:
        for wanted in (ord("a"), ord("A"), ord("0"), ord(" ")):
            if low <= wanted <= high:
                return wanted
    return chars[0][0]


def longest_bytes(expression: Expression, rules: Rules) -> int | None:
    """How many bytes of UTF-8 a text may have; None for no bound, or a recursive rule."""
    return _Longest(rules).of(expression)


class _Longest:
    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._open: set[str] = set()
        self._known: dict[str, int | None] = {}

    def of(self, expression: Expression) -> int | None:
        match expression:
            case Literal(text=text):
                return len(text.encode())
            case OneOf(chars=chars):
                return max((len(chr(high).encode()) for _, high in chars), default=0)
            case Sequence(parts=inner):
                sizes = [self.of(part) for part in inner]
                return None if None in sizes else sum(size for size in sizes if size)
            case Choice(options=inner):
                sizes = [self.of(part) for part in inner]
                return None if None in sizes else max(size or 0 for size in sizes)
            case Repeat(part=part, high=high):
                size = self.of(part)
                if size == 0 or high == 0:
                    return 0
                return None if size is None or high is None else size * high
            case Reference(rule=rule):
                return self._rule(rule)

    def _rule(self, name: str) -> int | None:
        if name in self._open or name not in self._rules:
            return None
        if name not in self._known:
            self._open.add(name)
            self._known[name] = self.of(self._rules[name])
            self._open.discard(name)
        return self._known[name]


def forced_prefix(
    expression: Expression, rules: Rules, around: frozenset[str] = frozenset()
) -> tuple[str, bool]:
    """The text that every text begins with, and whether it is the only one."""
    match expression:
        case Literal(text=text):
            return text, True
        case OneOf(chars=((low, high),)) if low == high:
            return chr(low), True
        case OneOf():
            return "", False
        case Sequence(parts=parts):
            found = ""
            for part in parts:
                text, is_all = forced_prefix(part, rules, around)
                found += text
                if not is_all:
                    return found, False
            return found, True
        case Choice(options=options):
            ways = [forced_prefix(option, rules, around) for option in options]
            if all(way == ways[0] for way in ways):
                return ways[0]
            return _common([text for text, _ in ways]), False
        case Repeat(part=part, low=low, high=high):
            if low == 0:
                return "", high == 0
            text, is_all = forced_prefix(part, rules, around)
            return (text * low, low == high) if is_all else (text, False)
        case Reference(rule=rule):
            if rule in around or rule not in rules:
                return "", False
            return forced_prefix(rules[rule], rules, around | {rule})


def may_begin(
    expression: Expression, char: str, rules: Rules, around: frozenset[str] = frozenset()
) -> tuple[bool, bool]:
    """Whether a text may begin with a character, and whether it may be empty."""
    match expression:
        case Literal(text=text):
            return text.startswith(char), not text
        case OneOf(chars=chars):
            return any(low <= ord(char) <= high for low, high in chars), False
        case Sequence(parts=parts):
            for part in parts:
                begins, is_empty = may_begin(part, char, rules, around)
                if begins or not is_empty:
                    return begins, False
            return False, True
        case Choice(options=options):
            ways = [may_begin(option, char, rules, around) for option in options]
            return any(b for b, _ in ways), any(e for _, e in ways)
        case Repeat(part=part, low=low):
            begins, is_empty = may_begin(part, char, rules, around)
            return begins, low == 0 or is_empty
        case Reference(rule=rule):
            if rule in around or rule not in rules:
                return False, False
            return may_begin(rules[rule], char, rules, around | {rule})


def _common(texts: list[str]) -> str:
    first, last = min(texts), max(texts)
    length = next((i for i, char in enumerate(first) if char != last[i]), len(first))
    return first[:length]
