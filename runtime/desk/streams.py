"""One sequence as the desk sees it: tokens come in, text and meta information go out."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from math import expm1, fsum
from typing import Any

import msgspec

from ...constrained.contract import Contract, Failure, Status
from ...constrained.errors import GrammarError
from ..errors import (
    EngineClosedError,
    EngineError,
    InvalidRequestError,
    QueueFullError,
)
from ..messages import Delta, Distortion, Finish, Submit, TopLogprobs, Usage
from ..tokenizer import Tokenizer
from .check import Checker
from .detokenize import Detokenizer
from .stops import Stops


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A sequence so far.

    Attributes:
        text: what may be shown; while running, without text that might become a stop.
        tokens: every generated id, the one that stopped it included.
        kept: how many of `tokens` stand wholly in `text`.
        tail: the end of `text` that no kept token covers, when a stop cut a token in two.
    """

    text: str
    tokens: list[int]
    finish: Finish | None
    kept: int
    tail: str


@dataclass(eq=False)
class Stream:
    """The state of one submitted sequence, fed by the desk and read by whoever asked."""

    submit: Submit
    tokenizer: Tokenizer
    name: str  # the request id that whoever sent it knows
    checker: Checker
    created: float = field(default_factory=time.monotonic)
    usage: Usage | None = None
    finish: Finish | None = None
    first_token_at: float | None = None
    finished_at: float | None = None
    tokens: list[int] = field(default_factory=list[int])
    forced: int = 0  # of `tokens`, those that a grammar forced
    logprobs: list[float] = field(default_factory=list[float])
    top_logprobs: list[TopLogprobs] = field(default_factory=list[TopLogprobs])
    id_logprobs: list[TopLogprobs] = field(default_factory=list[TopLogprobs])
    input_logprobs: list[float | None] = field(default_factory=list["float | None"])
    input_top: list[TopLogprobs | None] = field(default_factory=list["TopLogprobs | None"])
    input_ids: list[TopLogprobs | None] = field(default_factory=list["TopLogprobs | None"])
    option_logprobs: list[list[float]] | None = None  # of each option's tokens, at the end
    embedding: bytes = b""  # [hidden] f32, little-endian, of a request with `pooling`
    distortions: list[Distortion] = field(default_factory=list[Distortion])
    error: EngineError | GrammarError | None = None
    contract: Contract | None = None  # of its schema, where it was asked for or is not all enforced
    failures: list[Failure] | None = None  # of its schema, where that was checked

    def __post_init__(self) -> None:
        self._changed = asyncio.Event()
        self._unchecked: Finish | None = None  # the end, while the schema is still to be checked
        self._text_end: int | None = None  # where a stop cut the text
        sampling = self.submit.sampling
        self._detokenizer = Detokenizer(
            self.tokenizer,
            skip_special_tokens=sampling.skip_special_tokens and not self._has_special_marks(),
            follows=not self.tokenizer.is_opening(self.submit.tokens),
        )
        self._stops = Stops(sampling.stop, sampling.stop_regex)

    def _has_special_marks(self) -> bool:
        """Whether marks of the text are special tokens: without them it is not what it must be.

        No others come in a text that reasons, or keeps to a structural tag.
        """
        sampling = self.submit.sampling
        marks = sampling.structural_tag or ""
        if (reasoning := sampling.reasoning) is not None:
            marks += f"\n{reasoning.begin}\n{reasoning.end}\n{reasoning.gap}"
        return self.tokenizer.holds_special(marks)

    def feed(self, delta: Delta) -> bool:
        """Take news from the scheduler.

        Returns:
            Whether the sequence ended here by a stop string or pattern, so that the scheduler
            should drop it.
        """
        if self._is_over:
            return False
        self._take_logprobs(delta)
        self.usage = delta.usage or self.usage
        self.contract = delta.contract or self.contract
        self.option_logprobs = delta.option_logprobs or self.option_logprobs
        self.embedding = delta.embedding or self.embedding
        cut = False
        for index, token in enumerate(delta.tokens):
            self._take(token)
            self.forced += index in delta.forced
            is_last = index == len(delta.tokens) - 1
            # A length finish in the same step wins over a stop, which then stays in the text.
            if self._stops and not (is_last and delta.finish is not None):
                cut = self._check_stops()
            if cut:
                self._drop_beyond(len(self.tokens))
                break
        if not cut and delta.finish is not None:
            self._end(delta.finish)
        self._changed.set()
        return cut and delta.finish is None

    def take(self, token: int) -> bool:
        """Take one more token, of a sequence that goes on; returns what `feed` returns."""
        if self._is_over:
            return False
        self._take(token)
        cut = bool(self._stops) and self._check_stops()
        self._changed.set()
        return cut

    def fail(self, error: EngineError) -> None:
        """End the stream with an error that its reader meets."""
        if self.finish is None and self.error is None:
            self.error = error
            self._changed.set()

    async def changed(self) -> None:
        """Wait for news since the last call.

        Raises:
            EngineError: the request failed.
            GrammarError: its grammar cannot be used.
        """
        await self._changed.wait()
        self._changed.clear()
        if self.error is not None:
            raise self.error
        if self._unchecked is not None:
            self.failures = await self.checker.check(self.submit.sampling, self._shown())
            fails = self.failures and self._unchecked.type == "stop"
            self.finish = Finish(type="invalid") if fails else self._unchecked

    def snapshot(self) -> Snapshot:
        """The sequence so far."""
        text = self._shown()
        if self._text_end is None and not self._is_over and self._stops:
            text = text[: len(text) - self._stops.held_back(text)]
        kept, tail = len(self.tokens), ""
        if self.tokens and self.tokens[-1] in self.submit.stop_ids:
            kept -= 1
        if self._text_end is not None:
            ends = self._detokenizer.ends
            while kept and ends[kept - 1] > len(text):
                kept -= 1
            tail = text[ends[kept - 1] if kept else 0 :]
        return Snapshot(text, list(self.tokens), self.finish, kept, tail)

    @property
    def _is_over(self) -> bool:
        return self.finish is not None or self._unchecked is not None

    def chars_before(self, token: int) -> int:
        """Return how many characters of the text the tokens before one of them spell."""
        return min(self._detokenizer.ends[token - 1], len(self._shown())) if token else 0

    def _shown(self) -> str:
        return self._detokenizer.text[: self._text_end]

    def _take(self, token: int) -> None:
        if self.first_token_at is None:
            self.first_token_at = time.monotonic()
        self.tokens.append(token)
        if token in self.submit.stop_ids:  # ends the sequence, and is no part of its text
            self._detokenizer.ends.append(len(self._detokenizer.text))
        else:
            self._detokenizer.feed(token)

    def _take_logprobs(self, delta: Delta) -> None:
        self.logprobs.extend(delta.logprobs or ())
        self.top_logprobs.extend(delta.top_logprobs or ())
        self.id_logprobs.extend(delta.id_logprobs or ())
        self.distortions.extend(delta.distortions)
        self.input_logprobs.extend(delta.input_logprobs or ())
        self.input_top.extend(delta.input_top_logprobs or ())
        self.input_ids.extend(delta.input_id_logprobs or ())

    def _check_stops(self) -> bool:
        """Look for a stop string or pattern in the text since the last look."""
        found = self._stops.find(self._detokenizer.text)
        if found is None:
            return False
        self._text_end = found.end if self.submit.sampling.no_stop_trim else found.start
        self._end(Finish(type="stop", matched=found.pattern))
        return True

    def _drop_beyond(self, count: int) -> None:
        """Forget log-probabilities of tokens that came after the stop."""
        del self.logprobs[count:], self.top_logprobs[count:], self.id_logprobs[count:]
        del self.distortions[count:]

    def _end(self, finish: Finish) -> None:
        if finish.type == "abort" or self.contract is None or self.contract.is_enforced:
            self.finish = finish
        else:
            self._unchecked = finish
        self.finished_at = time.monotonic()
        self._detokenizer.finish()
        if finish.type == "abort" and finish.status is not None and finish.status != 499:
            kinds = {400: InvalidRequestError, 503: QueueFullError}
            kind = kinds.get(finish.status, EngineError)
            message = finish.message or "the request was aborted"
            if finish.fault is not None:
                self.error = finish.fault.error()
                return
            error = kind(message)
            error.retry_after_s = finish.retry_after_s
            self.error = error


