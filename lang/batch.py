"""Many runs of one program, side by side."""

from __future__ import annotations

import asyncio
import contextvars
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..ir.loop import wait
from .body import Body
from .config import global_config
from .prefix import common_beginning, is_worth_it, kept
from .state import ProgramState

if TYPE_CHECKING:
    from .backends.default import ProgramBackend
    from .function import Function

Tick = Callable[[], Any]

GENERATOR_CHUNK = 200  # programs that `generator_style` starts at a time
MIN_THREADS, THREADS_PER_CPU = 96, 16  # of `num_threads="auto"`


@dataclass(frozen=True, slots=True)
class Batch:
    """Arguments for each run of a program, and how they run.

    Attributes:
        settings: of every run, the backend among them.
        threads: bodies that run at a time.
        chunk: programs that are started at a time.
    """

    function: Function
    members: Sequence[dict[str, Any]]
    backend: ProgramBackend
    settings: dict[str, Any]
    threads: int
    chunk: int
    progress_bar: bool = False

    @classmethod
    def of(
        cls,
        function: Function,
        members: Sequence[dict[str, Any]],
        backend: ProgramBackend,
        settings: dict[str, Any],
        *,
        num_threads: int | str,
        is_chunked: bool,
        progress_bar: bool,
    ) -> Batch:
        """A batch as `run_batch` is told of it; `is_chunked` starts part of it at a time."""
        auto = max(MIN_THREADS, THREADS_PER_CPU * (os.cpu_count() or 1))
        threads = min(auto if num_threads == "auto" else int(num_threads), len(members))
        chunk = GENERATOR_CHUNK if is_chunked else max(1, len(members))
        return cls(function, members, backend, settings, threads, chunk, progress_bar)

    def run(self) -> Iterator[ProgramState]:
        """Yield the states in order. What all begin with is computed first and kept to the end."""
        with ExitStack() as stack:
            tick: Tick | None = None
            if self.progress_bar:
                name = self.function.func.__name__
                tick = stack.enter_context(_progress(name, len(self.members)))
            if len(self.members) > 1 and global_config.enable_precache_with_tracing:
                shared = common_beginning(self.function, self.members)
                if is_worth_it(shared):
                    stack.enter_context(kept(self.backend, shared))
            for start in range(0, len(self.members), self.chunk):
                yield from self._part(self.members[start : start + self.chunk], tick)

    def _part(self, part: Sequence[dict[str, Any]], tick: Tick | None) -> Iterator[ProgramState]:
        tasks = self.function.tasks(part, self.settings)
        if tasks is not None:
            wait(_side_by_side(tasks, self.threads, tick))
            yield from (state for state, _ in tasks)
            return

        def one(context: contextvars.Context, arguments: dict[str, Any]) -> ProgramState:
            state, body = self.function.begin((), arguments, self.settings)
            context.run(body.run)
            state.sync()
            if tick is not None:
                tick()
            return state

        contexts = [contextvars.copy_context() for _ in part]
        if self.threads <= 1:
            yield from map(one, contexts, part)
            return
        with ThreadPoolExecutor(self.threads, thread_name_prefix="radixlm-batch") as pool:
            states = list(pool.map(one, contexts, part))
        yield from states


async def _side_by_side(
    tasks: Sequence[tuple[ProgramState, Body]], at_a_time: int, tick: Callable[[], Any] | None
) -> None:
    """Run compiled programs to their ends; raise the first error of a body, in their order."""
    gate = asyncio.Semaphore(max(1, at_a_time))

    async def one(state: ProgramState, body: Body) -> None:
        assert body.task is not None
        async with gate:
            try:
                await body.task()
            finally:
                await asyncio.wrap_future(state.strand.done)
        if tick is not None:
            tick()

    results = await asyncio.gather(*(one(*task) for task in tasks), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result


@contextmanager
def _progress(what: str, total: int) -> Generator[Callable[[], Any]]:
    from tqdm.auto import tqdm

    with tqdm(total=total, desc=what, unit="program") as bar:
        yield bar.update
