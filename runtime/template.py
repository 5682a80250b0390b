"""Chat templates rendered by a process with bounds; `template_process.py` says why and which."""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

CPU_S = 2.0  # of one rendering
WALL_S = 60.0  # for an answer: the process bounds its own time, but on a busy machine it may wait
# What the process needs of the environment to be Python, to find jinja2 and to know the date.
KEPT = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ")


class TemplateFailure(Exception):
    """A template that could not be rendered; the message says why."""


class Renderer:
    """One process that renders templates, started by the first and again after one has ended it.

    Thread-safe.

    Args:
        cpu_s: what one rendering may take.
    """

    def __init__(self, cpu_s: float = CPU_S) -> None:
        self._cpu_s = cpu_s
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def render(
        self, template: str, variables: Mapping[str, Any], *, is_continued: bool = False
    ) -> str:
        """Render `variables["messages"]`; see `template_process.render`.

        Raises:
            TemplateFailure: the template, or what it was given, does not serve.
        """
        try:
            request = json.dumps(
                {"template": template, "variables": variables, "is_continued": is_continued},
                default=str,
            ).encode()
        except (ValueError, RecursionError) as error:
            raise TemplateFailure(str(error)) from error
        with self._lock:
            answer = json.loads(self._exchange(request))
        if "error" in answer:
            raise TemplateFailure(answer["error"])
        text: str = answer["text"]
        return text

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._end()

    def _exchange(self, request: bytes) -> bytes:
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        deadline = time.monotonic() + WALL_S
        try:
            process.stdin.write(len(request).to_bytes(8, "big") + request)
            process.stdin.flush()
            length = int.from_bytes(_read(process.stdout.fileno(), 8, deadline), "big")
            return _read(process.stdout.fileno(), length, deadline)
        except (OSError, EOFError, TimeoutError) as error:
            code = self._end()
            if code == -signal.SIGPROF:
                raise TemplateFailure(f"the template takes more than {self._cpu_s:g} s") from None
            raise TemplateFailure(f"the template's process ended ({code}): {error}") from None
        except BaseException:  # half an answer is of no use to the next
            self._end()
            raise

    def _start(self) -> subprocess.Popen[bytes]:
        script = Path(__file__).with_name("template_process.py")
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(script), str(self._cpu_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={name: os.environ[name] for name in KEPT if name in os.environ},
        )
        return self._process

    def _end(self) -> int | None:
        process, self._process = self._process, None
        if process is None:
            return None
        try:
            process.wait(0.2)  # it may be ending by itself, of which the code will tell
        except subprocess.TimeoutExpired:
            process.kill()
        assert process.stdin is not None
        with suppress(OSError):  # of what it has not read
            process.stdin.close()
        with process:  # closes the other pipe and waits
            pass
        return process.returncode


def _read(pipe: int, count: int, deadline: float) -> bytes:
    """Read `count` bytes.

    Raises:
        EOFError: the pipe ends before.
        TimeoutError: the deadline comes before.
    """
    poll = select.poll()  # unlike `select`, it takes descriptors of any size
    poll.register(pipe, select.POLLIN)
    data = bytearray()
    while len(data) < count:
        if not poll.poll(max(deadline - time.monotonic(), 0) * 1000):
            raise TimeoutError(f"no answer within {WALL_S:g} s")
        piece = os.read(pipe, count - len(data))
        if not piece:
            raise EOFError("it closed its pipe")
        data += piece
    return bytes(data)


renderer = Renderer()
"""The one of this process."""

atexit.register(renderer.close)
