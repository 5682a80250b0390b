"""Bodies of programs: what runs a function, or its compiled form, on a state."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..ir.loop import submit, wait
from ..ir.nodes import Sampling
from .backends.default import ProgramBackend
from .config import PRINTS_TEXT, global_config
from .state import ProgramState

if TYPE_CHECKING:
    from .compiler import Compiled


@dataclass(frozen=True, slots=True)
class Body:
    """The body of a program: `run` blocks until it has ended, `start` does not.

    A compiled one is a `task` for the private loop besides.
    """

    run: Callable[[], Any]
    start: Callable[[], Future[Any]]
    task: Callable[[], Coroutine[Any, Any, None]] | None = None


def compiled_body(
    compiled: Compiled,
    backend: ProgramBackend,
    arguments: dict[str, Any],
    defaults: Sampling,
    *,
    streams: bool = False,
) -> tuple[ProgramState, Body]:
    """The state and the body of a compiled program: a task on the private loop, no thread."""
    from .backends.programs import begin

    strand, go = begin(compiled, arguments, backend, defaults, streams)
    state = ProgramState(strand)

    async def body() -> None:
        state.ret_value = await go()

    return reported(state), Body(lambda: wait(body()), lambda: submit(body()), body)


def reported(state: ProgramState) -> ProgramState:
    """Print a program's text when it has ended, where `global_config` asks for that."""
    if global_config.verbosity >= PRINTS_TEXT:
        state.strand.done.add_done_callback(lambda _: print(state.text()))
    return state


def in_thread(body: Callable[[], None]) -> Future[None]:
    """Run a body in a thread of its own, with this thread's context variables."""
    ended: Future[None] = Future()
    context = contextvars.copy_context()

    def run() -> None:
        ended.set_running_or_notify_cancel()
        try:
            context.run(body)
        except BaseException as error:
            ended.set_exception(error)
        else:
            ended.set_result(None)

    threading.Thread(target=run, name="radixlm-program", daemon=True).start()
    return ended
