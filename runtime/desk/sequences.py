"""The machine's six verbs on a desk: sequences whose state is token ids.

A sequence is the ids so far and, behind them, literal text that is not tokenised yet. Adjacent
literals are tokenised as one text when something must be computed; generated ids are kept as they
are. So the ids of a sequence never depend on how a program was cut into statements, and text is
never re-encoded.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import ExitStack, suppress

from ...ir.choices import Scores
from ...ir.errors import BackendError, sees_nothing
from ...ir.machine import Emit, Generation, SequenceId
from ...ir.nodes import Gen
from ...ir.roles import RoleFormat
from ..errors import EngineError
from ..messages import LogprobRequest
from ..request import SamplingParams, sampling_params
from .desk import Desk
from .generate import Sent, result_of
from .pictures import MAX_IMAGES
from .scoring import refuse_aborted, score_choices
from .streams import Stream
from .tokens import Tokens


class DeskBackend:
    """`ir.machine.Backend` over a desk. Lives on the desk's event loop."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._sequences: dict[SequenceId, Tokens] = {}
        self._ids = itertools.count()

    async def role_format(self) -> RoleFormat:
        """The model's own, taken from its chat template."""
        return self._desk.tokenizer.role_format()

    async def open(self) -> SequenceId:
        """See `Backend`."""
        return self._keep(Tokens())

    async def extend(
        self, sequence: SequenceId, text: str, tokens: Sequence[int] | None = None
    ) -> None:
        """See `Backend`."""
        state = self._sequences[sequence]
        if tokens is None:
            state.pending += text
        else:  # they cover the pending text as well
            state.ids.extend(tokens)
            state.pending = ""

    async def attach(self, sequence: SequenceId, url: str) -> None:
        """See `Sighted`."""
        pictures, tokenizer = self._desk.pictures, self._desk.tokenizer
        if pictures.vision is None:
            raise sees_nothing(self._desk.config.model_name)
        state = self._sequences[sequence]
        if len(state.images) >= MAX_IMAGES:
            raise BackendError(f"a sequence has at most {MAX_IMAGES} images")
        try:
            image = await pictures.load(url)
        except EngineError as error:
            raise backend_error(error) from error
        before, behind = pictures.around
        state.pending += before
        state.show(image, pictures.vision.image_token_id, tokenizer)
        state.pending = behind

    async def generate(self, sequence: SequenceId, gen: Gen, emit: Emit | None) -> Generation:
        """See `Backend`."""
        state = self._sequences[sequence]
        state.settle(self._desk.tokenizer)
        sampling = _sampling(gen)
        logprobs = _logprobs(gen)
        seed = self._desk.seed(sampling)
        try:
            with ExitStack() as stack:
                stack.callback(self._let_go, state)  # by then it has ids of its own
                streams = [
                    stack.enter_context(
                        self._desk.submit(
                            state.ids,
                            sampling,
                            images=state.images,
                            seed=(seed + i) % (1 << 63),
                            logprobs=logprobs,
                        )
                    )
                    for i in range(sampling.n)
                ]
                if emit is not None:
                    await _relay(streams[0], emit)
                for stream in streams:
                    await self._desk.finish(stream)
                    refuse_aborted(stream)
        except EngineError as error:
            raise backend_error(error) from error
        with_text = gen.logprobs is not None and gen.logprobs.with_text
        results = [result_of(stream, with_text=with_text) for stream in streams]
        metas = [{**result["meta_info"], "output_ids": result["output_ids"]} for result in results]
        for meta in metas:
            assert meta["cached_tokens"] + meta["computed_tokens"] == meta["prompt_tokens"]
        first = streams[0].snapshot()
        state.ids.extend(first.tokens[: first.kept])
        state.pending = first.tail
        return Generation(
            texts=[result["text"] for result in results],
            metas=metas,
        )

    async def score(
        self, sequence: SequenceId, choices: Sequence[str], *, unconditional: bool
    ) -> Scores:
        """See `Backend`; `score_choices` says how."""
        state = self._sequences[sequence]
        try:
            return await score_choices(self._desk, state, choices, unconditional=unconditional)
        except EngineError as error:
            raise backend_error(error) from error

    async def fork(self, sequence: SequenceId, count: int) -> list[SequenceId]:
        """See `Backend`. What the branches share, the scheduler computes once and keeps."""
        state = self._sequences[sequence]
        if count > 1:
            self._keep_cached(state, state.ids)
        return [self._keep(state.copy()) for _ in range(count)]

    async def release(self, sequence: SequenceId) -> None:
        """See `Backend`."""
        state = self._sequences.pop(sequence, None)
        if state is not None:
            self._let_go(state)

    async def hold(self, sequence: SequenceId) -> None:
        """See `Backend`."""
        state = self._sequences[sequence]
        tokens = self._lasting(state)
        if tokens and not self._desk.config.cache.disable_radix_cache:
            with suppress(EngineError):  # nothing is lost: the sequence is computed when it is used
                await self._desk.prefill(tokens, state.images)
                self._keep_cached(state, tokens)

    async def pin(self, sequence: SequenceId, name: str, ttl_s: float | None) -> None:
        """See `Caching`."""
        state = self._sequences[sequence]
        try:
            await self._desk.pin(name, self._lasting(state), state.images, ttl_s=ttl_s)
        except EngineError as error:
            raise backend_error(error) from error

    def _lasting(self, state: Tokens) -> list[int]:
        """The ids that the sequence begins with, whatever text follows.

        The last token of the pending text may merge with it, so that one is left out, unless it is
        all that there is.
        """
        pending = self._desk.tokenizer.encode_literal(state.pending, opens=not state.ids)
        return (state.ids + pending[:-1]) or pending

    def _keep_cached(self, state: Tokens, tokens: Sequence[int]) -> None:
        self._let_go(state)
        if tokens:
            state.hold = self._desk.hold(tokens, state.images)

    def _let_go(self, state: Tokens) -> None:
        if state.hold is not None:
            self._desk.drop(state.hold)
            state.hold = None

    def _keep(self, tokens: Tokens) -> SequenceId:
        sequence = SequenceId(next(self._ids))
        self._sequences[sequence] = tokens
        return sequence


def backend_error(error: EngineError) -> BackendError:
    """The machine's form of an engine's error."""
    return BackendError(str(error), retryable=error.status == 503)


async def _relay(stream: Stream, emit: Emit) -> None:
    """Pass on a stream's text piece by piece until it ends."""
    sent = Sent()
    while True:
        await stream.changed()
        piece = result_of(stream)
        sent.cut(piece)
        if piece["text"] or stream.finish is not None:
            emit(piece["text"], piece["meta_info"])
        if stream.finish is not None:
            return


def _sampling(gen: Gen) -> SamplingParams:
    fields = gen.sampling.said()
    return sampling_params({**fields, **gen.held()})


def _logprobs(gen: Gen) -> LogprobRequest | None:
    wanted = gen.logprobs
    if wanted is None:
        return None
    return LogprobRequest(start=-1 if wanted.start is None else wanted.start, top=wanted.top or 0)
