"""Compiling off the scheduler's thread: bounded, shared, and always answered in time."""

from __future__ import annotations

import queue
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future
from importlib import import_module
from typing import Protocol

from .errors import GrammarError, LimitError
from .grammar import Grammar
from .spec import GrammarSpec
from .vocab import Vocabulary

__all__ = ["BACKENDS", "GrammarCompiler"]

# name: the module whose `Compiler(vocabulary).compile(spec)` serves it, imported on first use
BACKENDS = {
    "auto": ".auto_backend",
    "llguidance": ".llguidance_backend",
    "xgrammar": ".xgrammar_backend",
}


ERROR_BYTES = 2 << 10
# Measured on schemas of `benchmarks/schema_soak.py` over 4,096 tokens: 0.23 MB in llguidance, and
# 340 bytes for each of some 4,900 nodes of the completion's network, what it remembers included.
GRAMMAR_BYTES = 240 << 10
NODE_BYTES = 340


class Backend(Protocol):
    """What turns a spec into a grammar, on the calling thread; any number of threads may call."""

    def compile(self, spec: GrammarSpec) -> Grammar:
        """Compile, or raise a `GrammarError`."""
        ...


def load_backend(name: str, vocabulary: Vocabulary) -> Backend:
    """Import a back end and make it for a vocabulary.

    Raises:
        ValueError: the name is not in `BACKENDS`.
    """
    if name not in BACKENDS:
        raise ValueError(f"there is no grammar back end {name!r}; there are: {', '.join(BACKENDS)}")
    make: Callable[[Vocabulary], Backend] = import_module(BACKENDS[name], __package__).Compiler
    return make(vocabulary)


def bytes_of(spec: GrammarSpec, result: Grammar | GrammarError) -> int:
    """Estimate what is kept of a spec: its text, its automata, the network of its completion.

    Once the grammar is analysed, it is more.
    """
    size = len(spec.source)
    if isinstance(result, GrammarError):
        return size + ERROR_BYTES
    return size + GRAMMAR_BYTES + NODE_BYTES * result.completion.num_nodes


