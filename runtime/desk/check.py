"""Checking whole documents against what the masks of their schemas leave open."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from pathlib import Path

import msgspec

from ...constrained import checking
from ...constrained.checking import Document, Verdict
from ...constrained.contract import Failure
from ..request import SamplingParams

PATIENCE_S = 3.0  # for one document; what takes longer counts as failed
START_S = 60.0
MAX_ANSWER_BYTES = 16 << 20


class Checker:
    """Asks a process of its own, which is started when first needed and again when it was ended.

    One document at a time: a schema whose check never ends costs its neighbours `PATIENCE_S`.
    """

    def __init__(self) -> None:
        self._process: Process | None = None
        self._turn = asyncio.Lock()

    async def check(self, sampling: SamplingParams, text: str) -> list[Failure]:
        """Return what is wrong with a text under its request's schema.

        A check that does not end in time, or that its process does not survive, is a failure too:
        nothing passes for valid that was not found to be.
        """
        spec = sampling.grammar()
        assert spec is not None
        async with self._turn:
            try:
                process = self._process or await self._start()
                assert process.stdin is not None
                process.stdin.write(msgspec.json.encode(Document(spec.source, text)) + b"\n")
                line = await _line(process, PATIENCE_S)
            except TimeoutError:
                await self.close()
                return [Failure("", "", f"the document was not checked within {PATIENCE_S:g} s")]
            except BaseException:  # the answer that is under way must not be taken for another's
                await self.close()
                raise
            if not line:
                await self.close()
                return [Failure("", "", "the process that checks documents ended")]
        return msgspec.json.decode(line, type=Verdict).failures

    async def close(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _start(self) -> Process:
        # The child imports this very package, installed or not.
        package = Path(sys.modules[__name__.partition(".")[0]].__path__[0]).parent
        path = os.pathsep.join([str(package), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            checking.__name__,
            stdin=PIPE,
            stdout=PIPE,
            limit=MAX_ANSWER_BYTES,
            env={**os.environ, "PYTHONPATH": path},
        )
        await _line(self._process, START_S)
        return self._process


async def _line(process: Process, timeout_s: float) -> bytes:
    assert process.stdout is not None
    return await asyncio.wait_for(process.stdout.readline(), timeout_s)
