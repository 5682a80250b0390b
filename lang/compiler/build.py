"""A function, and whatever it calls, as one `Program`."""

from __future__ import annotations

import ast
import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from ...ir.lowering import Unsupported
from ...ir.nodes import Span
from ...ir.program import Parameter, Program
from ...ir.shown import Shown, find_shown
from ...ir.verify import verify
from ..errors import CompileError, ProgramError
from ..settings import sampling_of
from .frame import Frame, Kind, Names, Session, Unit
from .nested import with_defaults
from .ownership import target_names
from .scope import World
from .source import Source, read_source
from .statements import Statements
from .words import may_change

if TYPE_CHECKING:
    from ..function import Function

Where = Literal["server", "host", "eager"]


@dataclass(frozen=True, slots=True)
class Line:
    """Where a line of the source runs, and why."""

    number: int
    where: Where
    why: str = ""


@dataclass(frozen=True, slots=True)
class Compiled:
    """What became of a function.

    Attributes:
        program: the compiled form; None if the function has to run eagerly.
        hosts: the client's functions that the program calls, by the names it uses.
        reasons: what cannot be compiled, in the order of the source; none where `program` is there.
        lines: where each line with a statement runs.
        source: the function's source, where there is one.
        world: what was looked up outside the function.
        images: data URLs of the images that the function names itself, by reference.
        shown: what it shows besides.
    """

    program: Program | None
    hosts: Mapping[str, Callable[..., Any]]
    reasons: tuple[CompileError, ...]
    lines: tuple[Line, ...]
    source: Source | None
    world: World
    images: Mapping[str, str] = field(default_factory=dict[str, str])
    shown: Shown = field(default_factory=Shown)

    @property
    def reason(self) -> CompileError | None:
        """Why the function has to run eagerly: the first of `reasons`."""
        return self.reasons[0] if self.reasons else None

    def is_current(self) -> bool:
        """Whether the globals and closures that went into the program are still the same."""
        return self.world.is_unchanged()


def compile_function(function: Function) -> Compiled:
    """Compile a function; nothing of it, and nothing that it calls, is executed.

    Never raises for what the function says: `Compiled.reason` has it.
    """
    session = Session()
    try:
        source = read_source(function.func)
    except CompileError as error:
        return Compiled(None, {}, (error,), (), None, session.world)
    compilation = _Compilation(session, function.__name__, function, source)
    try:
        program = compilation.program()
    except RecursionError:
        span = Span(source.file, source.first_line)
        compilation.unit.problems.append(CompileError("it is nested too deeply", span=span))
    else:
        return _finished(session, compilation, program)
    problems = tuple(compilation.unit.problems)
    return Compiled(None, {}, problems, _lines(source, problems, {}), source, session.world)


def _finished(session: Session, compilation: _Compilation, program: Program) -> Compiled:
    source, unit = compilation.frame.source, compilation.unit
    functions = {name: made for name, made in session.programs.items() if made is not None}
    whole = msgspec.structs.replace(
        program, functions=functions, hosts=tuple(sorted(session.hosts))
    )
    unit.problems.extend(_hazards(session, source))
    if not unit.problems:
        try:
            verify(whole)
        except ProgramError as error:  # larger than a program may be
            span = Span(source.file, source.tree.lineno)
            unit.problems.append(CompileError(str(error), span=span, hint=error.hint))
    problems = tuple(unit.problems)
    lines = _lines(source, problems, unit.host_lines)
    if problems:
        return Compiled(None, {}, problems, lines, source, session.world)
    return Compiled(
        program=whole,
        hosts=dict(session.hosts),
        reasons=(),
        lines=lines,
        source=source,
        world=session.world,
        images=dict(session.images),
        shown=find_shown(whole),
    )


