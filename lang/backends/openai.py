"""Programs on services that speak OpenAI's protocol: OpenAI's own, and the many that copy it.

Chat models get messages, completion models get text. What the protocol has no field for is refused
by name. Servers that add fields of their own to it (RadixLM, SGLang) get them with
`extensions=True`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ...ir.choices import Scored, Scores
from ...ir.errors import BackendError, UnsupportedError
from ...ir.machine import Emit, Meta, SequenceId
from ...ir.nodes import Gen, Logprobs
from ...ir.roles import PLAIN
from ..chat_template import ChatTemplate
from .chat_shape import (
    finished,
    grow,
    read_chat,
    read_chat_stream,
    reason,
    response_format,
    sample,
    tokens_of,
)
from .service import Answer, Outlet, Retry, TextBackend, failure_of, package, take, wanted
from .talk import Talk

COMPLETION_MODELS = ("gpt-3.5-turbo-instruct", "davinci-002", "babbage-002")
OPENAIS_HOSTS = (".openai.com", ".openai.azure.com")

STANDARD = {
    "max_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "n": "n",
    "stop": "stop",
    "sampling_seed": "seed",
}
EXTENSIONS = {
    "min_tokens": "min_tokens",
    "top_k": "top_k",
    "min_p": "min_p",
    "repetition_penalty": "repetition_penalty",
    "stop_token_ids": "stop_token_ids",
    "stop_regex": "stop_regex",
    "ignore_eos": "ignore_eos",
    "regex": "regex",
    "ebnf": "ebnf",
    "gbnf": "gbnf",
    "lark": "lark",
    "structural_tag": "structural_tag",
    "schema_mode": "schema_mode",
    "property_order": "property_order",
    "whitespace": "whitespace",
}


class OpenAI(TextBackend):
    """A model behind OpenAI's protocol.

    Args:
        model_name: as the service calls it.
        is_chat_model: whether it takes messages; by default all do but OpenAI's few completion
            models.
        chat_template: how a completion model's turns are written, from `lang.chat_template`; by
            default as `USER:` and `ASSISTANT:` lines.
        base_url: of a service that is not OpenAI's own ("http://host:port/v1").
        api_key: else the environment's `OPENAI_API_KEY`; a server without keys takes any text.
        extensions: the service takes what RadixLM and SGLang add: `regex`, `ebnf`, `gbnf`, `lark`,
            `structural_tag`, `schema_mode`, `property_order`, `whitespace`, `top_k`, `min_p`,
            `min_tokens`, `repetition_penalty`, `stop_token_ids`, `stop_regex`,
            `ignore_eos`, and assistant turns that go on from a beginning.
        timeout_s: of one call; of the wait for each piece when streaming.
        retry: how calls that fail for now are repeated.
        extra_body: fields that every request carries (`{"reasoning_effort": "low"}`).
        client: an asynchronous client to use instead (`openai.AsyncAzureOpenAI(...)`); it takes
            the place of `base_url`, `api_key`, `timeout_s` and the options.
        **client_options: of `openai.AsyncOpenAI` (`default_headers`, `organization`).

    Raises:
        ModuleNotFoundError: the package `openai` is missing.
        BackendError: the client cannot be made, for want of a key, say.
    """

    def __init__(
        self,
        model_name: str,
        is_chat_model: bool | None = None,
        chat_template: ChatTemplate | None = None,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        extensions: bool = False,
        timeout_s: float = 600.0,
        retry: Retry | None = None,
        extra_body: dict[str, Any] | None = None,
        client: Any = None,
        **client_options: Any,
    ) -> None:
        if is_chat_model is None:
            is_chat_model = not model_name.startswith(COMPLETION_MODELS)
        if is_chat_model and chat_template is not None:
            raise ValueError("a chat model's service writes the turns: it takes no chat_template")
        super().__init__(
            model_name,
            is_chat_model=is_chat_model,
            roles=chat_template.role_format() if chat_template else PLAIN,
            retry=retry,
        )
        self._openai = package("openai", extra="openai", backend="OpenAI")
        if client is None:
            try:
                client = self._openai.AsyncOpenAI(
                    base_url=base_url,
                    api_key=api_key,
                    timeout=timeout_s,
                    max_retries=0,  # `attempt` repeats
                    **client_options,
                )
            except self._openai.OpenAIError as error:
                raise BackendError(str(error)) from error
        self._client = client
        host = "." + (urlsplit(str(client.base_url)).hostname or "")
        self._is_openais = host.endswith(OPENAIS_HOSTS)
        self._extensions = extensions
        self._extra_body = extra_body or {}

    async def ask(self, talk: Talk, gen: Gen, emit: Emit | None) -> list[Answer]:
        """See `TextBackend`."""
        fields = self._fields(talk, gen)
        outlet = Outlet(emit)
        call = self._whole if emit is None else self._streamed
        return await self.attempt(lambda: call(fields, outlet, gen.sampling.n or 1), outlet)

    async def score(
        self, sequence: SequenceId, choices: Sequence[str], *, unconditional: bool
    ) -> Scores:
        """See `Backend`. A completion model that can echo scores each choice after the text.

        As with a model of one's own, a token may span the place where text and choice meet: the
        tokens that the text has in common with text and choice, for every choice, are context; the
        rest is scored. The protocol names tokens by their text, so the ids are all -1.

        Raises:
            UnsupportedError: a chat model, or a service that does not echo.
        """
        if self.is_chat_model:
            return await super().score(sequence, choices, unconditional=unconditional)
        text = self._talks[sequence].text
        context, *wholes = await asyncio.gather(
            self._echo(text), *(self._echo(text + choice) for choice in choices)
        )
        common = min(_common(context.tokens, whole.tokens) for whole in wholes)
        tails = [whole.from_token(common) for whole in wholes]
        alone: list[Echo | None] = [None] * len(tails)
        if unconditional:
            alone = [*await asyncio.gather(*(self._echo("".join(tail.tokens)) for tail in tails))]
        scored = [
            Scored(
                tokens=[-1] * len(tail.tokens),
                logprobs=tail.logprobs,
                unconditional=None if bare is None else self._same(tail, bare).logprobs,
            )
            for tail, bare in zip(tails, alone, strict=True)
        ]
        return Scores(choices=scored)

    async def aclose(self) -> None:
        """See `TextBackend`."""
        await self._client.close()

    def failure(self, error: Exception) -> BackendError | None:
        """See `TextBackend`."""
        return failure_of(error, (self._openai.OpenAIError, self._openai.APIConnectionError))

    # ---- requests

    def _fields(self, talk: Talk, gen: Gen) -> dict[str, Any]:
        asked = wanted(gen)
        if not self._is_openais:  # a server's own defaults may be other than the protocol's
            asked.setdefault("temperature", 1.0)
            asked.setdefault("top_p", 1.0)
        report = _report(asked, gen.logprobs, is_chat=self.is_chat_model)
        schema = asked.pop("json_schema", None)
        names = {**STANDARD, **(EXTENSIONS if self._extensions else {})}
        if self._is_openais and self.is_chat_model:
            names["max_tokens"] = "max_completion_tokens"  # its newer models refuse the old name
        named = take(asked, names, service=self._service())
        own = {field: named.pop(field) for field in EXTENSIONS.values() if field in named}
        if schema is not None:
            own |= self._schema(schema)
        prompt = self._conversation(talk, own) if self.is_chat_model else {"prompt": talk.text}
        body = {**own, **self._extra_body}
        return {
            "model": self.model_name,
            **prompt,
            **named,
            **report,
            **({"extra_body": body} if body else {}),
        }

    def _service(self) -> str:
        if self._extensions:
            return f"{self.model_name!r} behind OpenAI's protocol"
        return f"{self.model_name!r} behind OpenAI's protocol (without extensions=True)"

    def _conversation(self, talk: Talk, own: dict[str, Any]) -> dict[str, Any]:
        if talk.prefix():
            if not self._extensions:
                raise UnsupportedError(
                    "OpenAI's protocol begins a new message with every answer; the assistant's "
                    f"turn already begins with {talk.prefix()[:40]!r}",
                    hint="Give each assistant(...) one gen and no text before it, or say "
                    "extensions=True for a server that can go on (RadixLM, SGLang).",
                )
            own |= {"continue_final_message": True, "add_generation_prompt": False}
        return {"messages": talk.messages()}

    def _schema(self, schema: str) -> dict[str, Any]:
        if self.is_chat_model:
            return {"response_format": response_format(schema)}
        if self._extensions:
            return {"json_schema": schema}
        raise UnsupportedError(
            "OpenAI's protocol has no json_schema for completion models",
            hint="Use a chat model, or say extensions=True for a RadixLM or SGLang server.",
        )

    @property
    def _create(self) -> Any:
        chat, plain = self._client.chat.completions, self._client.completions
        return (chat if self.is_chat_model else plain).create

    async def _whole(self, fields: dict[str, Any], outlet: Outlet, count: int) -> list[Answer]:
        response = await self._create(**fields)
        self._count(response.usage)
        read = read_chat if self.is_chat_model else _read_completion
        return read(response)

    async def _streamed(self, fields: dict[str, Any], outlet: Outlet, count: int) -> list[Answer]:
        options = {"include_usage": True}
        stream = await self._create(**fields, stream=True, stream_options=options)
        async with stream:
            read = read_chat_stream if self.is_chat_model else _read_completion_stream
            answers, usage = await read(stream, outlet, count)
        self._count(usage)
        return answers

    def _count(self, usage: Any) -> None:
        if usage is not None:
            self.count(usage.prompt_tokens, usage.completion_tokens)

    # ---- scores

    async def _echo(self, text: str) -> Echo:
        """The log-probabilities of a text's own tokens; 0 for the first, which has none."""
        if not text:
            return Echo([], [])

        async def call() -> Any:
            return await self._client.completions.create(
                model=self.model_name,
                prompt=text,
                max_tokens=0,
                echo=True,
                logprobs=0,
                temperature=0,
                extra_body=self._extra_body or None,
            )

        response = await self.attempt(call)
        self._count(response.usage)
        [choice] = response.choices
        found = choice.logprobs
        if choice.text != text or found is None or not found.token_logprobs:
            raise UnsupportedError(
                f"select needs the log-probabilities of its options; {self.model_name!r} does not "
                "echo them (echo, logprobs)",
                hint="Use a server that does (RadixLM, SGLang, vLLM), or RuntimeEndpoint.",
            )
        return Echo(found.tokens, [value or 0.0 for value in found.token_logprobs])

    def _same(self, tail: Echo, bare: Echo) -> Echo:
        if tail.tokens != bare.tokens:
            raise UnsupportedError(
                f"alone, {''.join(tail.tokens)!r} is other tokens to {self.model_name!r} than "
                "after the prompt, so it has no unconditional likelihood to compare with",
                hint="Use another choices_method, or RuntimeEndpoint.",
            )
        return bare


