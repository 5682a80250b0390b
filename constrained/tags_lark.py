"""Structural tags in llguidance's Lark, where free text up to a mark is a lazy lexeme."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from .errors import GrammarError, UnsupportedError
from .lark import LarkRules, literal
from .plan import Plan
from .regexes import rust_syntax
from .tags import (
    KIND,
    Constant,
    Derived,
    Either,
    Free,
    Islands,
    Joined,
    Listed,
    Matching,
    Part,
    Until,
    Valid,
    placed,
)

__all__ = ["lark_of"]

ANY_TEXT = "/(?s:.*)/"


def lark_of(part: Part, write_json: Callable[[Plan], str]) -> str:
    """Return the Lark of a structural tag, rule `start`.

    Args:
        part: of `read_tags`.
        write_json: writes a planned schema as what follows `%json`.

    Raises:
        GrammarError: Lark does not hold it; with a JSON pointer into the tag.
    """
    rules = LarkRules()
    return rules.grammar(_Writer(write_json, rules).expression(part))


class _Writer:
    """One walk over the parts. Expressions are Lark's."""

    def __init__(self, write_json: Callable[[Plan], str], rules: LarkRules) -> None:
        self._write_json = write_json
        self._rules = rules

    def expression(self, part: Part) -> str:
        match part:
            case Constant(text):
                return literal(text)
            case Matching(ebnf):
                return f"/{rust_syntax(ebnf)}/"
            case Valid(plan, at):
                try:
                    return self._rules.add(f"%json {self._write_json(plan)}")
                except GrammarError as error:
                    raise placed(error, at) from error
            case Derived(_, at):
                raise UnsupportedError(
                    "llguidance does not read EBNF",
                    kind=KIND,
                    pointer=at.rpartition("/")[0],
                    hint="Leave the back end to auto, or write a regex or a schema.",
                )
            case Joined(parts):
                return f"({' '.join(map(self.expression, parts))})"
            case Either(options):
                return f"({' | '.join(map(self.expression, options))})"
            case Free(max_chars):
                return _any_text(max_chars)
            case Until(marks, max_chars):
                ends = " | ".join(map(literal, marks))
                return self._rules.add(f"{_any_text(max_chars)} ({ends})", is_lazy=True)
            case Islands():
                return self._islands(part)
            case Listed():
                return self._listed(part)
            case _:
                assert_never(part)

    def _islands(self, part: Islands) -> str:
        add, options = self._rules.add, list[str]()
        for trigger, rest in part.after.items():
            front = add(f"{ANY_TEXT} {literal(trigger)}", is_lazy=True)
            options.append(f"{front} {self.expression(rest)}")
        island = add(" | ".join(options))
        if part.stop_after_first:
            return island if part.at_least_one else f"({island} | {ANY_TEXT})"
        return f"{island}{'+' if part.at_least_one else '*'} {ANY_TEXT}"

    def _listed(self, part: Listed) -> str:
        tag = self._rules.add(self.expression(part.part))
        some = tag if part.stop_after_first else f"{tag} ({literal(part.separator)} {tag})*"
        return f"({some})" if part.at_least_one else f"({some})?"


def _any_text(max_chars: int | None) -> str:
    return ANY_TEXT if max_chars is None else f"/(?s:.{{0,{max_chars}}})/"
