"""Starts a scheduler, as a process or on a thread, with a desk connected to it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import msgspec
import zmq

from .config import EngineConfig, ModelConfig
from .desk.desk import Desk
from .hub import locate
from .ipc import DeskEnd, Wire
from .scheduler.process import Order, serve
from .tokenizer import Tokenizer, load_tokenizer
from .vocabulary import check_images, check_settings, check_vocabulary

CLOSE_TIMEOUT_S = 10.0
SAVE_TIMEOUT_S = 300.0  # more, where the cache is written to disk


class SchedulerHandle(Protocol):
    """A running scheduler, seen from whoever started it."""

    def join(self, timeout_s: float) -> bool:
        """Wait for its end; return whether it has ended."""
        ...

    def kill(self) -> None:
        """End it without asking, where that can be done."""
        ...


class ThreadHandle:
    """A scheduler on a thread of this process."""

    def __init__(self, config: EngineConfig, wire: Wire, context: zmq.Context[zmq.Socket[bytes]]):
        self._thread = threading.Thread(
            target=serve, args=(config, wire, context), name="radixlm-scheduler", daemon=True
        )
        self._thread.start()

    def join(self, timeout_s: float) -> bool:
        """See `SchedulerHandle`."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def kill(self) -> None:
        """A thread cannot be killed; it ends with the process."""


class ProcessHandle:
    """A scheduler process. Its standard input stays open as long as this process lives."""

    def __init__(self, config: EngineConfig, wire: Wire) -> None:
        # The child imports this very package, installed or not.
        package = Path(sys.modules[__name__.partition(".")[0]].__path__[0]).parent
        path = os.pathsep.join([str(package), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        self._process = subprocess.Popen(
            [sys.executable, "-m", serve.__module__],
            stdin=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )
        order = msgspec.msgpack.encode(Order(config, wire))
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it died at once: whoever watches it will say so
            self._process.stdin.write(len(order).to_bytes(4, "big") + order)
            self._process.stdin.flush()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def join(self, timeout_s: float) -> bool:
        """See `SchedulerHandle`."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
        return True

    def kill(self) -> None:
        """See `SchedulerHandle`."""
        self._process.kill()
        self.join(CLOSE_TIMEOUT_S)


class Launched:
    """A desk and its scheduler, to be closed together."""

    def __init__(self, desk: Desk, handle: SchedulerHandle, wire: Wire) -> None:
        self.desk = desk
        self.handle = handle
        self._wire = wire
        self._watcher = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        """Notice a scheduler that dies without a word."""
        while not self.handle.join(0):
            await asyncio.sleep(0.25)
        self.desk.fail("its process ended unexpectedly")

    async def close(self, timeout_s: float | None = None) -> None:
        """Close the desk, end the scheduler and remove its sockets.

        A scheduler process that has not ended by itself after `timeout_s`, by default as long as
        that may take, is killed.
        """
        if timeout_s is None:
            saves = self.desk.config.cache.cache_dir is not None
            timeout_s = CLOSE_TIMEOUT_S + (SAVE_TIMEOUT_S if saves else 0)
        self._watcher.cancel()
        try:
            await self.desk.close()
            if not await self._ended_within(timeout_s):
                self.handle.kill()
        finally:
            self._wire.remove()

    async def _ended_within(self, timeout_s: float) -> bool:
        # Polled: at interpreter exit, where this runs too, no thread can be started any more.
        deadline = time.monotonic() + timeout_s
        while not (ended := self.handle.join(0)) and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        return ended


async def launch(config: EngineConfig) -> Launched:
    """Start a scheduler and return when the model is ready. Call on the loop that the desk lives
    on.

    Raises:
        ModelLoadError: the model or its tokenizer cannot be loaded; nothing is left running.
    """
    # Before a process is started for nothing; in a thread, since it may fetch a model.
    model = await asyncio.to_thread(locate, config.model)
    check_settings(model)
    config = msgspec.structs.replace(config, model=model)
    launched = await _start(config, zmq.Context.instance())
    try:
        await launched.desk.start(lambda: _load_tokenizer(model))
    except BaseException:
        # A process in the middle of loading need not be waited for; a thread must be.
        await launched.close(CLOSE_TIMEOUT_S if config.in_process else 0)
        raise
    return launched


def _load_tokenizer(config: ModelConfig) -> Tokenizer:
    tokenizer = load_tokenizer(config)
    check_vocabulary(tokenizer, config)
    check_images(tokenizer, config)
    return tokenizer


async def _start(config: EngineConfig, context: zmq.Context[zmq.Socket[bytes]]) -> Launched:
    wire = Wire.between_threads() if config.in_process else Wire.between_processes()
    desk: Desk | None = None
    try:
        desk = Desk(DeskEnd(wire, context), config)
        handle: SchedulerHandle = (
            ThreadHandle(config, wire, context)
            if config.in_process
            else ProcessHandle(config, wire)
        )
    except BaseException:
        if desk is not None:
            await desk.close()
        wire.remove()
        raise
    return Launched(desk, handle, wire)
