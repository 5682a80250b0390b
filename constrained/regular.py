"""Grammars without recursion as one regular expression: what a back end of automata can hold."""

from __future__ import annotations

from typing import NoReturn, assert_never

from .ebnf import Charset
from .errors import LimitError, UnsupportedError
from .expressions import (
    Choice,
    Expression,
    Literal,
    OneOf,
    Reference,
    Repeat,
    Rules,
    Sequence,
)
from .spec import Kind

__all__ = ["regular_pattern"]

MAX_CHARS = 100_000  # of the expression, with each rule written out where it is referred to


def regular_pattern(rules: Rules, *, kind: Kind) -> str:
    """Return the texts of the rule `root` as a regular expression of Rust's `regex` crate.

    Args:
        rules: of a grammar.
        kind: of the spec, for messages.

    Raises:
        UnsupportedError: a rule that is needed refers to itself.
        LimitError: the expression is longer than `MAX_CHARS`.
    """
    return _Writer(rules, kind).rule("root")


class _Writer:
    """One walk over a grammar; each rule is written once."""

    def __init__(self, rules: Rules, kind: Kind) -> None:
        self._rules = rules
        self._kind = kind
        self._written: dict[str, str] = {}
        self._open: set[str] = set()

    def rule(self, name: str) -> str:
        if name in self._open:
            self._refuse_recursion(name)
        if name not in self._written:
            self._open.add(name)
            text = self._written[name] = self._looped(name)
            self._open.remove(name)
            if len(text) > MAX_CHARS:
                raise LimitError(
                    f"written as a regular expression it has over {MAX_CHARS:,} characters",
                    kind=self._kind,
                    hint="Leave the back end to auto.",
                )
        return self._written[name]

    def _looped(self, name: str) -> str:
        """Write a rule, one that ends in itself as a repetition of what stands before."""
        again, ends = _tails(self._rules[name], name)
        written = [f"(?:{'|'.join(map(self._expression, parts))})" for parts in (again, ends)]
        return f"{written[0]}*{written[1]}" if again else written[1]

    def _expression(self, part: Expression) -> str:
        match part:
            case Literal(text):
                return "".join(f"\\x{{{ord(char):x}}}" for char in text)
            case OneOf(chars):
                return _class(chars)
            case Sequence(parts):
                return "".join(map(self._expression, parts))
            case Choice(options):
                return f"(?:{'|'.join(map(self._expression, options))})"
            case Repeat(inner, low, high):
                count = f"{{{low},{'' if high is None else high}}}"
                return f"(?:{self._expression(inner)}){count}"
            case Reference(name):
                return f"(?:{self.rule(name)})"
            case _:
                assert_never(part)

    def _refuse_recursion(self, name: str) -> NoReturn:
        raise UnsupportedError(
            f"a finite automaton does not hold what contains itself, such as the rule {name!r}",
            kind=self._kind,
            hint="Close open objects, bound recursion, or leave the back end to auto.",
        )


def _tails(part: Expression, name: str) -> tuple[list[Expression], list[Expression]]:
    """Split a rule's alternatives into what stands before the rule itself, and the others."""
    match part:
        case Reference(other) if other == name:
            return [Sequence(())], []
        case Choice(options):
            both = [_tails(option, name) for option in options]
            return [x for again, _ in both for x in again], [x for _, ends in both for x in ends]
        case Sequence((*head, Sequence(()))):  # what looks ahead is read as nothing
            return _tails(Sequence(tuple(head)), name)
        case Sequence((*head, last)):
            again, ends = _tails(last, name)
            if not again:
                return [], [part]
            return (
                [Sequence((*head, one)) for one in again],
                [Sequence((*head, one)) for one in ends],
            )
        case _:
            return [], [part]


def _class(chars: Charset) -> str:
    return "[" + "".join(f"\\x{{{low:x}}}-\\x{{{high:x}}}" for low, high in chars) + "]"
