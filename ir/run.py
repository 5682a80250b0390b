"""The interpreter: runs a compiled `Program` on strands.

It does what the function's body would do, statement for statement: straight-line statements are
enqueued on a strand and never waited for, a read waits for its variable alone, forks go on beside
each other. So a compiled run and an eager run send the same work in the same order. Nothing of the
program is trusted: every step, fork, call and byte is paid for out of `Fuel`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, assert_never

from .budget import Budget
from .errors import EXCEPTIONS, FuelError, ProgramEndedError
from .evaluate import assign, evaluate, iterate
from .expressions import Expression, Read
from .holes import fill
from .machine import Execution
from .nodes import Image, Let, RoleBegin, RoleEnd, ScopeBegin, ScopeEnd, Span, Stmt, Text
from .program import (
    Assign,
    Block,
    Break,
    Continue,
    Do,
    Evaluate,
    For,
    Fork,
    HostCall,
    If,
    Invoke,
    Join,
    Program,
    Raise,
    Return,
    Store,
    While,
    Within,
)
from .strand import Listener, Strand

Host = Callable[[str, list[Any], dict[str, Any]], Awaitable[Any]]
"""Calls one of the client's functions: its name, arguments and keywords."""

Show = Callable[[Any], Awaitable[str]]
"""Returns the URL of what a program shows as an image: a source of the client's, or a reference."""

HOLD_AFTER_S = 0.02  # a host call that is answered sooner is not worth a message
TURNS_A_YIELD = 128  # steps between two turns of the event loop: a busy program delays no other


@dataclass(eq=False, slots=True)
class State:
    """A state as a value of the program: `s`, a branch, or what a called program left."""

    strand: Strand
    value: Any = None  # what a called program returned

    def __repr__(self) -> str:
        return f"ProgramState(variables={sorted(self.strand.variables)})"


class Group(list[State]):
    """The states of a fork."""

    def __init__(self, states: list[State], parent: Strand) -> None:
        super().__init__(states)
        self.parent = parent


@dataclass(frozen=True, slots=True)
class _Returned:
    value: Any


_BREAK, _CONTINUE = object(), object()


