"""Compiling for a scheduler: in another process, bounded, shared, and always answered in time."""

from __future__ import annotations

import itertools
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from .counts import Counts
from .errors import GrammarError, LimitError
from .grammar import Grammar
from .lowered import Lowered, Refusal, Result
from .orders import Cancel, Compile, Done, Limits, Notice, Order, Prepare, Setup, Started
from .spec import GrammarSpec, Kind
from .vocab import Vocabulary
from .workshop import Notify, Workshop

if TYPE_CHECKING:
    from .masked import MaskedGrammar

__all__ = ["BACKENDS", "GrammarCompiler"]

# name: the module whose `Compiler(vocabulary).compile(spec)` serves it, imported on first use
BACKENDS = {
    "auto": ".auto_backend",
    "llguidance": ".llguidance_backend",
    "xgrammar": ".xgrammar_backend",
    "outlines": ".outlines_backend",
}


DEFAULT_LIMITS = Limits()
ERROR_BYTES = 2 << 10
# Measured on schemas of `benchmarks/schema_soak.py` over 4,096 tokens: 0.23 MB in llguidance, and
# 265 bytes for each of some 4,900 nodes of the completion's network, what it remembers included;
# there are none until the grammar is analysed.
GRAMMAR_BYTES = 240 << 10
NODE_BYTES = 265


class Backend(Protocol):
    """What turns a spec into a grammar, on the calling thread; any number of threads may call."""

    def prepare(self, kind: Kind) -> bool:
        """Make what a kind needs and is not made yet; return whether anything was."""
        ...

    def compile(self, spec: GrammarSpec) -> MaskedGrammar:
        """Compile, or raise a `GrammarError`. Nothing bounds what that takes."""
        ...

    def load(self, spec: GrammarSpec, lowered: Lowered) -> MaskedGrammar:
        """Make a grammar again of what a back end made of the spec; milliseconds, mostly."""
        ...


class Shop(Protocol):
    """Who compiles; see `Workshop`."""

    def send(self, order: Order) -> None:
        """Give an order."""
        ...

    def close(self) -> None:
        """End it."""
        ...


@dataclass(eq=False, slots=True)
class Pending:
    """A spec that is not compiled yet."""

    id: int
    spec: GrammarSpec
    future: Future[Grammar]
    due: float  # on the monotonic clock
    wanted_by: int = 1
    is_started: bool = False


