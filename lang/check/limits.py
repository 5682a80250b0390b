"""Bounds: gens and loops without one, and sequences longer than the model's context."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...ir.expressions import Binary, Method, Name
from ...ir.nodes import CONSTRAINTS, Gen, Select
from ...ir.program import (
    Assign,
    Block,
    Break,
    Do,
    For,
    HostCall,
    If,
    Invoke,
    Program,
    Return,
    Store,
    While,
)
from ...ir.scopes import bodies, names_of
from ..compiler.ownership import MUTATORS
from .finding import Finding, finding
from .languages import Languages, is_stopped
from .trace import Trace
from .values import all_steps, inside

_BOUNDS = frozenset({"sampling.max_new_tokens", *CONSTRAINTS})  # holes that may bound a gen


def unbounded_gens(trace: Trace, languages: Languages) -> Iterator[Finding]:
    """Gens without max_tokens, stop, or a constraint of bounded length."""
    for met in trace.met:
        gen = met.statement
        if not isinstance(gen, Gen) or gen.sampling.max_new_tokens is not None:
            continue
        if is_stopped(gen, met.unknown) or met.unknown & _BOUNDS:
            continue
        language = languages.of_gen(gen, met.unknown)
        if language is not None and (language.error or language.most_bytes is not None):
            continue
        what = "no max_tokens and no stop"
        if language is not None:
            what += f", and the {language.spec.kind} allows texts of any length"
        yield finding(
            met.place.file,
            met.place.line,
            "unbounded-gen",
            f"this gen has {what}; it ends where the model says so, or cut off after run()'s "
            "max_new_tokens (128 unless given)",
            "Give it max_tokens, or a stop string.",
        )


def unbounded_loops(trace: Trace) -> Iterator[Finding]:
    """While loops that generate, and that nothing counts: only fuel ends them."""
    for program in trace.programs.values():
        for step in all_steps(program.body):
            if not isinstance(step, While) or id(step.body[0]) not in trace.reached:
                continue
            if _is_unbounded(step):
                yield finding(
                    program.file or program.name,
                    step.line,
                    "unbounded-loop",
                    "this loop generates in every round, and no counter ends it; where the model "
                    "never says what it waits for, only the run's fuel does",
                    "Write `for _ in range(N):` with a break, or count the rounds in its test.",
                )


def _is_unbounded(loop: While) -> bool:
    inner = list(all_steps(loop.body))
    generates = any(
        isinstance(step, Do) and isinstance(step.statement, Gen | Select) for step in inner
    ) or any(isinstance(step, Invoke) for step in inner)
    if not generates:
        return False
    if any(isinstance(step, Return | Break) for step in loop.body):
        return False  # the first round is the last
    counted = {name for step in inner for name in _counted(step)}
    tests = [loop.test, *_exits(loop.body, _names(loop.test))]
    return not any(_names(test) & counted for test in tests)


def _counted(step: Block) -> Iterator[str]:
    """Names that a statement moves on: `i += 1`, `left.pop()`, a value of a host function."""
    match step:
        case Assign(target=target, value=value):
            names = set(names_of(target))
            if any(isinstance(n, Binary) and _names(n) & names for n in inside(value)):
                yield from names
        case HostCall(out=target) if target is not None:
            yield from names_of(target)  # it may know of an end
        case Store(container=Name(name=name)):
            yield name
        case _:
            pass
    for field in ("value", "test", "items"):
        for node in inside(getattr(step, field, None)):
            if isinstance(node, Method) and node.name in MUTATORS:
                yield from _names(node.value)


def _exits(body: tuple[Block, ...], flags: set[str]) -> Iterator[Any]:
    """The tests of branches that leave a loop, or set one of the flags that its test asks."""
    for step in body:
        if isinstance(step, If) and any(_leaves(s, flags) for s in (*step.then, *step.otherwise)):
            yield step.test
        if not isinstance(step, For | While):
            yield from _exits(bodies(step), flags)


def _leaves(step: Block, flags: set[str]) -> bool:
    if isinstance(step, Assign):
        return bool(flags & set(names_of(step.target)))
    return isinstance(step, Break | Return) or (
        not isinstance(step, For | While) and any(_leaves(s, flags) for s in bodies(step))
    )


def _names(value: Any) -> set[str]:
    return {node.name for node in inside(value) if isinstance(node, Name)}


def overflow(program: Program, trace: Trace, context_length: int) -> Iterator[Finding]:
    """Sequences that do not fit into the model's context."""
    if trace.end is None:
        return
    longest = trace.end.longest
    file, line = program.file or program.name, _first_line(trace, context_length)
    if longest.least > context_length:
        yield finding(
            file,
            line,
            "context-overflow",
            f"a sequence of this program has at least {longest.least} tokens; the model's "
            f"context holds {context_length}",
            "Shorten the texts, or lower max_tokens.",
        )
    elif longest.most is not None and longest.most > context_length:
        yield finding(
            file,
            line,
            "maybe-context-overflow",
            f"a sequence of this program may grow to {longest.most} tokens; the model's context "
            f"holds {context_length}",
            "Lower max_tokens, or shorten the texts.",
        )


def _first_line(trace: Trace, context_length: int) -> int:
    """Where the context is first full; else the last gen."""
    for met in trace.met:
        if met.prompt.least > context_length:
            return met.place.line
    return trace.met[-1].place.line if trace.met else 0
