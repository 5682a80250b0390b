"""What a run will cost: prompt, cached, forced and decoded tokens, as ranges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from ...ir.nodes import Gen, RoleBegin, RoleEnd, Text
from ...ir.program import Program
from ..prefix import beginning, is_worth_it
from .env import Usage
from .expressions import Scope
from .flow import walk
from .languages import Languages
from .subject import subject_of
from .tape import LOOSE, Tape
from .tokens import ANY, NONE, Counter, Range, Tokenizer
from .trace import Trace
from .values import Known, Value

if TYPE_CHECKING:
    from ..function import Function


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One gen or select, over all of its runs in one run of the program; tokens.

    Attributes:
        name: the variable that it binds.
        kind: "gen" or "select".
        line: where it was written.
        runs: how often it runs.
        prompt: everything before what it generates, summed over its runs.
        cached: how much of `prompt` needs no computing.
        forced: how much of `decoded` the constraint leaves no choice about.
        decoded: sampled tokens, the one that ends a text included.
        scored: of a select: the tokens of its options.
    """

    name: str
    kind: str
    line: int
    runs: Range
    prompt: Range
    cached: Range
    forced: Range
    decoded: Range
    scored: Range


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """What a run of a program costs; prints as a table.

    Attributes:
        items: its gens and selects, in the order in which they are met.
        prompt: over all gens of the batch; so are `cached`, `forced` and `decoded`.
        longest: tokens of the longest sequence.
        prefix: tokens of the constant text that a batch computes once, before its runs; 0 where it
            is too short for that.
        batch: runs.
        is_approximate: whether tokens are counted as characters / 4, for want of a tokenizer.
        is_complete: false where a part of the function could not be compiled and is left out.
    """

    items: tuple[Item, ...]
    prompt: Range
    cached: Range
    forced: Range
    decoded: Range
    longest: Range
    prefix: int
    batch: int
    is_approximate: bool
    is_complete: bool

    def __str__(self) -> str:
        head = ("line", "name", "runs", "prompt", "cached", "forced", "decoded", "scored")
        rows = [
            (str(i.line), f"{i.kind} {i.name}", *map(str, (i.runs, *_counts(i), i.scored)))
            for i in self.items
        ]
        sums = map(str, (self.prompt, self.cached, self.forced, self.decoded))
        rows.append(("", f"all gens x {self.batch}", "", *sums, ""))
        widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in (head, *rows)
        ]
        lines.append(f"longest sequence: {self.longest} tokens")
        if self.is_approximate:
            lines.append("approximate: 4 characters count as a token; give a tokenizer")
        if not self.is_complete:
            lines.append("incomplete: a part of the function runs eagerly; see check()")
        return "\n".join(lines)


def _counts(item: Item) -> tuple[Range, Range, Range, Range]:
    return item.prompt, item.cached, item.forced, item.decoded


def estimate_function(
    function: Function,
    given: Mapping[str, Any],
    *,
    tokenizer: Tokenizer | None,
    batch: int,
) -> Estimate:
    """See `Function.estimate`."""
    if batch < 1:
        raise ValueError(f"a batch has at least one run, not {batch}")
    subject = subject_of(function)
    counter = Counter(tokenizer)
    trace, prefix = Trace(), 0
    if subject.program is not None:
        values: dict[str, Value] = {name: Known((value,)) for name, value in given.items()}
        languages = Languages(counter)
        scope = Scope.of(subject.program, trace, counter, languages)
        walk(scope, subject.functions, values, is_open=bool(subject.reasons))
        is_gen = bool(trace.met) and isinstance(trace.met[0].statement, Gen)
        if batch > 1 and is_gen and subject.program is function.compile().program:
            prefix = _prefix(function, subject.program, counter)
    items = tuple(_item(site, used, trace) for site, used in trace.usage.items())
    return _summed(items, trace, counter, prefix, batch, is_complete=not subject.reasons)


def _prefix(function: Function, program: Program, counter: Counter) -> int:
    """The tokens of the beginning that a batch computes once, before its runs."""
    statements = beginning(program, function.bound)
    if not is_worth_it(statements):
        return 0
    tape = Tape()
    for statement in statements:
        match statement:
            case Text(text=text):
                tape = tape.append((text,), 0)
            case RoleBegin(role=role):
                tape = tape.begin_turn(role, counter)
            case RoleEnd(role=role):
                tape = tape.end_turn(role, counter)
            case _:
                pass
    return tape.prompt(counter).least


def _item(site: int, used: Usage, trace: Trace) -> Item:
    at = trace.sites.get(site)
    return Item(
        name="?" if at is None else at.name,
        kind="?" if at is None else at.by,
        line=0 if at is None else at.place.line,
        runs=used.runs,
        prompt=used.prompt,
        cached=used.cached,
        forced=used.forced,
        decoded=used.decoded,
        scored=used.scored,
    )


def _summed(
    items: tuple[Item, ...],
    trace: Trace,
    counter: Counter,
    prefix: int,
    batch: int,
    *,
    is_complete: bool,
) -> Estimate:
    sums = [NONE, NONE, NONE, NONE]
    for item in items:
        if item.kind != "select":
            sums = [total + part for total, part in zip(sums, _counts(item), strict=True)]
    prompt, cached, forced, decoded = (total.times(batch) for total in sums)
    if prefix:  # it is computed before the runs; text behind it may change its last tokens
        cached += Range(max(0, prefix - LOOSE), prefix).times(batch)
    return Estimate(
        items=items,
        prompt=prompt,
        cached=cached,
        forced=forced,
        decoded=decoded,
        longest=ANY if trace.end is None else trace.end.longest,
        prefix=prefix,
        batch=batch,
        is_approximate=counter.is_approximate,
        is_complete=is_complete,
    )
