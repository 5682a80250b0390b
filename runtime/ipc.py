"""Typed channels between the front desk and the scheduler: msgpack structs over ZeroMQ.

Unix sockets in a private directory between processes, `inproc://` between threads. Each direction
is a PUSH/PULL pair without a high-water mark: what bounds the queue is `max_queued_requests`.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
import zmq
import zmq.asyncio

from .messages import ToDesk, ToScheduler

_encoder = msgspec.msgpack.Encoder()
_to_scheduler: msgspec.msgpack.Decoder[ToScheduler] = msgspec.msgpack.Decoder(ToScheduler)
_to_desk: msgspec.msgpack.Decoder[ToDesk] = msgspec.msgpack.Decoder(ToDesk)
_inproc_names = itertools.count()
SocketT = TypeVar("SocketT", bound="zmq.Socket[Any]")


@dataclass(frozen=True, slots=True)
class Wire:
    """The addresses of one desk and its scheduler."""

    requests: str  # desk → scheduler; the desk binds
    results: str  # scheduler → desk; the desk binds
    directory: str | None = None  # holds the sockets; removed with the wire

    @classmethod
    def between_processes(cls) -> Wire:
        """Addresses in a new directory that only this user can enter."""
        directory = tempfile.mkdtemp(prefix="radixlm-")
        return cls(f"ipc://{directory}/requests", f"ipc://{directory}/results", directory)

    @classmethod
    def between_threads(cls) -> Wire:
        """Addresses within this process."""
        name = f"inproc://radixlm-{next(_inproc_names)}"
        return cls(f"{name}-requests", f"{name}-results")

    def remove(self) -> None:
        """Delete the socket files."""
        if self.directory is not None:
            shutil.rmtree(self.directory, ignore_errors=True)


class DeskEnd:
    """The desk's side. Made and used on the event loop's thread; binds at once."""

    def __init__(self, wire: Wire, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self._context = zmq.asyncio.Context.shadow(context)
        self._out = _unbounded(context.socket(zmq.PUSH))
        self._in = _unbounded(self._context.socket(zmq.PULL))
        self._out.bind(wire.requests)
        self._in.bind(wire.results)

    def send(self, message: ToScheduler) -> None:
        """Queue a message; never blocks. One before the scheduler has connected is dropped."""
        data = _encoder.encode(message)
        with suppress(zmq.Again):  # nobody has connected yet; only a start that failed sends then
            self._out.send(data, zmq.NOBLOCK)

    async def receive(self) -> ToDesk:
        """Wait for the next message."""
        return _to_desk.decode(await self._in.recv())

    def close(self) -> None:
        """Close both sockets; what was sent is still delivered for a moment."""
        self._out.close(linger=200)
        self._in.close(linger=0)


class SchedulerEnd:
    """The scheduler's side, for its own thread."""

    def __init__(self, wire: Wire, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self._in = _unbounded(context.socket(zmq.PULL))
        self._out = _unbounded(context.socket(zmq.PUSH))
        self._in.connect(wire.requests)
        self._out.connect(wire.results)

    def receive(self, timeout_ms: int) -> list[ToScheduler]:
        """Return all messages that are there, after waiting up to `timeout_ms` for the first."""
        messages: list[ToScheduler] = []
        if timeout_ms and not self._in.poll(timeout_ms):
            return messages
        while True:
            try:
                messages.append(_to_scheduler.decode(self._in.recv(zmq.NOBLOCK)))
            except zmq.Again:
                return messages

    def send(self, message: ToDesk) -> None:
        """Queue a message; never blocks."""
        self._out.send(_encoder.encode(message), zmq.NOBLOCK)

    def close(self) -> None:
        """Close both sockets; the last messages get a moment to leave."""
        self._in.close(linger=0)
        self._out.close(linger=200)


def _unbounded(socket: SocketT) -> SocketT:
    socket.set_hwm(0)
    return socket
