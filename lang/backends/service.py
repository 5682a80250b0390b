"""What backends for services that speak only text have in common.

A sequence is a `Talk`, kept here and sent whole with every request. Calls that fail for now are
repeated; what a service has no field for is refused.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, TypeVar

from ...ir import loop
from ...ir.choices import Scores
from ...ir.errors import BackendError, UnsupportedError
from ...ir.machine import Emit, Generation, Meta, SequenceId
from ...ir.nodes import Gen
from ...ir.roles import PLAIN, RoleFormat
from .talk import Talk, TurnFormat

T = TypeVar("T")

RETRYABLE = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})  # 529: Anthropic's overload
NEUTRAL: dict[str, Any] = {  # values that ask for nothing
    "temperature": 1.0,
    "top_p": 1.0,
    "top_k": -1,
    "min_p": 0.0,
    "frequency_penalty": 0.0,
    "presence_penalty": 0.0,
    "repetition_penalty": 1.0,
    "min_tokens": 0,
    "ignore_eos": False,
    "n": 1,
    "stop": (),
    "stop_token_ids": (),
    "stop_regex": (),
}


@dataclass(frozen=True, slots=True)
class Retry:
    """How often, and after how long, a call that failed for now is repeated.

    The pause doubles from `first_s` to `longest_s`, or is what the service asked for, up to
    `longest_asked_s`; half of a pause of ours is random, so that a batch does not return as one.
    """

    retries: int = 4
    first_s: float = 0.5
    longest_s: float = 8.0
    longest_asked_s: float = 60.0

    def pause_s(self, attempt: int, asked_s: float | None) -> float:
        """Seconds to wait after the failure of `attempt` (from 0)."""
        if asked_s is not None and 0 <= asked_s <= self.longest_asked_s:
            return asked_s
        return min(self.first_s * 2.0**attempt, self.longest_s) * (0.5 + random.random() / 2)


@dataclass(slots=True)
class Answer:
    """One sample, as it comes in."""

    text: str = ""
    meta: Meta = field(default_factory=lambda: Meta(finish_reason=None))


@dataclass(slots=True)
class Usage:
    """Tokens that were paid for."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    def reset(self) -> None:
        """Count from nothing again."""
        self.prompt_tokens = self.completion_tokens = 0


class Outlet:
    """Passes pieces of text on, if anybody listens, and remembers whether there were any."""

    def __init__(self, emit: Emit | None) -> None:
        self._emit = emit
        self.begun = False

    def send(self, text: str, meta: Meta) -> None:
        """Pass on a piece."""
        if self._emit is not None and text:
            self.begun = True
            self._emit(text, meta)