@dataclass(eq=False, slots=True)
class Interpreter:
    """One run of one program on one strand; what it invokes has interpreters of its own.

    Attributes:
        start: begins a strand for an invoked program, given who listens.
        fuel: shared by a run and everything that it invokes.
        host: calls the client's functions; None where there is no client to call.
        watch: told of each variable that a statement will bind, and on which strand.
        show: finds images; None where there are none to be had.
    """

    program: Program
    strand: Strand
    start: Callable[[Listener | None], Awaitable[Execution]]
    fuel: Budget
    host: Host | None = None
    watch: Callable[[Strand, str], None] | None = None
    show: Show | None = None
    functions: Mapping[str, Program] = field(default_factory=dict[str, Program])
    depth: int = 0
    _names: dict[str, Any] = field(default_factory=dict[str, Any])
    _turns: int = 0
    _line: int = 0  # of the statement that runs

    async def run(self, *args: Any, **kwargs: Any) -> Any:
        """Run the body and return what it returns; generations may still be running then.

        The strand is left open: who began it ends or cancels it.

        Raises:
            Exception: what the program raises, or what it meets when it reads.
            FuelError: a bound is used up.
        """
        self._names = {"s": State(self.strand), **await self._arguments(args, kwargs)}
        ended = await self._block(self.program.body)
        return ended.value if isinstance(ended, _Returned) else None

    async def _arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        name, parameters = self.program.name, self.program.parameters
        if len(args) > len(parameters):
            raise TypeError(f"{name}() takes {len(parameters)} arguments, but got {len(args)}")
        bound = dict(zip((p.name for p in parameters), args, strict=False))
        for key, value in kwargs.items():
            if key in bound:
                raise TypeError(f"{name}() got multiple values for argument {key!r}")
            if key not in (p.name for p in parameters):
                raise TypeError(f"{name}() got an unexpected keyword argument {key!r}")
            bound[key] = value
        for parameter in parameters:
            if parameter.name in bound:
                continue
            if parameter.default is None:
                raise TypeError(f"{name}() missing a required argument: {parameter.name!r}")
            bound[parameter.name] = await self._value(parameter.default)
        return bound

    # ---- statements

    async def _block(self, body: tuple[Block, ...]) -> Any:
        """Run statements; return None at their end, or what ended them early."""
        for step in body:
            self.fuel.spend()
            self._turns += 1
            if self._turns % TURNS_A_YIELD == 0:
                await asyncio.sleep(0)
            self._line = step.line
            try:
                ended = await self._step(step)
            except Exception as error:
                self._blame(error, step.line)
                raise
            if ended is not None:
                return ended
        return None

    def _blame(self, error: Exception, line: int) -> None:
        """Note the innermost line of the program that the error comes from, once."""
        if line and not error.__dict__.get("radixlm_line"):
            error.__dict__["radixlm_line"] = line
            error.add_note(f"in the statement at {self.program.file or self.program.name}:{line}")

    async def _step(self, step: Block) -> Any:
        match step:
            case Do():
                await self._do(step)
            case Within():
                return await self._within(step)
            case Assign(target=target, value=value):
                assign(target, await self._value(value), self._names)
            case Store():
                await self._store(step)
            case Evaluate(value=value):
                await self._value(value)
            case If(test=test, then=then, otherwise=otherwise):
                return await self._block(then if await self._value(test) else otherwise)
            case For():
                return await self._for(step)
            case While():
                return await self._while(step)
            case Break():
                return _BREAK
            case Continue():
                return _CONTINUE
            case Return(value=value):
                return _Returned(await self._value(value))
            case Fork():
                await self._fork(step)
            case Join(group=group, mode=mode):
                branches = await self._group(group)
                branches.parent.join([state.strand for state in branches], mode)
            case Invoke():
                await self._invoke(step)
            case HostCall():
                await self._call_host(step)
            case Raise(exception=name, message=message):
                raise EXCEPTIONS[name](await self._value(message))
            case _:
                assert_never(step)
        return None

    async def _do(self, step: Do) -> None:
        state = await self._value(step.state)
        values = {path: await self._value(hole) for path, hole in step.holes.items()}
        if isinstance(step.statement, Image):
            statement: Stmt = await self._image(values.get("url", step.statement.url))
        else:
            statement = fill(step.statement, values)
        for strand in self._strands(state):
            self._execute(strand, statement, step.line)

    async def _image(self, source: Any) -> Image:
        if self.show is None:
            raise RuntimeError("the program shows an image, and nobody can say where it is")
        return Image(url=await self.show(source))

    def _execute(self, strand: Strand, statement: Stmt, line: int) -> None:
        if isinstance(statement, Image):
            self.fuel.show()
        strand.execute(statement, Span(self.program.file, line))
        if isinstance(statement, Text):
            self.fuel.append(len(statement.text))
        if self.watch is not None and (out := getattr(statement, "out", None)) is not None:
            self.watch(strand, out)

    async def _within(self, step: Within) -> Any:
        state = await self._value(step.state)
        name = step.begin.role if isinstance(step.begin, RoleBegin) else step.begin.out
        if step.name is not None:
            name = await self._value(step.name)
        begin, end = (
            (RoleBegin(role=name), RoleEnd(role=name))
            if isinstance(step.begin, RoleBegin)
            else (ScopeBegin(out=name), ScopeEnd(out=name))
        )
        strands = self._strands(state)
        for strand in strands:
            self._execute(strand, begin, step.line)
        try:
            return await self._block(step.body)
        finally:
            for strand in strands:
                self._execute(strand, end, step.line)

    async def _store(self, step: Store) -> None:
        value = await self._value(step.value)
        container = await self._value(step.container)
        index = await self._value(step.index)
        if isinstance(container, State):
            if not isinstance(index, str):
                raise TypeError(f"a variable's name is text, not {type(index).__name__}")
            self._execute(container.strand, Let(out=index, value=value), step.line)
        else:
            container[index] = value
            self.fuel.check_size(len(container))

    async def _for(self, step: For) -> Any:
        for item in iterate(await self._value(step.items)):
            self.fuel.spend()
            assign(step.target, item, self._names)
            ended = await self._block(step.body)
            if ended is _BREAK:
                return None
            if isinstance(ended, _Returned):
                return ended
        return await self._block(step.otherwise)

    async def _while(self, step: While) -> Any:
        while await self._value(step.test):
            self.fuel.spend()
            ended = await self._block(step.body)
            if ended is _BREAK:
                return None
            if isinstance(ended, _Returned):
                return ended
        return await self._block(step.otherwise)

    async def _fork(self, step: Fork) -> None:
        count = await self._value(step.count)
        if not isinstance(count, int):
            raise TypeError(f"a fork needs a number of branches, not {type(count).__name__}")
        if count < 1:
            raise ValueError(f"a fork needs at least one branch, not {count}")
        self.fuel.fork(count)
        [strand] = self._strands(await self._value(step.state))
        branches = strand.fork(count, Span(self.program.file, step.line))
        self._names[step.out] = Group([State(branch) for branch in branches], strand)

    async def _invoke(self, step: Invoke) -> None:
        self.fuel.nest(self.depth + 1)
        args = [await self._value(value) for value in step.arguments]
        kwargs = {name: await self._value(value) for name, value in step.keywords.items()}
        loop = asyncio.get_running_loop()
        state = State(Strand(self.start, loop=loop))
        callee = Interpreter(
            self.functions[step.function],
            state.strand,
            self.start,
            self.fuel,
            self.host,
            show=self.show,
            functions=self.functions,
            depth=self.depth + 1,
        )
        try:
            state.value = await callee.run(*args, **kwargs)
        except BaseException as error:
            state.strand.cancel(error)
            raise
        state.strand.end()
        if step.out is not None:
            assign(step.out, state, self._names)

    async def _call_host(self, step: HostCall) -> None:
        if self.host is None:
            raise RuntimeError(f"{step.function}() needs a client to call it, and there is none")
        args = [await self._value(value) for value in step.arguments]
        kwargs = {name: await self._value(value) for name, value in step.keywords.items()}
        # A tool may take its time: what the program has so far must not be evicted meanwhile.
        waiting = asyncio.get_running_loop().call_later(HOLD_AFTER_S, self._hold)
        try:
            result = await self.host(step.function, args, kwargs)
        finally:
            waiting.cancel()
        if step.out is not None:
            assign(step.out, result, self._names)

    def _hold(self) -> None:
        with suppress(ProgramEndedError):
            self.strand.hold()

    # ---- values

    async def _value(self, node: Expression) -> Any:
        return await evaluate(node, self._names, self._read, self.fuel)

    async def _read(self, state: Any, node: Read, name: str | None) -> Any:
        if not isinstance(state, State):
            raise TypeError(f"{type(state).__name__} is no state of a program")
        strand = state.strand
        match node.what:
            case "variable":
                return await strand.value(str(name), Span(self.program.file, self._line))
            case "bound":
                return name in strand.variables
            case "meta":
                if name not in strand.variables:
                    return None
                await strand.value(name)
                return strand.meta(name)
            case "text":
                execution = await strand.settled()
                return "" if execution is None else execution.text
            case "messages":
                execution = await strand.settled()
                return [] if execution is None else [dict(m) for m in execution.messages]
            case "value":
                return state.value

    async def _group(self, node: Expression) -> Group:
        group = await self._value(node)
        if not isinstance(group, Group):
            raise TypeError(f"join needs the states of a fork, not {type(group).__name__}")
        return group

    @staticmethod
    def _strands(state: Any) -> list[Strand]:
        match state:
            case State(strand=strand):
                return [strand]
            case Group():
                return [branch.strand for branch in state]
            case _:
                raise TypeError(f"{type(state).__name__} is no state of a program")