@dataclass(frozen=True, slots=True)
class Echo:
    """A text's tokens, by their texts, and the log-probability (nats) of each."""

    tokens: list[str]
    logprobs: list[float]

    def from_token(self, index: int) -> Echo:
        """The tokens from `index` on."""
        return Echo(self.tokens[index:], self.logprobs[index:])


def _common(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest common prefix."""
    return next(
        (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
    )


def _report(asked: dict[str, Any], logprobs: Logprobs | None, *, is_chat: bool) -> dict[str, Any]:
    """The fields that ask for log-probabilities of the answer."""
    if logprobs is None:
        return {}
    del asked["return_logprob"]
    top = logprobs.top or 0
    if not is_chat:
        return {"logprobs": top}
    return {"logprobs": True, **({"top_logprobs": top} if top else {})}


def _read_completion(response: Any) -> list[Answer]:
    answers: list[Answer] = []
    for choice in sorted(response.choices, key=lambda choice: choice.index):
        meta = {"id": response.id, "finish_reason": reason(choice.finish_reason)}
        answers.append(Answer(choice.text, {**meta, **_logprobs(choice.logprobs)}))
    if len(answers) == 1 and response.usage is not None:
        answers[0].meta.update(tokens_of(response.usage))
    return answers


async def _read_completion_stream(
    stream: AsyncIterable[Any], outlet: Outlet, count: int
) -> tuple[list[Answer], Any]:
    answers = [Answer() for _ in range(count)]
    usage = None
    async for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            piece = {"id": chunk.id, **_logprobs(choice.logprobs)}
            grow(sample(answers, choice.index), choice.text, choice, piece, outlet)
    return finished(answers, usage), usage


def _logprobs(found: Any) -> Meta:
    """Log-probabilities as (logprob, None for the id, text), SGLang's triples."""
    if found is None or not found.token_logprobs:
        return {}
    chosen = zip(found.token_logprobs, found.tokens, strict=True)
    tops: list[dict[str, float] | None] = found.top_logprobs or [None] * len(found.tokens)
    return {
        "output_token_logprobs": [(logprob, None, text) for logprob, text in chosen],
        "output_top_logprobs": [
            [(logprob, None, text) for text, logprob in (top or {}).items()] for top in tops
        ],
    }