def closed_error(reason: str) -> EngineClosedError:
    """The error of every request that is open when the scheduler ends."""
    return EngineClosedError(f"the scheduler has ended: {reason}")


def meta_info(stream: Stream, *, with_text: bool = False) -> dict[str, Any]:
    """The sequence's meta information, with SGLang's keys and `computed_tokens` besides."""
    finish = stream.finish
    usage = stream.usage
    now = stream.finished_at or time.monotonic()
    meta: dict[str, Any] = {
        "id": stream.name,
        "finish_reason": None if finish is None else finish_reason(finish),
        "prompt_tokens": len(stream.submit.tokens),
        "completion_tokens": len(stream.tokens),
        "forced_tokens": stream.forced,
        "cached_tokens": usage.cached if usage else 0,
        "computed_tokens": usage.computed if usage else 0,
        "num_retractions": usage.retractions if usage else 0,
        "weight_version": "default",
        "e2e_latency": now - stream.created,
    }
    if stream.submit.logprobs is not None:
        meta.update(_logprob_info(stream, with_text))
    if stream.contract is not None:
        meta["contract"] = _contract_info(stream.contract, whole=stream.submit.wants_contract)
    if finish is not None and finish.closed_at is not None:
        meta["closed_by_budget"] = {
            "at_token": finish.closed_at,
            "at_char": stream.chars_before(finish.closed_at),
        }
    if stream.failures is not None:
        meta["failures"] = msgspec.to_builtins(stream.failures)
    return meta