class TextBackend(ABC):
    """A backend that resends text; each service says how in `ask`.

    Attributes:
        model_name: as the service calls it.
        is_chat_model: whether it takes messages; else text.
        token_usage: of all calls so far.
        takes_bare_text: a program without roles is sent to a chat model as a message of the user,
            as SGLang's backends of the same name do.
    """

    takes_bare_text = False

    def __init__(
        self,
        model_name: str,
        *,
        is_chat_model: bool,
        roles: RoleFormat = PLAIN,
        retry: Retry | None = None,
    ) -> None:
        self.model_name = model_name
        self.is_chat_model = is_chat_model
        self.token_usage = Usage()
        self._roles = TurnFormat(parts=PLAIN.parts) if is_chat_model else roles
        self._retry = retry or Retry()
        self._talks: dict[SequenceId, Talk] = {}
        self._ids = itertools.count()

    # ---- what a service says

    @abstractmethod
    async def ask(self, talk: Talk, gen: Gen, emit: Emit | None) -> list[Answer]:
        """Ask the service to go on from `talk`: one answer a sample."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close the connections."""

    @abstractmethod
    def failure(self, error: Exception) -> BackendError | None:
        """An error of the client's, in our words; None: it is not the service's."""

    async def score(
        self, sequence: SequenceId, choices: Sequence[str], *, unconditional: bool
    ) -> Scores:
        """See `Backend`. Few services give the log-probabilities of text they are sent.

        Raises:
            UnsupportedError: always, unless the service's class does better.
        """
        raise UnsupportedError(
            f"select needs the log-probabilities of its options, and {self.model_name!r} as "
            f"{type(self).__name__} reaches it does not tell them",
            hint='Use gen(json_schema={"type": "object", "properties": {"answer": {"enum": '
            "[...]}}, ...}), a completion model that can echo, or a model of your own "
            "(Engine, RuntimeEndpoint).",
        )

    # ---- from any thread

    def close(self) -> None:
        """Close the connections."""
        loop.wait(self.aclose())

    def flush_cache(self) -> bool:
        """See `ProgramBackend`; a service's cache is its own."""
        return False

    def get_server_info(self) -> dict[str, Any]:
        """The model, and the tokens used so far."""
        return {
            "backend": type(self).__name__,
            "model": self.model_name,
            "prompt_tokens": self.token_usage.prompt_tokens,
            "completion_tokens": self.token_usage.completion_tokens,
        }

    # ---- on the private loop

    async def ready(self) -> TextBackend:
        """See `ProgramBackend`."""
        return self

    async def role_format(self) -> RoleFormat:
        """See `Backend`."""
        return self._roles

    async def open(self) -> SequenceId:
        """See `Backend`."""
        return self._keep(Talk())

    async def extend(
        self, sequence: SequenceId, text: str, tokens: Sequence[int] | None = None
    ) -> None:
        """See `Backend`; the state is text, so `tokens` say nothing here."""
        self._talks[sequence].append(text)

    async def attach(self, sequence: SequenceId, url: str) -> None:
        """See `Sighted`. Whether a chat model sees images is its service's to say.

        Raises:
            UnsupportedError: a completion model, or no turn of the user is open.
        """
        if not self.is_chat_model:
            raise UnsupportedError(
                f"the completion model {self.model_name!r} takes no images",
                hint="Use a chat model that sees them.",
            )
        self._talks[sequence].attach(url)

    async def generate(self, sequence: SequenceId, gen: Gen, emit: Emit | None) -> Generation:
        """See `Backend`."""
        talk = self._talks[sequence]
        if self.is_chat_model:
            talk.check_chat(takes_bare_text=self.takes_bare_text)
        answers = await self.ask(talk, gen, emit)
        wanted = gen.sampling.n or 1
        if len(answers) != wanted:
            raise BackendError(
                f"{self.model_name!r} gave {len(answers)} samples where {wanted} were asked for"
            )
        talk.append(answers[0].text)
        return Generation(
            texts=[answer.text for answer in answers], metas=[answer.meta for answer in answers]
        )

    async def fork(self, sequence: SequenceId, count: int) -> list[SequenceId]:
        """See `Backend`."""
        return [self._keep(deepcopy(self._talks[sequence])) for _ in range(count)]

    async def hold(self, sequence: SequenceId) -> None:
        """See `Backend`. A service caches as it likes."""
        del sequence

    async def release(self, sequence: SequenceId) -> None:
        """See `Backend`."""
        self._talks.pop(sequence, None)

    def _keep(self, talk: Talk) -> SequenceId:
        sequence = SequenceId(next(self._ids))
        self._talks[sequence] = talk
        return sequence

    # ---- for the services' classes

    async def attempt(self, call: Callable[[], Awaitable[T]], outlet: Outlet | None = None) -> T:
        """Make a call, and again while its failure may pass and no text has been passed on.

        Raises:
            BackendError: it failed for good.
        """
        for attempt in itertools.count():
            try:
                return await call()
            except Exception as error:
                failure = self.failure(error)
                if failure is None:
                    raise
                begun = outlet is not None and outlet.begun
                if begun or not failure.retryable or attempt >= self._retry.retries:
                    raise failure from error
                pause_s = self._retry.pause_s(attempt, _asked_s(error))
            await asyncio.sleep(pause_s)
        raise AssertionError("unreachable")

    async def several(
        self, count: int, emit: Emit | None, one: Callable[[Outlet], Awaitable[Answer]]
    ) -> list[Answer]:
        """Ask `count` times at once, for services that give one sample a call."""
        outlets = [Outlet(emit), *(Outlet(None) for _ in range(count - 1))]
        tasks = [
            asyncio.ensure_future(self.attempt(lambda outlet=outlet: one(outlet), outlet))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
            for outlet in outlets
        ]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:  # one has failed, or nobody waits any more: the rest is for nothing
                task.cancel()

    def count(self, prompt_tokens: int, completion_tokens: int) -> None:
        """Note what a call cost."""
        self.token_usage.prompt_tokens += prompt_tokens
        self.token_usage.completion_tokens += completion_tokens


