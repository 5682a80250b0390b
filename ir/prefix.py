"""The constant beginning of a program: what it appends whatever its runs are given.

The interpreter runs the program on a recorder in place of a strand, with the arguments that are
known, up to the first step that only a run can take: a generation, a fork, an image, a value that
is read, an argument that is not known. Functions of the client are not called.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn, cast

from .budget import Budget
from .expressions import Binary, Expression, Format
from .fuel import Limits
from .machine import Execution
from .nodes import Gen, Image, RoleBegin, RoleEnd, Select, Span, Stmt, Text
from .program import Block, Do, HostCall, Invoke, Program
from .run import Interpreter, State
from .strand import Listener, Strand

LIMITS = Limits(steps=100_000)


class _Ended(Exception):
    """Here only a run can go on."""


class _Recorder:
    """In place of a strand: keeps the statements that append constant text."""

    def __init__(self) -> None:
        self.statements: list[Stmt] = []
        self.has_ended = False

    def execute(self, statement: Stmt, span: Span) -> None:
        if self.has_ended:
            return
        if isinstance(statement, Text | RoleBegin | RoleEnd):
            self.statements.append(statement)
        elif isinstance(statement, Gen | Select):
            self.end()

    def end(self) -> NoReturn:
        self.has_ended = True
        raise _Ended

    def fork(self, count: int, span: Span) -> NoReturn:
        self.end()

    @property
    def variables(self) -> NoReturn:
        self.end()

    async def value(self, name: str, span: Span | None = None) -> NoReturn:
        self.end()

    async def settled(self) -> NoReturn:
        self.end()


class _Beginning(Interpreter):
    """Runs the constant beginning of a program."""

    __slots__ = ()

    async def begin(self, known: Mapping[str, Any], unknown: frozenset[str]) -> None:
        """Run with some arguments; those that are neither known nor unknown have their defaults."""
        self._names = {"s": State(self.strand), **known}
        for parameter in self.program.parameters:
            is_said = parameter.name in known or parameter.name in unknown
            if not is_said and parameter.default is not None:
                self._names[parameter.name] = await self._value(parameter.default)
        await self._block(self.program.body)

    async def _step(self, step: Block) -> Any:
        recorder = cast(_Recorder, self.strand)
        try:
            if isinstance(step, Invoke | HostCall) or _is_image(step):
                recorder.end()
            return await super()._step(step)
        except BaseException:
            recorder.has_ended = True  # before the ends of the turns around it are executed
            raise

    async def _do(self, step: Do) -> None:
        hole = step.holes.get("text")
        if not isinstance(step.statement, Text) or hole is None:
            return await super()._do(step)
        state = await self._value(step.state)
        text, is_whole = await self._leading(hole)
        for strand in self._strands(state):
            strand.execute(Text(text=text), Span())
        if not is_whole:
            cast(_Recorder, self.strand).end()
        return None

    async def _leading(self, node: Expression) -> tuple[str, bool]:
        """The constant text that a value begins with, and whether it is all of it."""
        match node:
            case Format(parts=parts) if len(parts) > 1:
                each: tuple[Expression, ...] = tuple(Format(parts=(part,)) for part in parts)
            case Binary(operator="+", left=left, right=right):
                each = (left, right)
            case _:
                try:
                    value = await self._value(node)
                except Exception:
                    return "", False
                return (value, True) if isinstance(value, str) else ("", False)
        found = ""
        for part in each:
            text, is_whole = await self._leading(part)
            found += text
            if not is_whole:
                return found, False
        return found, True


def _is_image(step: Block) -> bool:
    """Whether a step shows an image, which only a run has."""
    return isinstance(step, Do) and isinstance(step.statement, Image)


async def constant_prefix(
    program: Program, known: Mapping[str, Any], unknown: frozenset[str] = frozenset()
) -> tuple[Stmt, ...]:
    """Return the statements that every run of a program begins with; the last may be part of one.

    Args:
        program: what is to run.
        known: arguments that are the same in every run; the program may change them in place.
        unknown: those that are not. All others have their defaults.
    """
    recorder = _Recorder()

    async def start(listener: Listener | None) -> Execution:
        raise _Ended

    beginning = _Beginning(program, cast(Strand, recorder), start, Budget(LIMITS))
    try:
        await beginning.begin(known, unknown)
    except Exception:  # `_Ended`, or what a run will meet by itself
        recorder.has_ended = True
    return _joined(recorder.statements)


def _joined(statements: list[Stmt]) -> tuple[Stmt, ...]:
    """Statements with texts in a row made one, and none empty."""
    joined: list[Stmt] = []
    for statement in statements:
        last = joined[-1] if joined else None
        if isinstance(statement, Text) and isinstance(last, Text):
            joined[-1] = Text(text=last.text + statement.text)
        elif statement != Text(text=""):
            joined.append(statement)
    return tuple(joined)
