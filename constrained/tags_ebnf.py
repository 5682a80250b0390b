"""Structural tags in EBNF, where free text up to a mark is an automaton, a rule for each state.

The automaton is Aho and Corasick's (1975) over characters: a state is the longest beginning of a
mark that the text so far ends with, so a mark ends the text where it is first met.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import assert_never

from .ebnf import ALL, EMPTY, Rules, alternation, charset, complement, literal, one_of, repeated
from .errors import GrammarError, LimitError, MalformedError, UnsupportedError
from .normal.form import Core
from .schema import schema_expression
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

__all__ = ["ebnf_of"]

MAX_STATES = 4_000  # of one piece of bounded free text: a rule each

ANY_TEXT = repeated(one_of(ALL), 0, None)
_WORD = re.compile(
    r'"(?:\\.|[^"\\])*"|\[(?:\\.|[^\]\\])*\]|(?P<name>[A-Za-z_][A-Za-z0-9_.-]*)', re.DOTALL
)
_DEFINED = re.compile(r"([A-Za-z_][A-Za-z0-9_.-]*)\s*::=(.*)", re.DOTALL)


def ebnf_of(
    part: Part,
    write_schema: Callable[[Core, Rules], str] = schema_expression,
    *,
    counts_text: bool = True,
    prefix: str = "r",
) -> str:
    """Return the EBNF of a structural tag, rule `root`.

    Args:
        part: of `read_tags`.
        write_schema: writes a core schema as an expression.
        counts_text: keep the bounds of free text; else more is derived.
        prefix: what the names of rules begin with, but for `root`.

    Raises:
        GrammarError: EBNF does not hold it; with a JSON pointer into the tag.
    """
    writer = _Writer(write_schema, Rules(prefix), counts_text)
    writer.rules.define("root", writer.expression(part))
    return writer.rules.text()


class _Writer:
    """One walk over the parts. Expressions are EBNF's."""

    def __init__(
        self, write_schema: Callable[[Core, Rules], str], rules: Rules, counts_text: bool
    ) -> None:
        self._write_schema = write_schema
        self._counts_text = counts_text
        self.rules = rules

    def expression(self, part: Part) -> str:
        match part:
            case Constant(text):
                return literal(text)
            case Matching(ebnf):
                return self.rules.add(ebnf)
            case Valid(plan, at):
                try:
                    return self.rules.add(self._write_schema(plan.core, self.rules))
                except GrammarError as error:
                    raise placed(error, at) from error
            case Derived(rules, at):
                return self._derived(rules, at)
            case Quoted(_, at):
                raise UnsupportedError(
                    "xgrammar does not read Lark",
                    kind=KIND,
                    pointer=at,
                    hint="Leave the back end to auto, without EBNF in the same tag.",
                )
            case Joined(parts):
                return f"({' '.join(map(self.expression, parts))})"
            case Either(options):
                return alternation(list(map(self.expression, options)))
            case Free(max_chars):
                return repeated(one_of(ALL), 0, max_chars)
            case Until(marks, max_chars):
                most = max_chars if self._counts_text else None
                return self._until(dict.fromkeys(marks, EMPTY), most=most)
            case Islands():
                return self._islands(part)
            case Listed():
                return self._listed(part)
            case _:
                assert_never(part)

    def _islands(self, part: Islands) -> str:
        after = {trigger: self.expression(rest) for trigger, rest in part.after.items()}
        free = alternation(list(map(literal, part.free))) if part.free else None
        others = None if free is None else self.rules.add(free)
        if part.stop_after_first:
            return self._until(after, may_end=not part.at_least_one, others=others)
        loop = self.rules.reserve()
        looped = {trigger: f"({rest} {loop})" for trigger, rest in after.items()}
        self.rules.define(loop, self._until(looped, may_end=True, others=others))
        return self._until(looped, others=others) if part.at_least_one else loop

    def _listed(self, part: Listed) -> str:
        tag = self.rules.add(self.expression(part.part))
        more = repeated(f"({literal(part.separator)} {tag})", 0, None)
        some = tag if part.stop_after_first else f"({tag} {more})"
        return some if part.at_least_one else alternation([EMPTY, some])

    def _until(
        self,
        after: Mapping[str, str],
        *,
        may_end: bool = False,
        most: int | None = None,
        others: str | None = None,
    ) -> str:
        """Return free text up to the first of some marks, and the expression that follows it.

        Args:
            after: mark: expression.
            may_end: the text may also end without a mark.
            most: characters before the mark; None: any number.
            others: the special tokens that may stand in the text; None: none may.
        """
        starts = {mark[:size] for mark in after for size in range(len(mark) + 1)}
        open_states = [s for s in starts if not any(s.endswith(mark) for mark in after)]
        if most is not None and len(open_states) * (most + 1) > MAX_STATES:
            raise LimitError(
                f"free text of {most:,} characters up to a mark takes too many rules in EBNF",
                kind=KIND,
                pointer="",
                hint="Leave the back end to auto, or lower max_chars.",
            )
        names: dict[tuple[str, int], str] = {}

        def rule(state: str, text: int) -> str:
            """The rule of a state behind so many characters, those of the state left out."""
            key = state, text if most is not None else 0
            if key not in names:
                names[key] = self.rules.reserve()
                queue.append(key)
            return names[key]

        queue: list[tuple[str, int]] = []
        first = rule("", 0)
        for state, text in queue:
            options = [EMPTY] if may_end else []
            chars = sorted({start[len(state)] for start in starts if _extends(start, state)})
            chars += sorted({s[0] for s in starts if s} - set(chars))
            for char in chars:
                met = state + char
                if ended := [mark for mark in after if met.endswith(mark)]:
                    options += [
                        f"({literal(char)} {after[mark]})"
                        for mark in ended
                        if most is None or text + len(met) - len(mark) <= most
                    ]
                    continue
                longest = next(met[at:] for at in range(len(met) + 1) if met[at:] in starts)
                passed = text + len(met) - len(longest)
                if most is None or passed <= most:
                    options.append(f"({literal(char)} {rule(longest, passed)})")
            passed = text + len(state) + 1
            if most is None or passed <= most:
                rest = complement(charset((ord(char), ord(char)) for char in chars))
                options.append(f"({one_of(rest)} {rule('', passed)})")
            if others is not None:
                options.append(f"({others} {rule('', passed)})")
            self.rules.define(names[state, text], alternation(options))
        return first

    def _derived(self, rules: str, at: str) -> str:
        """Take a user's rules in, under names that are free."""
        prefix = self.rules.reserve()
        bodies: dict[str, str] = {}
        for line in rules.splitlines():
            match = _DEFINED.fullmatch(line.strip())
            if match is None:
                raise MalformedError(f"no rule begins at {line!r:.60}", kind=KIND, pointer=at)
            bodies[match[1]] = match[2].strip()
        if "root" not in bodies:
            raise MalformedError("there is no rule named root", kind=KIND, pointer=at)

        def renamed(match: re.Match[str]) -> str:
            name = match["name"]
            return f"{prefix}_{name}" if name in bodies else match[0]

        for name, body in bodies.items():
            self.rules.define(f"{prefix}_{name}", _WORD.sub(renamed, body))
        return f"{prefix}_root"


def _extends(start: str, state: str) -> bool:
    return len(start) > len(state) and start.startswith(state)
