"""Structural tags in llguidance's Lark, where free text up to a mark is a lazy lexeme."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import assert_never

from .errors import GrammarError, UnsupportedError
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
    writer = _Writer(write_json)
    start = writer.expression(part)
    return "\n".join([f"start: {start}", *writer.rules])


class _Writer:
    """One walk over the parts. Expressions are Lark's."""

    def __init__(self, write_json: Callable[[Plan], str]) -> None:
        self._write_json = write_json
        self.rules: list[str] = []

    def expression(self, part: Part) -> str:
        match part:
            case Constant(text):
                return _literal(text)
            case Matching(ebnf):
                return f"/{rust_syntax(ebnf)}/"
            case Valid(plan, at):
                try:
                    return self._rule(f"%json {self._write_json(plan)}")
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
                ends = " | ".join(map(_literal, marks))
                return self._rule(f"{_any_text(max_chars)} ({ends})", is_lazy=True)
            case Islands():
                return self._islands(part)
            case Listed():
                return self._listed(part)
            case _:
                assert_never(part)

    def _islands(self, part: Islands) -> str:
        options = [
            f"{self._rule(f'{ANY_TEXT} {_literal(trigger)}', is_lazy=True)} {self.expression(rest)}"
            for trigger, rest in part.after.items()
        ]
        island = self._rule(" | ".join(options))
        if part.stop_after_first:
            return island if part.at_least_one else f"({island} | {ANY_TEXT})"
        return f"{island}{'+' if part.at_least_one else '*'} {ANY_TEXT}"

    def _listed(self, part: Listed) -> str:
        tag = self._rule(self.expression(part.part))
        some = tag if part.stop_after_first else f"{tag} ({_literal(part.separator)} {tag})*"
        return f"({some})" if part.at_least_one else f"({some})?"

    def _rule(self, body: str, *, is_lazy: bool = False) -> str:
        name = f"part_{len(self.rules)}"
        self.rules.append(f"{name}{'[lazy]' if is_lazy else ''}: {body}")
        return name


def _any_text(max_chars: int | None) -> str:
    return ANY_TEXT if max_chars is None else f"/(?s:.{{0,{max_chars}}})/"


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
