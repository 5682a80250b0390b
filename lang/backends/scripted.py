"""A backend that answers from a script: for tests of programs, without a model.

backend = rl.ScriptedBackend(["Paris", "yes"])
state = ask.run("What is the capital of France?", backend=backend)
assert state["answer"] == "Paris"
assert "capital" in backend.calls[0].prompt
"""

from __future__ import annotations

import asyncio
import copy
import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ...ir.choices import Scored, Scores
from ...ir.errors import BackendError
from ...ir.loop import background_loop
from ...ir.machine import Emit, Generation, SequenceId
from ...ir.nodes import Gen
from ...ir.roles import PLAIN, RoleFormat
from ...ir.stop_patterns import StopScanner

Answer = str | Exception  # an exception is raised (a copy of it) instead of an answer
Answers = Iterable[Answer] | Callable[[str, Gen], Answer]
Scorer = Callable[[str, str], float]


@dataclass(frozen=True, slots=True)
class Call:
    """A `gen` or a `select` that reached the backend.

    Attributes:
        prompt: the whole text before it.
        gen: the statement, its sampling complete; None for a `select`.
        choices: a `select`'s options.
    """

    prompt: str
    gen: Gen | None = None
    choices: tuple[str, ...] = ()


class ScriptedBackend:
    """A backend whose answers are given beforehand.

    Stops and `max_tokens` cut an answer as they would a model's; a word, with the space
    before it, is a token. Branches of a fork take answers from a list in whatever order they come:
    give a callable where that matters.

    Args:
        answers: of each sample in turn, or `(prompt, gen) -> answer`. An exception among them is
            raised.
        scores: `(prompt, choice) -> log-probability per token`, where greater is likelier; without
            it the first choice wins.
        held: variables whose generations wait until `let_go`.
        roles: how turns are written.

    Attributes:
        calls: what was asked for, in order.
        alive: texts of the sequences that are not released yet.
        pinned: text of each pin, by name.
    """

    def __init__(
        self,
        answers: Answers = (),
        *,
        scores: Scorer | None = None,
        held: Iterable[str] = (),
        roles: RoleFormat = PLAIN,
    ) -> None:
        self.calls: list[Call] = []
        self.alive: dict[SequenceId, str] = {}
        self.pinned: dict[str, str] = {}
        self._script = answers if callable(answers) else iter(answers)
        self._scores = scores or _alike
        self._gates = {name: asyncio.Event() for name in held}
        self._roles = roles
        self._ids = itertools.count()

    def let_go(self, *names: str) -> None:
        """Let the generations of these variables go on, or all; from any thread."""
        for name in names or self._gates:
            background_loop().call_soon_threadsafe(self._gates[name].set)

    async def ready(self) -> ScriptedBackend:
        """See `ProgramBackend`."""
        return self

    def flush_cache(self) -> bool:
        """See `ProgramBackend`; there is nothing to forget."""
        return not self.alive

    def get_server_info(self) -> dict[str, Any]:
        """See `ProgramBackend`."""
        return {"backend": "scripted", "num_calls": len(self.calls)}

    async def role_format(self) -> RoleFormat:
        """See `Backend`."""
        return self._roles

    async def open(self) -> SequenceId:
        """See `Backend`."""
        return self._keep("")

    async def extend(
        self, sequence: SequenceId, text: str, tokens: Sequence[int] | None = None
    ) -> None:
        """See `Backend`."""
        self.alive[sequence] += text

    async def generate(self, sequence: SequenceId, gen: Gen, emit: Emit | None) -> Generation:
        """See `Backend`. With `emit` the answer comes word by word."""
        prompt = self.alive[sequence]
        self.calls.append(Call(prompt, gen=gen))
        answers = [self._answer(prompt, gen) for _ in range(gen.sampling.n or 1)]
        if gen.out in self._gates:
            await self._gates[gen.out].wait()
        results = [_cut(answer, gen) for answer in answers]
        words, meta = results[0]
        if emit is not None:
            for index, word in enumerate(words):
                emit(word, {**meta, "completion_tokens": index + 1})
                await asyncio.sleep(0)  # readers take it word by word
        self.alive[sequence] += "".join(words)
        return Generation(
            texts=["".join(words) for words, _ in results], metas=[meta for _, meta in results]
        )

    async def score(
        self, sequence: SequenceId, choices: Sequence[str], *, unconditional: bool
    ) -> Scores:
        """See `Backend`. Each choice is one token."""
        prompt = self.alive[sequence]
        self.calls.append(Call(prompt, choices=tuple(choices)))
        scored = [
            Scored(
                tokens=[index],
                logprobs=[self._scores(prompt, choice)],
                unconditional=[self._scores("", choice)] if unconditional else None,
            )
            for index, choice in enumerate(choices)
        ]
        return Scores(choices=scored)

    async def fork(self, sequence: SequenceId, count: int) -> list[SequenceId]:
        """See `Backend`."""
        return [self._keep(self.alive[sequence]) for _ in range(count)]

    async def hold(self, sequence: SequenceId) -> None:
        """See `Backend`. There is no cache."""

    async def pin(self, sequence: SequenceId, name: str, ttl_s: float | None) -> None:
        """See `Caching`. Noted in `pinned`."""
        self.pinned[name] = self.alive[sequence]

    async def release(self, sequence: SequenceId) -> None:
        """See `Backend`."""
        del self.alive[sequence]

    def _answer(self, prompt: str, gen: Gen) -> Answer:
        if callable(self._script):
            return self._script(prompt, gen)
        end = BackendError(f"the script has no answer left for {gen.out or 'a gen'!r}")
        return next(self._script, end)

    def _keep(self, text: str) -> SequenceId:
        sequence = SequenceId(next(self._ids))
        self.alive[sequence] = text
        return sequence


def _alike(prompt: str, choice: str) -> float:
    return -1.0


def _cut(answer: Answer, gen: Gen) -> tuple[list[str], dict[str, Any]]:
    """Return the words of an answer that `gen` lets through, and the meta information."""
    if isinstance(answer, Exception):
        raise copy.copy(answer)
    reason: dict[str, Any] = {"type": "stop", "matched": None}
    places = [(answer.find(stop), stop) for stop in gen.sampling.stop or () if stop in answer]
    match = StopScanner.of(gen.sampling.stop_regex or ()).feed(answer)
    if match is not None:
        places.append((match.start, match.pattern))
    if places:
        at, stop = min(places)
        answer, reason = answer[:at], {"type": "stop", "matched": stop}
    words = re.findall(r"\s*\S+|\s+$", answer)
    limit = gen.sampling.max_new_tokens
    if limit is not None and len(words) > limit:
        words, reason = words[:limit], {"type": "length", "length": limit}
    return words, {"finish_reason": reason, "completion_tokens": len(words)}
