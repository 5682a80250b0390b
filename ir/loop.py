"""The process's private event loop.

Everything asynchronous (machines, front desk, clients) runs on one loop in a daemon thread, so that
scripts, threads, running event loops and notebooks all use the same code without tricks.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Coroutine, Iterator
from concurrent.futures import Future
from sys import is_finalizing
from typing import Any, TypeVar, cast

T = TypeVar("T")

_END = object()

_lock = threading.Lock()
_owner: tuple[int, asyncio.AbstractEventLoop] | None = None  # (process id, its loop)


def background_loop() -> asyncio.AbstractEventLoop:
    """Return the private loop, starting its thread on first use (again after a `fork`)."""
    global _owner
    with _lock:
        if _owner is None or _owner[0] != os.getpid():
            loop = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="radixlm-loop", daemon=True).start()
            _owner = (os.getpid(), loop)
        return _owner[1]


def submit(coroutine: Coroutine[Any, Any, T]) -> Future[T]:
    """Start `coroutine` on the private loop; the future may be waited for from any other thread."""
    return asyncio.run_coroutine_threadsafe(coroutine, background_loop())


def wait(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run `coroutine` on the private loop and block this thread until it is done.

    Raises:
        RuntimeError: called on the private loop's own thread, where waiting would never end.
    """
    if _running_loop() is background_loop():
        coroutine.close()
        raise RuntimeError("a blocking call on RadixLM's own event loop; use its async twin there")
    future = submit(coroutine)
    try:
        return future.result()
    except BaseException:
        future.cancel()  # Ctrl-C stops the work too, not only the waiting
        raise


async def bridge(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run `coroutine` on the private loop and await it from whichever loop is running here."""
    if _running_loop() is background_loop():
        return await coroutine
    return await asyncio.wrap_future(submit(coroutine))


def iterate(items: AsyncGenerator[T, None]) -> Iterator[T]:
    """Iterate from any thread over an asynchronous generator that runs on the private loop.

    Leaving the iteration early closes the generator.
    """
    turn = asyncio.Lock()
    try:
        while (item := wait(_next(items, turn))) is not _END:
            yield cast(T, item)
    finally:
        if not is_finalizing():  # at exit the loop's thread has stopped for good
            wait(_close(items, turn))


async def iterate_async(items: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """`iterate` for a coroutine on any event loop."""
    turn = asyncio.Lock()
    try:
        while (item := await bridge(_next(items, turn))) is not _END:
            yield cast(T, item)
    finally:
        await bridge(_close(items, turn))


async def _next(items: AsyncGenerator[T, None], turn: asyncio.Lock) -> T | object:
    async with turn:
        return await anext(items, _END)


async def _close(items: AsyncGenerator[T, None], turn: asyncio.Lock) -> None:
    async with turn:  # a step that was cancelled may take some turns of the loop to end
        await items.aclose()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
