"""A function as its check sees it: what could be compiled of it, and what could not."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...ir.program import Program
from ..compiler import build
from ..compiler.frame import Session
from ..compiler.source import Source
from ..errors import CompileError
from .finding import Finding, finding

if TYPE_CHECKING:
    from ..function import Function


@dataclass(frozen=True, slots=True)
class Subject:
    """What there is to check.

    Attributes:
        program: the compiled form, or the part of it that could be compiled; None: nothing could.
        functions: what it invokes.
        reasons: why the rest could not.
        source: the function's source, where there is one.
    """

    program: Program | None
    functions: Mapping[str, Program]
    reasons: tuple[CompileError, ...]
    source: Source | None


def subject_of(function: Function) -> Subject:
    """Compile a function as far as that goes; nothing is executed."""
    compiled = function.compile()
    source, program = compiled.source, compiled.program
    if program is not None or source is None:
        functions = {} if program is None else program.functions
        return Subject(program, functions, compiled.reasons, source)
    session = Session()
    compilation = build._Compilation(session, function.__name__, function, source)  # pyright: ignore[reportPrivateUsage]
    try:
        partial = compilation.program()
    except RecursionError:
        return Subject(None, {}, compiled.reasons, source)
    functions = {name: made for name, made in session.programs.items() if made is not None}
    return Subject(partial, functions, compiled.reasons, source)


def not_compiled(subject: Subject) -> Iterator[Finding]:
    """What the compiler says: faults of calls that always fail, and notes on the rest."""
    for error in subject.reasons:
        message = str(error).removeprefix(f"{error.span}: ")
        name, fails, why = message.partition("() fails: ")
        code = _code(subject.source, error, name) if fails else "not-compiled"
        if fails:
            text = f"{name}() always fails here: {why}"
            fix = "Correct the call; it ends every run that gets here."
        else:
            text = f"this runs eagerly, so the rest of the check looks past it: {message}"
            fix = (
                error.hint or "Nothing has to be done; a server runs such a function line by line."
            )
        yield finding(error.span.file, error.span.line, code, text, fix)


def _code(source: Source | None, error: CompileError, name: str) -> str:
    """Tell from the call what is wrong with it."""
    if name.rpartition(".")[2] == "select":
        return "empty-options"
    for node in ast.walk(source.tree) if source is not None else ():
        if isinstance(node, ast.Call) and node.lineno <= error.span.line <= (
            node.end_lineno or node.lineno
        ):
            words = {k.arg for k in node.keywords}
            if ast.unparse(node.func) == name:
                if "choices" in words:
                    return "empty-options"
                if "regex" in words:
                    return "invalid-regex"
    return "invalid-call"