class GrammarCompiler:
    """Compiles each spec once, on worker threads, and keeps the most recently used.

    Thread-safe. A spec in the works is shared: whoever submits it gets the same future. A failure
    is kept like a grammar, unless trying again can help.

    Time is limited from the submission on, so a future is always done within `timeout_s`. But a
    thread cannot be stopped: a compile past its time keeps its worker until it ends, and what it
    gives is kept for the next who asks. The size limits of a spec make that rare; with all
    workers so taken, new specs fail by time or by the queue's bound, and the scheduler is never
    held up. A process that ends while such a compile runs may abort on its way out.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        *,
        max_cached: int,
        max_bytes: int = 256 << 20,
        num_workers: int = 1,
        max_queued: int = 256,
        timeout_s: float = 30.0,
        backend: str = "auto",
    ) -> None:
        """Start the workers.

        Args:
            vocabulary: what the masks are over.
            max_cached: how many finished specs are kept.
            max_bytes: how much memory they may take together, as `bytes_of` estimates it; the
                newest is kept whatever it takes.
            num_workers: threads that compile; the back ends let go of the GIL: they run beside the
                scheduler.
            max_queued: how many specs may wait or be in the works.
            timeout_s: after this a spec's future fails.
            backend: a name in `BACKENDS`.
        """
        self._backend = load_backend(backend, vocabulary)
        self._max_cached = max_cached
        self._max_bytes = max_bytes
        self._results: dict[GrammarSpec, Grammar | GrammarError] = {}  # of the finished
        self._max_queued = max_queued
        self._timeout_s = timeout_s
        self._changed = (
            threading.Condition()
        )  # guards what follows; told of a new deadline, of close
        self._finished: OrderedDict[GrammarSpec, Future[Grammar]] = OrderedDict()
        self._pending: dict[GrammarSpec, Future[Grammar]] = {}
        self._deadlines: deque[tuple[float, GrammarSpec, Future[Grammar]]] = deque()  # in order
        self._is_closed = False
        self._work: queue.SimpleQueue[GrammarSpec | None] = queue.SimpleQueue()
        self._num_workers = num_workers
        # Daemons: a compile that hangs must not hold up the end of the process.
        for target in [self._compile_all] * num_workers + [self._watch]:
            threading.Thread(target=target, name="grammar", daemon=True).start()

    def submit(self, spec: GrammarSpec) -> Future[Grammar]:
        """Ask for a grammar; never blocks and never raises for a bad spec.

        Returns:
            A future, perhaps done already and perhaps shared (so that it cannot be cancelled). Its
            exception is a `GrammarError`: `retryable` for a full queue and for time running out.

        Raises:
            RuntimeError: the compiler is closed.
        """
        with self._changed:
            if self._is_closed:
                raise RuntimeError("the grammar compiler is closed")
            if spec in self._finished:
                self._finished.move_to_end(spec)
                return self._finished[spec]
            if spec in self._pending:
                return self._pending[spec]
            future: Future[Grammar] = Future()
            future.set_running_or_notify_cancel()
            if len(self._pending) >= self._max_queued:
                future.set_exception(
                    LimitError(
                        f"{self._max_queued} grammars are waiting to be compiled already",
                        kind=spec.kind,
                        retryable=True,
                    )
                )
                return future
            self._pending[spec] = future
            self._deadlines.append((time.monotonic() + self._timeout_s, spec, future))
            self._changed.notify_all()
        self._work.put(spec)
        return future

    def compile(self, spec: GrammarSpec) -> Grammar:
        """Wait for a grammar.

        Raises:
            GrammarError: the spec cannot be compiled.
        """
        return self.submit(spec).result()

    def close(self) -> None:
        """Fail what waits and let the threads end; does not wait for a compile in the works."""
        with self._changed:
            self._is_closed = True
            waiting = list(self._pending.items())
            self._pending.clear()
            self._changed.notify_all()
        for spec, future in waiting:
            future.set_exception(
                LimitError("the grammar compiler is closed", kind=spec.kind, retryable=True)
            )
        for _ in range(self._num_workers):
            self._work.put(None)

    def _compile_all(self) -> None:
        """Work until `close`."""
        while (spec := self._work.get()) is not None:
            with self._changed:
                if spec not in self._pending:  # its time ran out in the queue, or close() failed it
                    continue
            try:
                grammar = self._backend.compile(spec.checked())
                grammar.completion.prepare()  # here, so that no scheduler waits for it
                self._finish(spec, grammar)
            except GrammarError as error:
                self._finish(spec, error)
            except Exception as error:  # a bug, of ours or the back end's, fails this spec alone
                broken = GrammarError(f"the compiler failed: {error!r}", kind=spec.kind)
                broken.__cause__ = error
                self._finish(spec, broken)

    def _finish(self, spec: GrammarSpec, result: Grammar | GrammarError) -> None:
        """Keep a result, which is the same next time, and answer whoever waits for it."""
        with self._changed:
            future = self._pending.pop(spec, None)
            kept = future or Future()
            self._finished[spec] = kept
            self._finished.move_to_end(spec)
            self._results[spec] = result
            size = sum(bytes_of(*kept_one) for kept_one in self._results.items())
            while len(self._finished) > 1 and (
                len(self._finished) > self._max_cached or size > self._max_bytes
            ):
                oldest, _ = self._finished.popitem(last=False)
                size -= bytes_of(oldest, self._results.pop(oldest))
        # Outside the lock, for this runs the callbacks of the waiting.
        if isinstance(result, GrammarError):
            kept.set_exception(result)
        else:
            kept.set_result(result)

    def _watch(self) -> None:
        """Fail futures whose time is over; the first submitted is the first due."""
        while (overdue := self._next_overdue()) is not None:
            spec, future = overdue
            future.set_exception(
                LimitError(
                    f"not compiled within {self._timeout_s:g} s",
                    kind=spec.kind,
                    hint="Make it smaller: fewer alternatives, less repetition, less nesting.",
                    retryable=True,
                )
            )

    def _next_overdue(self) -> tuple[GrammarSpec, Future[Grammar]] | None:
        """Wait for a deadline to pass and take its spec off the pending; None once closed."""
        with self._changed:
            while not self._is_closed:
                if not self._deadlines:
                    self._changed.wait()
                    continue
                due, spec, future = self._deadlines[0]
                if self._pending.get(spec) is not future:
                    self._deadlines.popleft()
                elif (left := due - time.monotonic()) > 0:
                    self._changed.wait(left)
                else:
                    self._deadlines.popleft()
                    del self._pending[spec]
                    return spec, future
            return None
