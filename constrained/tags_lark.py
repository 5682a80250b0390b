"""Structural tags in llguidance's Lark, where free text up to a mark is a lazy lexeme."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import assert_never

import llguidance

from .errors import GrammarError, MalformedError, UnsupportedError
from .lark import LarkRules, literal
from .plan import Plan
from .regexes import rust_syntax
from .special import encoded, pieces
from .tags import KIND, placed
from .tags_parts import (
    Constant,
    Derived,
    Either,
    Free,
    Islands,
    Joined,
    Listed,
    Matching,
    Part,
    Quoted,
    Until,
    Valid,
)
from .vocab import Vocabulary

__all__ = ["lark_of"]

ANY_TEXT = "/(?s:.*)/"


def lark_of(part: Part, write_json: Callable[[Plan], str], vocabulary: Vocabulary) -> str:
    """Return the Lark of a structural tag, rule `start`.

    Args:
        part: of `read_tags`.
        write_json: writes a planned schema as what follows `%json`.
        vocabulary: whose special tokens the part may hold.

    Raises:
        GrammarError: Lark does not hold it; with a JSON pointer into the tag.
    """
    rules = LarkRules()
    return rules.grammar(_Writer(write_json, vocabulary, rules).expression(part))


class _Writer:
    """One walk over the parts. Expressions are Lark's."""

    def __init__(
        self, write_json: Callable[[Plan], str], vocabulary: Vocabulary, rules: LarkRules
    ) -> None:
        self._write_json = write_json
        self._vocabulary = vocabulary
        self._rules = rules

    def expression(self, part: Part) -> str:
        match part:
            case Constant(text):
                return self._literal(text)
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
            case Quoted(text, at):
                return self._quoted(text, at)
            case Joined(parts):
                return f"({' '.join(map(self.expression, parts))})"
            case Either(options):
                return f"({' | '.join(map(self.expression, options))})"
            case Free(max_chars):
                return _any_text(max_chars)
            case Until(marks, max_chars):
                free = _any_text(max_chars)
                if all(len(pieces(mark)) == 1 for mark in marks):
                    ends = " | ".join(map(literal, marks))
                    return self._rules.add(f"{free} ({ends})", is_lazy=True)
                return self._rules.add(" | ".join(self._up_to(mark, free) for mark in marks))
            case Islands():
                return self._islands(part)
            case Listed():
                return self._listed(part)
            case _:
                assert_never(part)

    def _quoted(self, text: str, at: str) -> str:
        """Take a user's grammar in; alone it must be one, so that no bracket of it ends it here."""
        said = llguidance.LLMatcher.validate_grammar(llguidance.LLMatcher.grammar_from_lark(text))
        if said:
            raise MalformedError(f"llguidance: {said[:400]}", kind=KIND, pointer=at)
        return self._rules.add(f"%lark {{\n{text}\n}}")

    def _islands(self, part: Islands) -> str:
        free, options = self._free(part), list[str]()
        for trigger, rest in part.after.items():
            options.append(f"{self._up_to(trigger, free)} {self.expression(rest)}")
        island = self._rules.add(" | ".join(options))
        if part.stop_after_first:
            return island if part.at_least_one else f"({island} | {free})"
        return f"{island}{'+' if part.at_least_one else '*'} {free}"

    def _up_to(self, mark: str, free: str) -> str:
        """Return free text up to where a mark is first met, and the mark."""
        text, *rest = pieces(mark)
        if not text:  # a special token is none of the free text
            return f"{free} {self._literal(mark)}"
        lazy = self._rules.add(f"{free} {literal(text)}", is_lazy=True)
        return f"{lazy} {self._literal(''.join(rest))}" if rest else lazy

    def _free(self, part: Islands) -> str:
        """Return the text around islands.

        Where special tokens begin them it may hold others, as what models write does. It may hold
        those, too, if what follows is not the rest of a trigger.
        """
        others = [f"{self._tokens(part.free)} {ANY_TEXT}"] if part.free else []
        rests: dict[str, list[str]] = {}
        for trigger in part.after:
            text, *more = pieces(trigger)
            if not text:
                rests.setdefault(more[0], []).append(more[1])
        for special, texts in rests.items():
            if all(texts):
                begun = "|".join(map(_escaped, texts))
                name = self._rules.reserve("OTHER")
                self._rules.define(name, f"{ANY_TEXT} & ~/(?s:({begun}).*)/")
                others.append(f"{self._tokens([special])} {name}")
        return self._rules.add(f"{ANY_TEXT} ({' | '.join(others)})*") if others else ANY_TEXT

    def _listed(self, part: Listed) -> str:
        tag = self._rules.add(self.expression(part.part))
        separator = self._literal(part.separator)
        some = tag if part.stop_after_first else f"{tag} ({separator} {tag})*"
        return f"({some})" if part.at_least_one else f"({some})?"

    def _literal(self, text: str) -> str:
        """Return a text with special tokens."""
        each = enumerate(pieces(text))
        found = [self._tokens([one]) if at % 2 else literal(one) for at, one in each if one]
        return " ".join(found) or literal("")

    def _tokens(self, special: Iterable[str]) -> str:
        """Return any of some special tokens."""
        ids = map(self._vocabulary.tokens.index, map(encoded, special))
        return f"<[{','.join(map(str, ids))}]>"


def _any_text(max_chars: int | None) -> str:
    return ANY_TEXT if max_chars is None else f"/(?s:.{{0,{max_chars}}})/"


def _escaped(text: str) -> str:
    """Write a text as a pattern between slashes."""
    return "".join(f"\\x{{{ord(char):x}}}" for char in text)
