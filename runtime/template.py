"""Chat templates rendered by a process with bounds; `template_process.py` says why and which."""

from __future__ import annotations

import atexit
import json
import os
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..constrained.child import Child

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
        self._child: Child | None = None

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
        child = self._child or self._start()
        try:
            return child.ask(request, WALL_S)
        except (EOFError, TimeoutError) as error:
            code = self._end()
            if code == -signal.SIGPROF:
                raise TemplateFailure(f"the template takes more than {self._cpu_s:g} s") from None
            raise TemplateFailure(f"the template's process ended ({code}): {error}") from None
        except BaseException:  # half an answer is of no use to the next
            self._end()
            raise

    def _start(self) -> Child:
        script = str(Path(__file__).with_name("template_process.py"))
        env = {name: os.environ[name] for name in KEPT if name in os.environ}
        self._child = Child(["-P", script, str(self._cpu_s)], env)
        return self._child

    def _end(self) -> int | None:
        child, self._child = self._child, None
        return None if child is None else child.end()


renderer = Renderer()
"""The one of this process."""

atexit.register(renderer.close)
