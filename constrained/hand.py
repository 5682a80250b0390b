"""A process that compiles one grammar at a time, and can be killed for it.

It is a fork of a process that has everything loaded and computes nothing itself
(`workshop_process.py`), so the next one is there within milliseconds.
"""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import os
import resource
import signal
import sys
import time
from contextlib import suppress
from typing import NoReturn

import msgspec

from .child import put, questions
from .compiler import Backend
from .errors import GrammarError
from .lowered import Refusal, Result
from .orders import Limits
from .spec import GrammarSpec
from .trial import try_out

__all__ = ["Ended", "Hand", "Work"]

PR_SET_PDEATHSIG = 1  # of <linux/prctl.h>
PIPE_BYTES = 1 << 20  # holds any spec, so that nobody waits until a hand of low priority reads it


class Work(msgspec.Struct, frozen=True):
    """What came of a spec."""

    result: Result
    took_s: float
    peak_bytes: int  # the process's; what is freed is not given back
    is_over_limit: bool = False


class Ended(Exception):
    """The hand has ended over a grammar.

    Attributes:
        is_out_of_time: whether it had computed for as long as it may; else it was out of memory,
            most probably.
    """

    def __init__(self, *, is_out_of_time: bool) -> None:
        self.is_out_of_time = is_out_of_time
        super().__init__("out of time" if is_out_of_time else "out of memory")


class Hand:
    """The parent's end of one such process; it is forked by the first spec."""

    def __init__(self, backend: Backend, limits: Limits, *, cpu_s: float, nice: int) -> None:
        """Say what it works with.

        Args:
            backend: made already.
            limits: those of memory and size are kept here.
            cpu_s: what it may compute for one grammar; a busy machine does not shorten it.
            nice: how far its priority is below the parent's.
        """
        self._backend = backend
        self._limits = limits
        self._cpu_s = cpu_s
        self._nice = nice
        self._pid = 0  # 0: there is none
        self._to = -1
        self._from: asyncio.StreamReader | None = None
        self._transport: asyncio.BaseTransport | None = None
        self._is_wanted = False  # what it compiles

    async def compile(self, spec: GrammarSpec) -> Work:
        """Let it compile. When that is not waited for, call `kill`.

        Raises:
            Ended: it has ended.
        """
        self._is_wanted = True
        if not self._pid:
            await self._fork()
        if not self._is_wanted:  # by now, and there was nothing to kill
            raise Ended(is_out_of_time=False)
        assert self._from is not None
        data = msgspec.msgpack.encode(spec)
        try:
            os.write(self._to, len(data).to_bytes(8, "big") + data)
            size = int.from_bytes(await self._from.readexactly(8), "big")
            return msgspec.msgpack.decode(await self._from.readexactly(size), type=Work)
        except (BrokenPipeError, asyncio.IncompleteReadError):
            raise Ended(is_out_of_time=self.kill() == -signal.SIGPROF) from None

    def kill(self) -> int:
        """End it, if there is one; return its code, negative for the signal that ended it."""
        self._is_wanted = False
        if not self._pid:
            return 0
        os.kill(self._pid, signal.SIGKILL)
        _, status = os.waitpid(self._pid, 0)
        os.close(self._to)
        assert self._transport is not None
        self._transport.close()
        self._pid = 0
        return os.waitstatus_to_exitcode(status)

    async def _fork(self) -> None:
        from_read, from_write = os.pipe()
        reader = asyncio.StreamReader()
        # The one wait comes first: whoever kills meets a whole process, or none.
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(from_read, "rb", buffering=0)
        )
        to_read, to_write = os.pipe()
        with suppress(AttributeError, OSError):  # where pipes have a size that can be set
            fcntl.fcntl(to_write, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        pid = os.fork()
        if pid == 0:
            self._work(to_read, from_write)
        os.close(to_read)
        os.close(from_write)
        self._pid, self._to, self._from, self._transport = pid, to_write, reader, transport

    def _work(self, source: int, out: int) -> NoReturn:
        """Compile until the parent closes its end; runs in the fork."""
        try:
            for file in _open_files():  # an end that is held here keeps a pipe open for nobody
                if file > 2 and file not in (source, out):
                    os.close(file)
            _die_with_parent()
            nothing = os.open(os.devnull, os.O_RDWR)
            for file in range(3):
                os.dup2(nothing, file)
            os.nice(self._nice)
            memory = _lower(resource.RLIMIT_DATA, self._limits.memory_bytes)
            resource.setrlimit(resource.RLIMIT_DATA, memory)
            with os.fdopen(source, "rb") as asked, os.fdopen(out, "wb") as answers:
                for question in questions(asked):
                    spec = msgspec.msgpack.decode(question, type=GrammarSpec)
                    put(answers, msgspec.msgpack.encode(self._worked(spec)))
        finally:
            os._exit(1)

    def _worked(self, spec: GrammarSpec) -> Work:
        begun = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, self._cpu_s)  # nothing handles its signal: it is ended
        result, is_over_limit = self._compiled(spec)
        signal.setitimer(signal.ITIMER_PROF, 0)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        took_s = time.process_time() - begun
        return Work(result, took_s, peak << (0 if sys.platform == "darwin" else 10), is_over_limit)

    def _compiled(self, spec: GrammarSpec) -> tuple[Result, bool]:
        """Return what comes of a spec, and whether that is for want of memory."""
        try:
            grammar = self._backend.compile(spec.checked())
            try_out(grammar)
            lowered = grammar.lowered()
        except GrammarError as error:
            return Refusal.of(error), False
        except Exception as error:  # a bug, of ours or the back end's, fails this spec alone
            if isinstance(error, MemoryError) or "bad_alloc" in str(error):
                return Refusal.of_limit(self._limits.memory_reason(), spec.kind), True
            broken = GrammarError(f"the compiler failed: {error!r:.500}", kind=spec.kind)
            return Refusal.of(broken), False
        if (size := len(lowered.source)) > (most := self._limits.result_bytes):
            reason = f"compiled it has {size:,} bytes; {most:,} are allowed"
            return Refusal.of_limit(reason, spec.kind), False
        return lowered, False


def _die_with_parent() -> None:
    """Let the kernel end this process with its parent, which may be killed; Linux alone can.

    Elsewhere it leaves when it has compiled, or its time is over.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _open_files() -> list[int]:
    """Return the numbers of the open files."""
    folder = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"
    found = []
    for name in os.listdir(folder):
        try:
            os.fstat(int(name))
        except OSError:  # the listing's own
            continue
        found.append(int(name))
    return found


def _lower(kind: int, limit: int) -> tuple[int, int]:
    """Return a limit that the process may set itself."""
    hard = resource.getrlimit(kind)[1]
    return (limit if hard == resource.RLIM_INFINITY else min(limit, hard)), hard
