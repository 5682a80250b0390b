"""Starts a scheduler, as a process or on a thread, with a desk connected to it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Protocol

import msgspec
import zmq

from .config import EngineConfig
from .desk.desk import Desk
from .ipc import DeskEnd, Wire
from .scheduler.process import Order, serve
from .tokenizer import load_tokenizer

CLOSE_TIMEOUT_S = 10.0


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
        return True

    def kill(self) -> None:
        """See `SchedulerHandle`."""
        self._process.kill()
        self._process.wait()


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

    async def close(self) -> None:
        """Close the desk, end the scheduler and remove its sockets."""
        self._watcher.cancel()
        await self.desk.close()
        if not await self._ended_within(CLOSE_TIMEOUT_S):
            self.handle.kill()
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
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
    wire = Wire.between_threads() if config.in_process else Wire.between_processes()
    desk = Desk(DeskEnd(wire, context), config)
    handle: SchedulerHandle = (
        ThreadHandle(config, wire, context) if config.in_process else ProcessHandle(config, wire)
    )
    launched = Launched(desk, handle, wire)
    try:
        await desk.start(lambda: load_tokenizer(config.model))
    except BaseException:
        await launched.close()
        raise
    return launched
