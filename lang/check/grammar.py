"""What can be said of the texts of a grammar: a shortest one, how long, how they begin."""

from __future__ import annotations

from collections.abc import Mapping

from ...constrained.ebnf import Charset
from ...constrained.expressions import (
    Choice,
    Expression,
    Literal,
    OneOf,
    Reference,
    Repeat,
    Rules,
    Sequence,
)


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
