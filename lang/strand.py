"""A strand: feeds one `Execution` its statements, in order, from any thread.

The body of a program runs in an ordinary thread and only enqueues; a task on the private loop
executes. So several statements can be pending while the body goes on, and the body waits only where
it reads a variable. A strand that fails runs nothing more: every later read meets its error.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from typing import Any, TypeVar

from ..ir.loop import background_loop, submit
from ..ir.machine import Execution, Piece
from ..ir.nodes import NOWHERE, JoinMode, ScopeBegin, Span, Stmt
from .errors import ProgramEndedError, UnboundVariableError

logger = logging.getLogger(__name__)

T = TypeVar("T")
Listener = Callable[[Piece], None]
Start = Callable[[Listener | None], Awaitable[Execution]]


class Strand:
    """One line of execution.

    Attributes:
        variables: a future for every variable that an enqueued statement binds.
        error: what ended the strand early.
        streams: whether text is fed to readers as it comes.
    """

    def __init__(
        self,
        start: Start,
        *,
        variables: dict[str, Future[Any]] | None = None,
        streams: bool = False,
        strict: bool = False,
    ) -> None:
        self.variables: dict[str, Future[Any]] = dict(variables or {})
        self.error: Exception | None = None
        self.streams = streams
        self._strict = strict
        self._children: list[Strand] = []
        self._execution: Execution | None = None
        self._ended = False
        self._pieces: list[Piece] = []
        self._changed = asyncio.Event()
        self._queue: asyncio.Queue[tuple[Callable[[Execution], Awaitable[Any]], Future[Any]] | None]
        self._queue = asyncio.Queue()
        self._loop = background_loop()
        self._done: Future[None] = submit(self._work(start))

    # ---- from the program's thread

    def execute(self, statement: Stmt, span: Span) -> None:
        """Enqueue a statement; it runs after everything enqueued before."""
        out: str | None = getattr(statement, "out", None)

        async def work(execution: Execution) -> Any:
            try:
                await execution.execute(statement, span)
            except Exception as error:
                if span.line:
                    error.add_note(f"in the statement at {span.file}:{span.line}")
                raise
            return None if out is None else execution.variables.get(out)

        result = self._enqueue(work)
        if out is not None and not isinstance(statement, ScopeBegin):
            self.variables[out] = result
        if self._strict:
            result.result()

    def fork(self, count: int) -> list[Strand]:
        """Enqueue a fork; the new strands may be written to at once."""

        async def work(execution: Execution) -> list[Execution]:
            return await execution.fork(count)

        made = self._enqueue(work)

        def start_of(index: int) -> Start:
            async def start(_: Listener | None) -> Execution:
                return (await asyncio.wrap_future(made))[index]

            return start

        children = [
            Strand(start_of(index), variables=self.variables, strict=self._strict)
            for index in range(count)
        ]
        self._children.extend(children)
        return children

    def join(self, children: Sequence[Strand], mode: JoinMode) -> None:
        """Enqueue a join: once the children have run what they were given, take their results."""
        executions = [child.drained() for child in children]

        async def work(execution: Execution) -> dict[str, Any]:
            finished = [await asyncio.wrap_future(future) for future in executions]
            await execution.join(finished, mode)
            return execution.variables

        result = self._enqueue(work)
        if mode == "gather_variable":
            names = dict.fromkeys(name for child in children for name in child.variables)
            for name in names:
                if name not in self.variables:
                    self.variables[name] = _item_of(result, name)
        for child in children:
            child.end()

    def drained(self) -> Future[Execution]:
        """A future of the execution, done when everything enqueued so far has run."""

        async def work(execution: Execution) -> Execution:
            return execution

        return self._enqueue(work)

    def wait(self) -> Execution | None:
        """Wait for everything enqueued so far; return the execution, None if it never began."""
        if self._ended:
            wait_for([self._done])
        else:
            self.drained().exception()
        return self._execution

    def end(self) -> None:
        """Say that nothing more will be enqueued. May be said again."""
        if not self._ended:
            self._ended = True
            self._loop.call_soon_threadsafe(self._queue.put_nowait, None)

    def cancel(self, error: BaseException) -> None:
        """Stop at once: the statement that runs is abandoned, the pending ones never run."""
        self._ended = True
        if self.error is None and isinstance(error, Exception):
            self.error = error
        self._done.cancel()

    def read(self, name: str, span: Span = NOWHERE) -> Any:
        """Wait for a variable and return its value.

        Raises:
            UnboundVariableError: no statement binds it.
            Exception: whatever kept the statement that binds it from running.
        """
        future = self.variables.get(name)
        if future is None:
            raise UnboundVariableError(name, bound=self.variables, span=span)
        return future.result()

    def _enqueue(self, work: Callable[[Execution], Awaitable[T]]) -> Future[T]:
        if self._ended:
            raise ProgramEndedError("the program has ended; nothing can be appended to it any more")
        result: Future[T] = Future()
        self._loop.call_soon_threadsafe(self._queue.put_nowait, (work, result))
        return result

    # ---- on the private loop

    async def pieces(self, name: str | None) -> AsyncGenerator[Piece, None]:
        """Yield text as it arrives: all of it, or only that of the variable `name`.

        Raises:
            Exception: what ended the strand early, after the text that came before.
        """
        index = 0
        while True:
            changed = self._changed
            while index < len(self._pieces):
                piece = self._pieces[index]
                index += 1
                if name is None or piece.name == name:
                    yield piece
            awaited = self.variables.get(name) if name is not None else None
            if self.error is not None:
                raise self.error
            if self._done.done() or (awaited is not None and awaited.done()):
                return
            await changed.wait()

    def _push(self, piece: Piece) -> None:
        self._pieces.append(piece)
        self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _work(self, start: Start) -> None:
        try:
            self._execution = await start(self._push if self.streams else None)
        except Exception as error:
            self._fail(error)
        try:
            while (item := await self._queue.get()) is not None:
                await self._run(*item)
                self._wake()
        finally:
            self._ended = True
            self._answer_rest()
            for child in self._children:
                child.end()
            if self._execution is not None:
                await self._execution.release()
            # Readers look once more when this task, and with it the future, is done.
            self._loop.call_soon(lambda: self._loop.call_soon(self._wake))

    async def _run(self, work: Callable[[Execution], Awaitable[Any]], result: Future[Any]) -> None:
        if self.error is None and self._execution is not None:
            try:
                result.set_result(await work(self._execution))
                return
            except Exception as error:
                self._fail(error)
            except BaseException:
                result.set_exception(ProgramEndedError("the program was cancelled"))
                raise
        result.set_exception(self.error)

    def _answer_rest(self) -> None:
        while not self._queue.empty():
            item = self._queue.get_nowait()
            if item is not None:
                item[1].set_exception(self.error or ProgramEndedError("the program was cancelled"))

    def _fail(self, error: Exception) -> None:
        self.error = error
        if not error.__dict__.get("radixlm_logged"):  # it passes from a branch to its parent: once
            error.__dict__["radixlm_logged"] = True
            logger.warning("a program stopped: %s", error)
        self._wake()


def _item_of(result: Future[dict[str, Any]], name: str) -> Future[Any]:
    """The future of one entry of a future mapping."""
    item: Future[Any] = Future()

    def copy(done: Future[dict[str, Any]]) -> None:
        error = done.exception()
        if error is None:
            item.set_result(done.result()[name])
        else:
            item.set_exception(error)

    result.add_done_callback(copy)
    return item