def finish_reason(finish: Finish) -> dict[str, Any]:
    """A finish as SGLang writes it."""
    match finish.type:
        case "stop":
            return {"type": "stop", "matched": finish.matched}
        case "length":
            return {"type": "length", "length": finish.length}
        case "invalid":
            return {"type": "invalid"}
        case "abort":
            return {
                "type": "abort",
                "message": finish.message or "",
                "status_code": finish.status if finish.status != 499 else None,
                "err_type": None,
            }


def _contract_info(contract: Contract, *, whole: bool) -> dict[str, Any]:
    """How much of a schema is kept, and what is only checked, or with `whole` every keyword."""
    findings = tuple(contract) if whole else contract.of(Status.CHECKED)
    return {**contract.counts(), "findings": [msgspec.to_builtins(found) for found in findings]}


def _distortion_info(found: list[Distortion]) -> dict[str, Any]:
    """The sums over a constrained text; docs/structured-output.md says what they mean."""
    return {
        "tokens": len(found),
        "forced": sum(each.forced for each in found),
        "displaced": sum(each.rank > 0 for each in found),
        "rank": sum(each.rank for each in found),
        "removed_mass": -fsum(expm1(each.kept) for each in found),
        "nats": -fsum(each.kept for each in found),
    }


def _logprob_info(stream: Stream, with_text: bool) -> dict[str, Any]:
    request = stream.submit.logprobs
    assert request is not None
    name = stream.tokenizer.token_texts if with_text else lambda ids: [None] * len(ids)
    start = request.start if request.start >= 0 else len(stream.submit.tokens)
    prompt = stream.submit.tokens[start : start + len(stream.input_logprobs)]

    def rows(entries: list[TopLogprobs] | list[TopLogprobs | None]) -> list[Any]:
        return [
            None
            if entry is None
            else [(p, t, x) for (p, t), x in zip(entry, name([t for _, t in entry]), strict=True)]
            for entry in entries
        ]

    count = len(stream.logprobs)
    info: dict[str, Any] = {
        "input_token_logprobs": list(zip(stream.input_logprobs, prompt, name(prompt), strict=True)),
        "output_token_logprobs": list(
            zip(stream.logprobs, stream.tokens[:count], name(stream.tokens[:count]), strict=True)
        ),
        "output_token_logprobs_length": count,
    }
    if stream.distortions:
        info["distortion"] = _distortion_info(stream.distortions)
        info["output_token_distortion"] = [
            (-expm1(each.kept), each.rank, each.forced) for each in stream.distortions
        ]
    if request.top:
        info["input_top_logprobs"] = rows(stream.input_top)
        info["output_top_logprobs"] = rows(stream.top_logprobs)
    if request.token_ids:
        info["input_token_ids_logprobs"] = rows(stream.input_ids)
        info["output_token_ids_logprobs"] = rows(stream.id_logprobs)
    return info