def load_backend(name: str, vocabulary: Vocabulary) -> Backend:
    """Import a back end and make it for a vocabulary.

    Raises:
        ValueError: the name is not in `BACKENDS`.
    """
    if name not in BACKENDS:
        raise ValueError(f"there is no grammar back end {name!r}; there are: {', '.join(BACKENDS)}")
    make: Callable[[Vocabulary], Backend] = import_module(BACKENDS[name], __package__).Compiler
    return make(vocabulary)


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of a spec.

    Attributes:
        result: what there is of it now.
        num_bytes: of the spec's text, and of the result as it came from who compiled it.
    """

    result: Grammar | GrammarError
    num_bytes: int

    @property
    def memory(self) -> int:
        """An estimate of the bytes taken: the texts, the automata, the network of the completion.

        Once the grammar is analysed, it is more.
        """
        if isinstance(self.result, GrammarError):
            return self.num_bytes + ERROR_BYTES
        return self.num_bytes + GRAMMAR_BYTES + NODE_BYTES * self.result.completion.num_nodes


class GrammarCompiler:
    """Has each spec compiled once, by another process, and keeps the most recently used.

    Thread-safe. A spec in the works is shared: whoever submits it gets the same future. A failure
    is kept like a grammar, unless trying again can help. Time is limited from the submission on,
    so a future is always done within `timeout_s`; `Limits` are those of a single grammar. What
    nobody wants any more is stopped.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        *,
        max_cached: int,
        max_bytes: int = 256 << 20,
        max_queued: int = 256,
        timeout_s: float = 30.0,
        backend: str = "auto",
        limits: Limits = DEFAULT_LIMITS,
        folder: Path | None = None,
        max_folder_bytes: int = 256 << 20,
        make_shop: Callable[[Setup, Notify], Shop] = Workshop,
    ) -> None:
        """Start no process yet; see `prepare`.

        Args:
            vocabulary: what the masks are over.
            max_cached: how many finished specs are kept.
            max_bytes: how much memory they may take together, as `Kept` estimates it; the
                newest is kept whatever it takes.
            max_queued: how many specs may wait or be in the works.
            timeout_s: after this a spec's future fails.
            backend: a name in `BACKENDS`.
            limits: of a single grammar.
            folder: where what is dear to compile is kept; None: nowhere.
            max_folder_bytes: of the files there.
            make_shop: makes who compiles; another one in tests.
        """
        self._backend = load_backend(backend, vocabulary)
        self._max_cached = max_cached
        self._max_bytes = max_bytes
        self._kept: dict[GrammarSpec, Kept] = {}  # of the finished
        self._max_queued = max_queued
        self._timeout_s = timeout_s
        self._ids = itertools.count()
        # Guards what follows; told of a new deadline, of close.
        self._changed = threading.Condition()
        self._finished: OrderedDict[GrammarSpec, Future[Grammar]] = OrderedDict()
        self._pending: dict[GrammarSpec, Pending] = {}
        self._deadlines: deque[Pending] = deque()  # the first due first
        self._counts = Counts()
        self._is_closed = False
        setup = Setup(
            vocabulary.tokens,
            tuple(sorted(vocabulary.stop_ids)),
            backend,
            limits,
            None if folder is None else str(folder),
            max_folder_bytes,
            vocabulary.special,
        )
        self._shop = make_shop(setup, self._hear)
        # A daemon: it must not hold up the end of the process.
        threading.Thread(target=self._watch, name="grammar-deadlines", daemon=True).start()

    def submit(self, spec: GrammarSpec) -> Future[Grammar]:
        """Ask for a grammar; never blocks and never raises for a bad spec.

        Returns:
            A future, perhaps done already and perhaps shared (so that it cannot be cancelled, only
            abandoned). Its exception is a `GrammarError`: `retryable` for a full queue, and for
            time running out there.

        Raises:
            RuntimeError: the compiler is closed.
        """
        with self._changed:
            if self._is_closed:
                raise RuntimeError("the grammar compiler is closed")
            if spec in self._finished:
                self._count("hits")
                self._finished.move_to_end(spec)
                return self._finished[spec]
            if (pending := self._pending.get(spec)) is not None:
                self._count("hits")
                pending.wanted_by += 1
                return pending.future
            future: Future[Grammar] = Future()
            future.set_running_or_notify_cancel()
            if len(self._pending) >= self._max_queued:
                future.set_exception(
                    LimitError(
                        f"{self._max_queued} grammars are waiting to be compiled already",
                        kind=spec.kind,
                        hint="Try again later.",
                        retryable=True,
                    )
                )
                return future
            due = time.monotonic() + self._timeout_s
            pending = self._pending[spec] = Pending(next(self._ids), spec, future, due)
            self._deadlines.append(pending)
            self._changed.notify_all()
        self._shop.send(Compile(pending.id, spec))
        return future

    def abandon(self, future: Future[Grammar]) -> None:
        """Say that who submitted it does not want it any more; the last to say so stops it."""
        with self._changed:
            pending = next((one for one in self._pending.values() if one.future is future), None)
            if pending is None:
                return
            pending.wanted_by -= 1
            if pending.wanted_by > 0:
                return
            del self._pending[pending.spec]
            self._count("cancelled")
        self._shop.send(Cancel(pending.id))
        pending.future.set_exception(
            LimitError("nobody waits for it any more", kind=pending.spec.kind, retryable=True)
        )

    def compile(self, spec: GrammarSpec) -> Grammar:
        """Wait for a grammar.

        Raises:
            GrammarError: the spec cannot be compiled.
        """
        return self.submit(spec).result()

    def prepare(self) -> None:
        """Start the process now, so that the first grammar need not wait for it."""
        self._shop.send(Prepare())

    def counts(self) -> Counts:
        """Return what is going on, and what was."""
        with self._changed:
            compiling = sum(pending.is_started for pending in self._pending.values())
            return msgspec.structs.replace(
                self._counts,
                queued=len(self._pending) - compiling,
                compiling=compiling,
                kept=len(self._finished),
                kept_bytes=self._kept_bytes(),
            )

    def close(self) -> None:
        """Fail what waits, and end the process."""
        with self._changed:
            self._is_closed = True
            waiting = self._take_all()
            self._changed.notify_all()
        self._shop.close()
        for pending in waiting:
            self._fail(pending, "the grammar compiler is closed")

    def _hear(self, notice: Notice | None) -> None:
        """Learn what became of an order; on the workshop's thread."""
        match notice:
            case None:
                with self._changed:
                    lost = self._take_all()
                for pending in lost:
                    self._fail(pending, "the process that compiles grammars has ended")
            case Started(id=id):
                with self._changed:
                    if (found := self._find(id)) is not None:
                        found.is_started = True
            case Done(id=id):
                with self._changed:
                    found = self._find(id)
                if found is None:
                    return
                # Each aside: what one takes, milliseconds mostly, is not known before, and the next
                # must not wait for it. A daemon, as all here.
                making = threading.Thread(
                    target=self._make, args=(found, notice), name="grammar-load", daemon=True
                )
                making.start()

    def _make(self, pending: Pending, notice: Done) -> None:
        self._finish(pending, self._loaded(pending.spec, notice.result), notice)

    def _loaded(self, spec: GrammarSpec, result: Result) -> Grammar | GrammarError:
        if isinstance(result, Refusal):
            return result.error()
        try:
            grammar = self._backend.load(spec, result)
            _ = grammar.completion  # made here, so that no scheduler does
        except GrammarError as error:
            return error
        except Exception as error:  # a bug, of ours or the back end's, fails this spec alone
            broken = GrammarError(f"the compiler failed: {error!r}", kind=spec.kind)
            broken.__cause__ = error
            return broken
        return grammar

    def _finish(self, pending: Pending, result: Grammar | GrammarError, notice: Done) -> None:
        """Keep a result, which is the same next time, and answer whoever waits for it."""
        spec, future = pending.spec, pending.future
        with self._changed:
            if self._pending.get(spec) is not pending:  # its time ran out, or nobody wants it
                return
            del self._pending[spec]
            if notice.is_over_limit:
                self._count("over_limit")
            elif isinstance(result, GrammarError):
                self._count("refused")
            else:
                self._count("compiled")
            if notice.is_from_disk:
                self._count("from_disk")
            self._finished[spec] = future
            made = notice.result.source if isinstance(notice.result, Lowered) else ""
            self._kept[spec] = Kept(result, len(spec.source) + len(made))
            size = self._kept_bytes()
            while len(self._finished) > 1 and (
                len(self._finished) > self._max_cached or size > self._max_bytes
            ):
                oldest, _ = self._finished.popitem(last=False)
                size -= self._kept.pop(oldest).memory
        # Outside the lock, for this runs the callbacks of the waiting.
        if isinstance(result, GrammarError):
            future.set_exception(result)
        else:
            future.set_result(result)

    def _watch(self) -> None:
        """Fail futures whose time is over; the first submitted is the first due."""
        while (overdue := self._next_overdue()) is not None:
            self._shop.send(Cancel(overdue.id))
            self._fail(
                overdue,
                f"not compiled within {self._timeout_s:g} s",
                hint="Make it smaller: fewer alternatives, less repetition, less nesting.",
                is_retryable=not overdue.is_started,  # else it has had its turn
            )

    def _next_overdue(self) -> Pending | None:
        """Wait for a deadline to pass and take its spec off the pending; None once closed."""
        with self._changed:
            while not self._is_closed:
                if not self._deadlines:
                    self._changed.wait()
                    continue
                first = self._deadlines[0]
                if self._pending.get(first.spec) is not first:
                    self._deadlines.popleft()
                elif (left := first.due - time.monotonic()) > 0:
                    self._changed.wait(left)
                else:
                    self._deadlines.popleft()
                    del self._pending[first.spec]
                    self._count("timed_out")
                    return first
            return None

    def _kept_bytes(self) -> int:
        """Estimate anew what is kept: a grammar that is analysed takes more."""
        return sum(one.memory for one in self._kept.values())

    def _find(self, id: int) -> Pending | None:
        return next((one for one in self._pending.values() if one.id == id), None)

    def _take_all(self) -> list[Pending]:
        waiting = list(self._pending.values())
        self._pending.clear()
        return waiting

    def _fail(
        self, pending: Pending, reason: str, hint: str = "", *, is_retryable: bool = True
    ) -> None:
        error = LimitError(reason, kind=pending.spec.kind, hint=hint, retryable=is_retryable)
        pending.future.set_exception(error)

    def _count(self, name: str) -> None:
        """Add one; under the lock."""
        more = {name: getattr(self._counts, name) + 1}
        self._counts = msgspec.structs.replace(self._counts, **more)
