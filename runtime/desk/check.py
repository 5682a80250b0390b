"""Checking whole documents against what the masks of their schemas leave open."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import msgspec

from ...constrained import checking
from ...constrained.checking import Document, Verdict
from ...constrained.child import Child
from ...constrained.contract import Failure
from ..request import SamplingParams

PATIENCE_S = 3.0  # for one document; what takes longer counts as failed
START_S = 60.0


class Checker:
    """Asks a process of its own, which is started when first needed and again when it was ended.

    One document at a time: a schema whose check never ends costs its neighbours `PATIENCE_S`.
    """

    def __init__(self) -> None:
        self._child: Child | None = None
        self._turns = ThreadPoolExecutor(1, thread_name_prefix="checker")

    async def check(self, sampling: SamplingParams, text: str) -> list[Failure]:
        """Return what is wrong with a text under its request's schema.

        A check that does not end in time, or that its process does not survive, is a failure too:
        nothing passes for valid that was not found to be.
        """
        spec = sampling.grammar()
        assert spec is not None
        answer = text if spec.reasoning is None else spec.reasoning.answer(text)
        question = msgspec.json.encode(Document(spec.source, answer))
        return await asyncio.get_running_loop().run_in_executor(self._turns, self._ask, question)

    def close(self) -> None:
        """End the process, if there is one."""
        if self._child is not None:
            self._child.kill()
        # Not on a thread: at the interpreter's exit there are no new ones. Nor for long: what is
        # asked of a killed process is answered at once.
        self._turns.shutdown(cancel_futures=True)
        self._end()

    def _ask(self, question: bytes) -> list[Failure]:
        try:
            child = self._child or self._start()
            answer = child.ask(question, PATIENCE_S)
        except TimeoutError:
            self._end()
            return [Failure("", "", f"the document was not checked within {PATIENCE_S:g} s")]
        except EOFError:
            self._end()
            return [Failure("", "", "the process that checks documents ended")]
        return msgspec.json.decode(answer, type=Verdict).failures

    def _start(self) -> Child:
        self._child = Child.of_module(checking.__name__)
        self._child.receive(START_S)
        return self._child

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.end()
