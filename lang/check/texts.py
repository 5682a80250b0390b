"""Literals: where tokens are cut, and where a prefix could be shared."""

from __future__ import annotations

from collections.abc import Iterator

from ...ir.nodes import CONSTRAINTS, Gen, Select
from .finding import Finding, finding
from .languages import Languages
from .tokens import Counter
from .trace import Met, Trace


def trailing_spaces(trace: Trace, languages: Languages) -> Iterator[Finding]:
    """Literals that end with a space before a gen whose text could have begun with it.

    A select is no such place: it tokenises literal and option together. Nor is a constraint that
    lets no text begin with a space.
    """
    for met in trace.met:
        tail = _tail(met)
        if not isinstance(met.statement, Gen) or not tail.endswith(" ") or tail.endswith("  "):
            continue
        language = languages.of_gen(met.statement, met.unknown)
        if language is not None and not language.may_begin(" "):
            continue
        if language is not None and language.error is not None:
            continue
        if language is None and not met.unknown.isdisjoint(CONSTRAINTS):
            continue
        yield finding(
            met.place.file,
            met.tape.text_line or met.place.line,
            "trailing-space",
            f"the text before a gen ends with a space ({_cut(tail)!r}); a literal is tokenised "
            "apart from what is generated, so the space becomes a token of its own, after which "
            "models continue badly: their words have the space inside",
            "Leave the space out; the generated text brings it. s[...].strip() takes it off.",
        )


def split_tokens(trace: Trace, counter: Counter, languages: Languages) -> Iterator[Finding]:
    """Literals that end in the middle of what would be one token with what follows."""
    if counter.is_approximate:
        return
    for met in trace.met:
        tail = _tail(met)
        if not tail or not tail[-1].isalnum():
            continue
        for following in _continuations(met, languages):
            if not following[:1].isalnum() or not _merges(tail, following, counter):
                continue
            before = "tokenises literal and options together, so it also scores the end of"
            if isinstance(met.statement, Gen):
                before = "never lets a token span literal and generated text, so it cuts"
            yield finding(
                met.place.file,
                met.tape.text_line or met.place.line,
                "split-token",
                f"the text before ends inside a word ({_cut(tail)!r} and then "
                f"{_cut(following)!r}); the machine {before} what would be one token",
                "End the literal where a word ends, and let what follows begin with the rest.",
            )
            break


def _continuations(met: Met, languages: Languages) -> tuple[str, ...]:
    if isinstance(met.statement, Select):
        return () if "choices" in met.unknown else met.statement.choices
    language = languages.of_gen(met.statement, met.unknown)
    return (language.prefix,) if language is not None and language.error is None else ()


def _merges(text: str, following: str, counter: Counter) -> bool:
    alone, together = list(counter.ids(text)), list(counter.ids(text + following))
    return together[: len(alone)] != alone


def late_constants(trace: Trace) -> Iterator[Finding]:
    """Long constant texts that stand behind what changes from run to run."""
    for late in trace.late:
        yield finding(
            late.place.file,
            late.place.line,
            "prefix-cache",
            f"{late.characters} characters that are the same in every run stand behind text that "
            f"is not (line {late.dynamic_line}), so no two runs share their keys and values",
            "Put the constant text first: every run after the first then finds it in the cache.",
        )


def _tail(met: Met) -> str:
    """The known end of the text that is pending before a statement."""
    last = met.tape.pending[-1] if met.tape.pending else ""
    return last if isinstance(last, str) else ""


def _cut(text: str) -> str:
    return text if len(text) <= 30 else "…" + text[-29:]