def package(name: str, *, extra: str, backend: str) -> Any:
    """Import a service's client.

    Raises:
        ModuleNotFoundError: it is not installed; the message says how to.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise  # it is there, but broken
        raise ModuleNotFoundError(
            f"{backend} needs the package {name!r}: pip install 'radixlm[{extra}]'", name=name
        ) from error


def wanted(gen: Gen) -> dict[str, Any]:
    """What `gen` asks for beyond what every service does of itself, by the names users write."""
    said = gen.sampling.said()
    for ours, theirs in (("max_new_tokens", "max_tokens"), ("min_new_tokens", "min_tokens")):
        if ours in said:
            said[theirs] = said.pop(ours)
    said = {name: value for name, value in said.items() if value != NEUTRAL.get(name)}
    said |= gen.constraint()
    if gen.reasoning_tokens is not None:
        said["reasoning_tokens"] = gen.reasoning_tokens
    if gen.logprobs is not None:
        said["return_logprob"] = True
        if gen.logprobs.start is not None:
            said["logprob_start_len"] = gen.logprobs.start
    return said


REMEDIES = {
    "regex": "Use json_schema, or check the text in Python; dtype is a regex too.",
    **dict.fromkeys(
        ("ebnf", "gbnf", "lark", "structural_tag"), "Use json_schema, or check the text in Python."
    ),
    "schema_mode": "Leave it out: how far a schema is kept is the service's own affair.",
    "property_order": "Leave it out: a service orders properties as it will.",
    "whitespace": "Leave it out: a service lays JSON out as it will.",
    "reasoning_tokens": "Leave out max_tokens of separate_reasoning: a service bounds it or not.",
    "stop_token_ids": "A service's tokens are its own: use stop.",
    "stop_regex": "Use stop, or cut the text in Python.",
}


def take(asked: dict[str, Any], names: dict[str, str], *, service: str) -> dict[str, Any]:
    """Rename what `asked` for to a service's fields.

    Raises:
        UnsupportedError: something has no field; nothing is dropped without a word.
    """
    missing = sorted(set(asked) - set(names))
    if missing:
        hints = [REMEDIES[name] for name in missing if name in REMEDIES]
        raise UnsupportedError(
            f"{service} has nothing for {', '.join(missing)}",
            hint=" ".join(hints) or "Leave it out, or run the program on a model of your own.",
        )
    return {names[name]: value for name, value in asked.items()}


def failure_of(error: Exception, kinds: tuple[type[Exception], ...]) -> BackendError | None:
    """The `BackendError` for an error of a client made by Stainless (`openai`, `anthropic`).

    Args:
        error: what was raised.
        kinds: the package's own root, and that of its connection errors.
    """
    root, connection = kinds
    from_http = type(error).__module__.partition(".")[0] in ("httpx", "httpx2", "httpcore2")
    if not isinstance(error, root) and not from_http:
        return None
    status = getattr(error, "status_code", None)
    lost = status is None and (from_http or isinstance(error, connection))
    broke = getattr(error, "code", None) == "insufficient_quota"  # a 429 that no waiting cures
    said = str(error) or type(error).__name__
    if isinstance(error.__cause__, Exception) and lost:
        said += f" ({error.__cause__ or type(error.__cause__).__name__})"
    return BackendError(said, retryable=lost or (status in RETRYABLE and not broke))


def _asked_s(error: Exception) -> float | None:
    """The pause that a service asks for in `Retry-After`."""
    headers: Mapping[str, str]
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    try:
        return float(headers.get("retry-after", ""))
    except ValueError:  # none, or a date
        return None
