"""A strand: feeds one `Execution` its statements, in order, from any thread.

The body of a program only enqueues, from an ordinary thread where a function runs eagerly, from a
task where it is compiled (`run.py`); a task on an event loop executes. So several statements can be
pending while the body goes on, and the body waits only where it reads a variable. A strand that
fails runs nothing more: every later read meets its error.

Whether a strand is open and what stands in its queue change together, under a lock, so each work
that was accepted is answered: nothing can come to stand behind the mark that ends the queue.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

from .errors import BackendError, ProgramEndedError, UnboundVariableError
from .loop import background_loop
from .machine import Execution, Piece
from .nodes import NOWHERE, Gen, JoinMode, ScopeBegin, Span, Stmt
from .reasoning import reasoning_name

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
        done: a future of the moment when everything has run and the sequence is released.
    """

    def __init__(
        self,
        start: Start,
        *,
        variables: dict[str, Future[Any]] | None = None,
        streams: bool = False,
        strict: bool = False,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Begin; `start` is called on `loop`, the private one by default."""
        self.variables: dict[str, Future[Any]] = dict(variables or {})
        self.error: Exception | None = None
        self.streams = streams
        self.done: Future[None] = _promise()
        self._strict = strict
        self.writer: int | None = None  # the thread that runs the body
        self._lock = threading.RLock()
        self._bound = threading.Condition(self._lock)  # a variable was bound, or the end was said
        self._open = True
        self._children: set[Strand] = set()  # forked, and not joined yet
        self._execution: Execution | None = None
        self._pieces: list[Piece] = []
        self._changed = asyncio.Event()
        self._queue: asyncio.Queue[tuple[Callable[[Execution], Awaitable[Any]], Future[Any]] | None]
        self._queue = asyncio.Queue()
        self._cancelled = False  # both belong to the loop
        self._task: asyncio.Task[None] | None = None
        self._loop = loop or background_loop()
        asyncio.run_coroutine_threadsafe(self._work(start), self._loop)

    # ---- from the program's thread

    def execute(self, statement: Stmt, span: Span) -> None:
        """Enqueue a statement; it runs after everything enqueued before."""
        out: str | None = getattr(statement, "out", None)

        async def work(execution: Execution) -> Any:
            with _blame("statement", span):
                await execution.execute(statement, span)
            return None if out is None else execution.variables.get(out)

        result = self._enqueue(work, None if isinstance(statement, ScopeBegin) else out)
        if isinstance(statement, Gen) and statement.reasoning is not None and out is not None:
            thinking = reasoning_name(out)
            self.apply(lambda execution: execution.variables[thinking], thinking)
        if self._strict:
            result.result()

    def fork(self, count: int, span: Span = NOWHERE) -> list[Strand]:
        """Enqueue a fork; the new strands may be written to at once."""

        async def work(execution: Execution) -> list[Execution]:
            with _blame("fork", span):
                return await execution.fork(count)

        def start_of(index: int) -> Start:
            async def start(listener: Listener | None) -> Execution:
                execution = (await asyncio.wrap_future(made))[index]
                execution.listener = listener
                if listener is not None and execution.text:
                    listener(Piece(execution.text))
                return execution

            return start

        with self._lock:
            made = self._enqueue(work)
            children = [
                Strand(
                    start_of(index),
                    variables=self.variables,
                    streams=self.streams,
                    strict=self._strict,
                    loop=self._loop,
                )
                for index in range(count)
            ]
            for child in children:
                child.writer = self.writer
            self._children.update(children)
        if self._strict:
            made.result()
        return children

    def join(self, children: Sequence[Strand], mode: JoinMode) -> None:
        """Enqueue a join: once the children have run what they were given, take their results."""
        executions = [child.drained() for child in children]

        async def work(execution: Execution) -> dict[str, Any]:
            finished = [await asyncio.wrap_future(future) for future in executions]
            await execution.join(finished, mode)
            return execution.variables

        result = self._enqueue(work)
        with self._lock:
            if mode == "gather_variable":
                names = dict.fromkeys(name for child in children for name in child.variables)
                for name in names:
                    if name not in self.variables:
                        self.variables[name] = _item_of(result, name)
                self._bound.notify_all()
            self._children.difference_update(children)
        for child in children:
            child.end()
        if self._strict:
            result.result()

    def apply(self, change: Callable[[Execution], Any], out: str | None = None) -> None:
        """Enqueue a change of the execution that is no statement; its value is bound to `out`."""

        async def work(execution: Execution) -> Any:
            return change(execution)

        self._enqueue(work, out)

    def hold(self) -> None:
        """Enqueue that the state be kept in the cache: it is about to wait."""
        self._enqueue(Execution.hold)

    def drained(self) -> Future[Execution]:
        """A future of the execution, done when everything enqueued so far has run."""

        async def work(execution: Execution) -> Execution:
            return execution

        return self._enqueue(work)

    def wait(self) -> Execution | None:
        """Wait for everything enqueued so far; return the execution, None if it never began."""
        try:
            everything: Future[Any] = self.drained()
        except ProgramEndedError:
            everything = self.done
        everything.exception()
        return self._execution

    @property
    def execution(self) -> Execution | None:
        """The execution, once it has begun; it changes as statements run."""
        return self._execution

    def meta(self, name: str) -> Any:
        """What the machine noted about a variable whose value is there."""
        return None if self._execution is None else self._execution.meta.get(name)

    def end(self) -> None:
        """Say that nothing more will be enqueued, here or in a fork. May be said again."""
        with self._lock:
            if self._open:
                self._open = False
                self._bound.notify_all()
                self._loop.call_soon_threadsafe(self._queue.put_nowait, None)
                for child in self._children:
                    child.end()

    def cancel(self, error: BaseException) -> None:
        """Stop at once, forks too: what runs is abandoned, what is pending never runs."""
        with self._lock:
            self._open = False
            self._bound.notify_all()
            if self.error is None and not self.done.done():
                stopped = ProgramEndedError("the program was cancelled")
                self.error = error if isinstance(error, Exception) else stopped
            self._loop.call_soon_threadsafe(self._abandon)
            for child in self._children:
                child.cancel(error)

    def read(self, name: str, span: Span = NOWHERE) -> Any:
        """Wait for a variable and return its value.

        Where the body goes on in another thread (a stream), this waits for it to get there.

        Raises:
            UnboundVariableError: no statement binds it.
            Exception: whatever kept the statement that binds it from running.
        """
        with self._lock:
            while self.streams and self._open and name not in self.variables:
                if threading.get_ident() == self.writer:
                    break
                self._bound.wait()
        future = self.variables.get(name)
        if future is None:
            raise UnboundVariableError(name, bound=list(self.variables), span=span)
        return future.result()

    async def value(self, name: str, span: Span = NOWHERE) -> Any:
        """`read` for a coroutine on the strand's own loop."""
        future = self.variables.get(name)
        if future is None:
            raise UnboundVariableError(name, bound=list(self.variables), span=span)
        return future.result() if future.done() else await asyncio.wrap_future(future)

    async def settled(self) -> Execution | None:
        """`wait` for a coroutine on the strand's own loop."""
        try:
            everything: Future[Any] = self.drained()
        except ProgramEndedError:
            everything = self.done
        await asyncio.wait([asyncio.wrap_future(everything)])
        return self._execution

    def _enqueue(
        self, work: Callable[[Execution], Awaitable[T]], out: str | None = None
    ) -> Future[T]:
        result: Future[T] = _promise()
        with self._lock:
            if not self._open:
                raise ProgramEndedError(
                    "this state has ended (its program returned, or its fork was joined); "
                    "nothing can be appended to it any more"
                )
            if out is not None:
                self.variables[out] = result
                self._bound.notify_all()
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
                if piece.name == name or (name is None and not piece.aside):
                    yield piece
            awaited = self.variables.get(name) if name is not None else None
            if awaited is not None and awaited.done():
                awaited.result()
                return
            if self.error is not None:
                raise self.error
            if self.done.done():
                return
            await changed.wait()  # at once if something came while the reader was busy

    def _push(self, piece: Piece) -> None:
        self._pieces.append(piece)
        self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _abandon(self) -> None:
        self._cancelled = True
        if self._task is not None:
            self._task.cancel()

    async def _work(self, start: Start) -> None:
        self._task = asyncio.current_task()
        try:
            if not self._cancelled:
                await self._feed(start)
        except asyncio.CancelledError:
            pass  # `cancel` was called; whoever waits is answered below
        finally:
            self._task = None
            self._answer_rest()
            await self._release()
            self.done.set_result(None)
            self._wake()

    async def _feed(self, start: Start) -> None:
        try:
            self._execution = await start(self._push if self.streams else None)
        except Exception as error:
            self._fail(error)
        while (item := await self._queue.get()) is not None:
            await self._run(*item)
            self._wake()

    async def _run(self, work: Callable[[Execution], Awaitable[Any]], result: Future[Any]) -> None:
        if self.error is not None or self._execution is None:
            result.set_exception(self.error)
            return
        try:
            value = await work(self._execution)
        except asyncio.CancelledError:
            if self._cancelled:
                result.set_exception(self.error)
                raise
            self._fail(BackendError("the backend abandoned the call"))
            result.set_exception(self.error)
        except Exception as error:
            self._fail(error)
            result.set_exception(error)
        else:
            result.set_result(value)

    def _answer_rest(self) -> None:
        while not self._queue.empty():
            item = self._queue.get_nowait()
            if item is not None:
                item[1].set_exception(self.error)

    async def _release(self) -> None:
        if self._execution is not None:
            try:
                await self._execution.release()
            except Exception as error:  # the results are there all the same
                logger.warning("a sequence could not be released: %s", error)

    def _fail(self, error: Exception) -> None:
        if self.error is None:
            self.error = error
        if not error.__dict__.get("radixlm_logged"):  # it passes from a branch to its parent: once
            error.__dict__["radixlm_logged"] = True
            logger.warning("a program stopped: %s", error)
        self._wake()


@contextmanager
def _blame(what: str, span: Span) -> Generator[None]:
    """Note on an error that passes which line of the user's it comes from."""
    try:
        yield
    except Exception as error:
        if span.line:
            error.add_note(f"in the {what} at {span.file}:{span.line}")
        raise


def _promise() -> Future[Any]:
    """A future that can't be cancelled: who gives up waiting for it keeps nobody else waiting."""
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()
    return future


def _item_of(result: Future[dict[str, Any]], name: str) -> Future[Any]:
    """The future of one entry of a future mapping."""
    item: Future[Any] = _promise()

    def copy(done: Future[dict[str, Any]]) -> None:
        error = done.exception()
        if error is None:
            item.set_result(done.result()[name])
        else:
            item.set_exception(error)

    result.add_done_callback(copy)
    return item