async def run_program(
    program: Program,
    arguments: Mapping[str, Any],
    strand: Strand,
    start: Callable[[Listener | None], Awaitable[Execution]],
    *,
    fuel: Budget,
    host: Host | None = None,
    watch: Callable[[Strand, str], None] | None = None,
    show: Show | None = None,
) -> Any:
    """Run a program on a strand, end the strand, and return what the program returns.

    Args:
        program: what to run.
        arguments: by name, after the state.
        strand: has begun, and nothing was written to it; on the running loop.
        start: begins strands for the programs that this one invokes.
        fuel: bounds of the whole run, invoked programs included.
        host: calls the client's functions.
        watch: see `Interpreter`.
        show: finds images.

    Raises:
        Exception: what the program raises, or what it meets when it reads; the strand is cancelled.
        FuelError: a bound is used up.
    """
    interpreter = Interpreter(program, strand, start, fuel, host, watch, show, program.functions)
    seconds = fuel.limits.seconds
    clock = asyncio.timeout(seconds)
    try:
        async with clock:
            value = await interpreter.run(**arguments)
    except BaseException as error:
        if isinstance(error, TimeoutError) and clock.expired():
            error = FuelError(f"the program has run for its {seconds} seconds")
        strand.cancel(error)
        raise error
    strand.end()
    return value
