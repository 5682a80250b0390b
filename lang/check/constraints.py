"""Constraints and options: can they be met, told apart, and met within the budget?"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from ...constrained.errors import (
    GrammarError,
    LimitError,
    MalformedError,
    UnsatisfiableError,
    UnsupportedError,
)
from ...ir.nodes import Gen, Select
from .finding import Finding, finding
from .languages import Language, Languages, is_stopped
from .trace import Met, Trace

_NAMES = {
    "ebnf": "ebnf",
    "gbnf": "grammar",
    "lark": "grammar",
    "structural_tag": "grammar",
    "json_schema": "schema",
    "json_object": "schema",
}


def constraints(trace: Trace, languages: Languages) -> Iterator[Finding]:
    """Regexes, grammars and schemas that the machine refuses, or that allow no text."""
    for met in trace.met:
        if not isinstance(met.statement, Gen):
            continue
        language = languages.of_gen(met.statement, met.unknown)
        if language is None:
            continue
        if language.error is not None:
            yield _refused(met, language.error)
        elif language.shortest == "" and language.most_bytes == 0:
            yield finding(
                met.place.file,
                met.place.line,
                "empty-constraint",
                f"the {language.spec.kind} allows nothing but the empty text",
                "Write what may be generated, or leave the constraint out.",
            )


def _refused(met: Met, error: GrammarError) -> Finding:
    name = _NAMES.get(error.kind, "regex")
    code = f"invalid-{name}"
    if isinstance(error, UnsupportedError) and name != "ebnf":
        code = f"unsupported-{name}"
    elif isinstance(error, UnsatisfiableError):
        code = "empty-constraint"
    fixes: dict[type[GrammarError], str] = {
        MalformedError: "Correct it; the machine refuses the request before any token.",
        UnsupportedError: "Write it without this part, and check the result for it.",
        UnsatisfiableError: "Let at least one finite text match.",
        LimitError: "Make it smaller.",
    }
    at = "" if error.pointer is None else f" at {error.pointer or '(the root)'}"
    return finding(
        met.place.file,
        met.place.line,
        code,
        f"the {name}{at} is refused before any token: {error.reason}",
        error.hint or fixes.get(type(error), "Correct it."),
    )


def options(trace: Trace) -> Iterator[Finding]:
    """Options of a select that are missing, equal, or the beginning of another."""
    for met in trace.met:
        if not isinstance(met.statement, Select) or "choices" in met.unknown:
            continue
        yield from _options(met, met.statement.choices)


def _options(met: Met, choices: tuple[str, ...]) -> Iterator[Finding]:
    file, line = met.place.file, met.place.line
    if not choices:
        yield finding(
            file,
            line,
            "empty-options",
            "this select has no options; the run ends here with ValueError",
            "Give it one option or more.",
        )
    equal = {choice for choice in choices if choices.count(choice) > 1}
    if equal:
        yield finding(
            file,
            line,
            "equal-options",
            f"{', '.join(map(repr, sorted(equal)))} stands more than once among the options; "
            "the machine scores each, and chooses the first",
            "Leave the repeats out.",
        )
    for short, long in itertools.permutations(dict.fromkeys(choices), 2):
        if long.startswith(short):
            yield finding(
                file,
                line,
                "prefix-options",
                f"the option {short!r} is the beginning of {long!r}; scores are means over "
                "tokens, so a longer option gains by an ending that is certain",
                "End options alike (with the '.' or the line end that follows), or reword one.",
            )
            return


def budgets(trace: Trace, languages: Languages) -> Iterator[Finding]:
    """Gens whose `max_tokens` no text of their constraint fits in."""
    for met in trace.met:
        gen = met.statement
        if not isinstance(gen, Gen) or "sampling.max_new_tokens" in met.unknown:
            continue
        language = languages.of_gen(gen, met.unknown)
        most = gen.sampling.max_new_tokens
        if language is None or language.error is not None or most is None:
            continue
        if is_stopped(gen, met.unknown):
            continue  # a stop string may end the text before it is complete, and is meant to
        if (least := _needed(language, most)) > most:
            yield finding(
                met.place.file,
                met.place.line,
                "budget",
                f"max_tokens is {most}, but no text that the {language.spec.kind} allows has "
                f"fewer than {least} tokens (a shortest one is {_cut(language.shortest or '')!r})",
                f"Give it max_tokens={least} or more, and some for longer texts.",
            )


def _needed(language: Language, most: int) -> int:
    """The least number of tokens; a cheap answer where it is within the budget anyway."""
    shortest, counter = language.shortest, language.counter
    if shortest and counter.tokenizer is not None and counter.count(shortest) <= most:
        return 0
    return language.least_tokens


def _cut(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"
