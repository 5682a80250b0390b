"""Statements that no run reaches, and comparisons that cannot come out otherwise."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator

from ...ir.program import (
    Block,
    Break,
    Continue,
    For,
    If,
    Raise,
    Return,
    While,
    Within,
)
from ..compiler.source import Source
from .finding import Finding, finding
from .trace import Trace

_ENDS = (Return, Break, Continue, Raise)


def impossible_options(trace: Trace) -> Iterator[Finding]:
    """Comparisons of what a select chose with a text that is no option."""
    for seen in trace.compared:
        near = difflib.get_close_matches(seen.text, seen.options, n=1)
        meant = f"Did you mean {near[0]!r}? " if near else ""
        yield finding(
            seen.place.file,
            seen.place.line,
            "impossible-option",
            f"{seen.text!r} is compared with what a select chooses, but it is none of the "
            f"options {', '.join(map(repr, seen.options))}",
            f"{meant}Compare with an option, or add this one.",
        )


def unreachable(trace: Trace) -> Iterator[Finding]:
    """The first statement of each stretch that no run reaches.

    A branch that only raises is left alone: it is written for what cannot happen. So is a function
    that is invoked but never reached: the call is the finding.
    """
    for whole in trace.programs.values():
        yield from _block(whole.body, whole.file or whole.name, trace, None)


def _block(body: tuple[Block, ...], file: str, trace: Trace, test: str | None) -> Iterator[Finding]:
    before: Block | None = None
    for step in body:
        if id(step) not in trace.reached:
            if before is not None or not all(isinstance(s, Raise) for s in body):
                yield _dead(step, before, file, test)
            return
        match step:
            case If(then=then, otherwise=otherwise):
                yield from _block(then, file, trace, "the test never holds")
                yield from _block(otherwise, file, trace, "the test always holds")
            case For(body=inner, otherwise=otherwise) | While(body=inner, otherwise=otherwise):
                why = "the loop has no items" if isinstance(step, For) else "its test never holds"
                yield from _block(inner, file, trace, why)
                yield from _block(otherwise, file, trace, "the loop never ends by itself")
            case Within(body=inner):
                yield from _block(inner, file, trace, None)
            case _:
                pass
        before = step


def _dead(step: Block, before: Block | None, file: str, test: str | None) -> Finding:
    if isinstance(before, _ENDS):
        why = f"the {type(before).__name__.lower()} before it always leaves"
    elif before is not None:
        why = f"line {before.line} never comes to its end"
    else:
        why = test or "nothing leads here"
    return finding(
        file,
        step.line,
        "unreachable",
        f"no run reaches this statement: {why}",
        "Correct the test, or remove what cannot happen.",
    )


def folded(source: Source) -> Iterator[Finding]:
    """Branches that the compiler leaves out, for their tests are literals.

    A test of a name (`if VERBOSE:`) is a setting of the module, and no fault.
    """
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.If):
            continue
        outcome = _literal(node.test)
        dead = node.orelse if outcome else node.body
        if outcome is not None and dead:
            yield finding(
                source.file,
                dead[0].lineno,
                "unreachable",
                f"no run reaches this statement: {ast.unparse(node.test)!r} "
                f"{'always' if outcome else 'never'} holds",
                "Correct the test, or remove what cannot happen.",
            )


def _literal(test: ast.expr) -> bool | None:
    """What a literal comes to as a test; None for anything else."""
    try:
        return bool(ast.literal_eval(test))
    except ValueError:
        return None
