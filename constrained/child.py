"""Processes that do for this one what nobody can stop from within.

Compiling a grammar, validating under a pattern, rendering a template: programs of strangers, which
may take for ever and all memory. Each kind of work has a process that can be ended. Frames on both
pipes: 8 bytes, big-endian, the length of what follows. Nothing is pickled.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

__all__ = ["Child", "put", "questions"]

EXIT_S = 0.2  # between the end of a process's pipe and its own, whose code tells why
MAX_READ = 1 << 20  # bytes at once


class Child:
    """One process, which answers one question at a time.

    Not thread-safe, but for `kill`; one thread may send while another receives.
    """

    def __init__(self, arguments: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        """Start it.

        Args:
            arguments: of the Python that runs this program.
            env: its environment; None: this one's.
        """
        self._process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=env,
            bufsize=0,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to, self._from = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._to, False)  # a process that does not read is given up as well

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    @classmethod
    def of_module(cls, name: str) -> Child:
        """Start a module of this package, installed or not, as a program.

        It sees no accelerator: it needs none, and whoever has looked at one cannot fork any more.
        """
        package = Path(sys.modules[__name__.partition(".")[0]].__path__[0]).parent
        path = os.pathsep.join([str(package), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        return cls(["-m", name], {**os.environ, "PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": ""})

    def ask(self, question: bytes, timeout_s: float) -> bytes:
        """Send a question and return the answer.

        After an exception the process is of no use: half an answer may be under way.

        Raises:
            TimeoutError: the answer did not come in time.
            EOFError: the process has ended.
        """
        deadline = time.monotonic() + timeout_s
        self.send(question, timeout_s)
        return self.receive(deadline - time.monotonic())

    def send(self, message: bytes, timeout_s: float) -> None:
        """Say what need not be answered.

        Raises:
            TimeoutError: it was not read in time.
            EOFError: the process has ended.
        """
        deadline = time.monotonic() + timeout_s
        rest = memoryview(len(message).to_bytes(8, "big") + message)
        while rest:
            _await(self._to, select.POLLOUT, deadline)
            try:
                rest = rest[os.write(self._to, rest) :]
            except BrokenPipeError:
                raise self._gone() from None

    def receive(self, timeout_s: float) -> bytes:
        """Return what the process says unasked, or next.

        Raises:
            TimeoutError: it did not come in time.
            EOFError: the process has ended.
        """
        deadline = time.monotonic() + timeout_s
        return self._read(int.from_bytes(self._read(8, deadline), "big"), deadline)

    def kill(self) -> None:
        """Stop it; whoever waits for it learns that it has ended."""
        self._process.kill()

    def end(self) -> int:
        """Stop it if it runs, and return its code, negative for a signal."""
        self._process.kill()
        with self._process:  # closes its pipes, and waits
            pass
        return self._process.returncode

    def _gone(self) -> EOFError:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(EXIT_S)
        return EOFError("it closed its pipe")

    def _read(self, count: int, deadline: float) -> bytes:
        data = bytearray()
        while len(data) < count:
            _await(self._from, select.POLLIN, deadline)
            piece = os.read(self._from, min(count - len(data), MAX_READ))
            if not piece:
                raise self._gone()
            data += piece
        return bytes(data)


def _await(pipe: int, event: int, deadline: float) -> None:
    """Return when a pipe is ready, or has lost its other end."""
    poll = select.poll()  # unlike `select`, it takes descriptors of any size
    poll.register(pipe, event)
    left_s = deadline - time.monotonic()
    if left_s <= 0 or not poll.poll(left_s * 1000):
        raise TimeoutError("no answer in time")


def questions(source: BinaryIO) -> Iterator[bytes]:
    """Yield what a process is asked, until its input ends."""
    while head := source.read(8):
        yield source.read(int.from_bytes(head, "big"))


def put(out: BinaryIO, answer: bytes) -> None:
    """Answer."""
    out.write(len(answer).to_bytes(8, "big") + answer)
    out.flush()