class _Compilation(Statements):
    """One function of a session."""

    def __init__(self, session: Session, name: str, function: Function, source: Source) -> None:
        frame = Frame(source, function.func)
        taken = target_names(source.tree)
        super().__init__(Unit(session, Names({*taken, *frame.local}), source.file), frame)
        self._called = name
        self._function = function

    def program(self) -> Program:
        """Compile; `unit.problems` says what could not be."""
        tree = self.frame.source.tree
        self.line = tree.lineno
        self.frame.declare(tree, "s", Kind.STATE)
        parameters = self._parameters(tree)
        body = self.body(tree.body)
        return Program(
            name=self._called,
            parameters=parameters,
            body=(*self.unit.prologue, *body),
            file=self.frame.source.file,
        )

    def _parameters(self, tree: ast.FunctionDef) -> tuple[Parameter, ...]:
        found: list[Parameter] = []
        for name, parameter in list(self._function.signature.parameters.items())[1:]:
            try:
                if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                    raise Unsupported(tree, f"the parameter {parameter}", "name the arguments")
                is_free = parameter.default is inspect.Parameter.empty
                default = None if is_free else self.constant(tree, parameter.default)
                found.append(Parameter(name=name, default=default))
            except Unsupported as error:
                self.problem(error)
        return tuple(found)

    def invoked(self, node: ast.Call, function: Function, settings: dict[str, Any]) -> str:
        """Compile another program, once for each function and settings, and return its name."""
        session = self.unit.session
        try:
            defaults = sampling_of(settings)
        except Exception as error:
            raise Unsupported(node, f"a call of {function.__name__}(): {error}") from None
        key = (id(function.func), defaults)
        name = session.names.get(key)
        if name is None:
            name = session.names[key] = _free(function.__name__, session.programs)
            session.programs[name] = None
            program = self._compiled(node, name, function)
            body = with_defaults(program.body, defaults)
            session.programs[name] = msgspec.structs.replace(program, body=body)
        return name

    def _compiled(self, node: ast.Call, name: str, function: Function) -> Program:
        try:
            inner = _Compilation(self.unit.session, name, function, read_source(function.func))
            program = inner.program()
            if inner.unit.problems:
                raise inner.unit.problems[0]
        except CompileError as error:
            message = f"a call of {name}(), which runs eagerly ({error})"
            raise Unsupported(node, message, error.hint) from None
        return program


def _hazards(session: Session, source: Source) -> Iterator[CompileError]:
    """Constants of the program that a function of the client may change while it runs."""
    span = Span(source.file, source.tree.lineno)
    for scope, name in session.world.constants():
        for written, (*_, host) in session.host_keys.items():
            if may_change(host, scope, name):
                yield CompileError(
                    f"{name!r} is read here, and {written}() may change it meanwhile",
                    span=span,
                    hint="Pass it as an argument, or let the function return what changes.",
                )


def _free(name: str, taken: Mapping[str, Any]) -> str:
    free, count = name, 1
    while free in taken:
        count += 1
        free = f"{name}_{count}"
    return free


def _lines(
    source: Source, problems: tuple[CompileError, ...], hosts: Mapping[int, str]
) -> tuple[Line, ...]:
    """Where each line with a statement runs; all of them eagerly, if one has to."""
    reasons = {error.span.line: error for error in reversed(problems) if _here(error.span, source)}
    numbers = {n.lineno for n in ast.walk(source.tree) if isinstance(n, ast.stmt)}
    numbers.discard(source.tree.lineno)
    lines: list[Line] = []
    for number in sorted(numbers | set(reasons)):
        if number in reasons:
            error = reasons[number]
            message = str(error).removeprefix(f"{error.span}: ")
            lines.append(
                Line(number, "eager", f"{message}; {error.hint}" if error.hint else message)
            )
        elif problems:
            lines.append(Line(number, "eager"))
        elif number in hosts:
            lines.append(Line(number, "host", f"the client calls {hosts[number]}()"))
        else:
            lines.append(Line(number, "server"))
    return tuple(lines)


def _here(span: Span, source: Source) -> bool:
    last = source.tree.end_lineno or source.tree.lineno
    return span.file == source.file and source.first_line <= span.line <= last


def explain(compiled: Compiled, name: str) -> str:
    """Return the source with where each line runs, then the program."""
    from ...ir.text import to_text

    source = compiled.source
    if source is None:
        return f"{name} runs eagerly: {_said(compiled.reasons)}\n"
    place = f"{os.path.basename(source.file)}:{source.tree.lineno}"
    program = compiled.program
    verdict = "runs eagerly" if program is None else f"compiled, {program.hash()[:12]}"
    marks = {line.number: line for line in compiled.lines}
    rows = [f"{name} ({place}): {verdict}", ""]
    for number, text in enumerate(source.text.splitlines(), source.first_line):
        mark = marks.get(number)
        where, why = (mark.where, mark.why) if mark else ("", "")
        rows.append(f"{number:5} {where:6} | {text}" + (f"    # {why}" if why else ""))
    elsewhere = [error for error in compiled.reasons if not _here(error.span, source)]
    if elsewhere:
        rows += ["", _said(elsewhere)]
    if program is not None:
        rows += ["", to_text(program)]
    return "\n".join(rows).rstrip() + "\n"


def _said(errors: tuple[CompileError, ...] | list[CompileError]) -> str:
    return "\n".join(f"{error}; {error.hint}" if error.hint else str(error) for error in errors)
