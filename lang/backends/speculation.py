"""Fewer calls of a completion model: text that it wrote beyond a gen serves the ones after it.

A service is paid for the prompt of every call. So a call asks for more than one gen needs, without
its stop strings; the gen takes what stands before its stop, and the rest is a guess. A literal that
the guess begins with is struck off it, any other drops it, and the next gen is answered from it.
Source: API speculative execution of the SGLang paper (arXiv:2312.07104).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ...ir.choices import Scores
from ...ir.machine import Emit, Generation, SequenceId
from ...ir.nodes import Gen
from ...ir.roles import RoleFormat
from .default import ProgramBackend
from .service import TextBackend


def speculating(backend: ProgramBackend, tokens: int | None) -> ProgramBackend:
    """`backend` with guesses of `tokens` tokens where it is a service's completion model."""
    if tokens is None or not isinstance(backend, TextBackend) or backend.is_chat_model:
        return backend
    return Speculation(backend, tokens)


class Speculation:
    """A completion model, with what it wrote ahead in each sequence; for one run."""

    def __init__(self, backend: TextBackend, tokens: int) -> None:
        self._backend = backend
        self._tokens = tokens
        self._guesses: dict[SequenceId, str] = {}

    async def ready(self) -> Speculation:
        """See `ProgramBackend`."""
        return self

    def flush_cache(self) -> bool:
        """See `ProgramBackend`."""
        return self._backend.flush_cache()

    def get_server_info(self) -> dict[str, Any]:
        """See `ProgramBackend`."""
        return self._backend.get_server_info()

    async def role_format(self) -> RoleFormat:
        """See `Backend`."""
        return await self._backend.role_format()

    async def open(self) -> SequenceId:
        """See `Backend`."""
        return await self._backend.open()

    async def extend(
        self, sequence: SequenceId, text: str, tokens: Sequence[int] | None = None
    ) -> None:
        """See `Backend`."""
        guess = self._guesses.pop(sequence, "")
        if guess.startswith(text):
            self._guesses[sequence] = guess[len(text) :]
        await self._backend.extend(sequence, text, tokens)

    async def generate(self, sequence: SequenceId, gen: Gen, emit: Emit | None) -> Generation:
        """See `Backend`. The `max_tokens` of a gen that is answered from a guess bounds nothing."""
        guess = self._guesses.pop(sequence, "")
        if emit is not None or not _is_plain(gen):
            return await self._backend.generate(sequence, gen, emit)
        found = _first_stop(guess, gen)
        meta: dict[str, Any] = {}
        if found is None:
            answer = await self._ahead(sequence, gen)
            guess, meta = answer.texts[0], answer.metas[0]
            found = _first_stop(guess, gen)
        if found is not None:
            meta = {**meta, "finish_reason": {"type": "stop", "matched": found[1]}}
        at = len(guess) if found is None else found[0]
        await self._backend.extend(sequence, guess[:at])
        self._guesses[sequence] = guess[at:]
        return Generation(texts=[guess[:at]], metas=[meta])

    async def _ahead(self, sequence: SequenceId, gen: Gen) -> Generation:
        """Ask for more than `gen` needs, and leave the sequence as it is."""
        limit = max(gen.sampling.max_new_tokens or 0, self._tokens)
        free = msgspec.structs.replace(gen.sampling, stop=(), max_new_tokens=limit)
        [branch] = await self._backend.fork(sequence, 1)
        try:
            return await self._backend.generate(
                branch, msgspec.structs.replace(gen, sampling=free), None
            )
        finally:
            await self._backend.release(branch)

    async def score(
        self, sequence: SequenceId, choices: Sequence[str], *, unconditional: bool
    ) -> Scores:
        """See `Backend`."""
        return await self._backend.score(sequence, choices, unconditional=unconditional)

    async def fork(self, sequence: SequenceId, count: int) -> list[SequenceId]:
        """See `Backend`. The branches share the guess."""
        branches = await self._backend.fork(sequence, count)
        guess = self._guesses.get(sequence, "")
        self._guesses.update(dict.fromkeys(branches, guess))
        return branches

    async def hold(self, sequence: SequenceId) -> None:
        """See `Backend`."""
        await self._backend.hold(sequence)

    async def release(self, sequence: SequenceId) -> None:
        """See `Backend`."""
        self._guesses.pop(sequence, None)
        await self._backend.release(sequence)


def _is_plain(gen: Gen) -> bool:
    """Whether a gen asks for text up to a stop string, and for nothing else."""
    said = gen.sampling
    asks = (gen.constraint(), gen.logprobs)
    more = (said.stop_regex, said.stop_token_ids, said.min_new_tokens, said.ignore_eos)
    return bool(said.stop) and (said.n or 1) == 1 and not any((*asks, *more))


def _first_stop(text: str, gen: Gen) -> tuple[int, str] | None:
    """Where a gen's text ends within `text`, and the stop string that ends it."""
    places = [(text.find(stop), stop) for stop in gen.sampling.stop or () if stop in text]
    return min(places, default=None)
