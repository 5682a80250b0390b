"""Programs on Anthropic's models."""

from __future__ import annotations

import json
from typing import Any

from ...ir.errors import BackendError, UnsupportedError
from ...ir.machine import Emit
from ...ir.media import Content
from ...ir.nodes import Gen
from .service import Answer, Outlet, Retry, TextBackend, failure_of, package, take, wanted
from .talk import Talk

SAMPLING = ("temperature", "top_p", "top_k")  # its newest models and clients do without
NAMES = {
    "max_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "stop": "stop_sequences",
}
REASONS = {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length"}
DEFAULT_MAX_TOKENS = 128  # what `run` says; the protocol has to be told


class Anthropic(TextBackend):
    """A model behind Anthropic's protocol.

    A turn of the assistant may begin with text: the protocol lets the model go on from it, though
    not every model does. The service gives one sample a call, so `n` is as many calls.

    Args:
        model_name: as the service calls it.
        base_url: of a service that is not Anthropic's own.
        api_key: else the environment's `ANTHROPIC_API_KEY`.
        timeout_s: of one call; of the wait for each piece when streaming.
        retry: how calls that fail for now are repeated.
        extra_body: fields that every request carries (`{"thinking": {...}}`).
        client: an asynchronous client to use instead (`anthropic.AsyncAnthropicBedrock(...)`); it
            takes the place of `base_url`, `api_key`, `timeout_s` and the options.
        **client_options: of `anthropic.AsyncAnthropic` (`default_headers`).

    Raises:
        ModuleNotFoundError: the package `anthropic` is missing.
        BackendError: the client cannot be made.
    """

    takes_bare_text = True

    def __init__(
        self,
        model_name: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        timeout_s: float = 600.0,
        retry: Retry | None = None,
        extra_body: dict[str, Any] | None = None,
        client: Any = None,
        **client_options: Any,
    ) -> None:
        super().__init__(model_name, is_chat_model=True, retry=retry)
        self._anthropic = package("anthropic", extra="anthropic", backend="Anthropic")
        if client is None:
            try:
                client = self._anthropic.AsyncAnthropic(
                    base_url=base_url,
                    api_key=api_key,
                    timeout=timeout_s,
                    max_retries=0,  # `attempt` repeats
                    **client_options,
                )
            except self._anthropic.AnthropicError as error:
                raise BackendError(str(error)) from error
        self._client = client
        self._extra_body = extra_body or {}

    async def ask(self, talk: Talk, gen: Gen, emit: Emit | None) -> list[Answer]:
        """See `TextBackend`."""
        fields = self._fields(talk, gen)
        streams = emit is not None

        async def one(outlet: Outlet) -> Answer:
            return await (self._streamed if streams else self._whole)(fields, outlet)

        return await self.several(gen.sampling.n or 1, emit, one)

    async def aclose(self) -> None:
        """See `TextBackend`."""
        await self._client.close()

    def failure(self, error: Exception) -> BackendError | None:
        """See `TextBackend`."""
        kinds = (self._anthropic.AnthropicError, self._anthropic.APIConnectionError)
        return failure_of(error, kinds)

    def _fields(self, talk: Talk, gen: Gen) -> dict[str, Any]:
        asked = wanted(gen)
        asked.pop("n", None)
        schema = asked.pop("json_schema", None)
        if blank := [stop for stop in asked.get("stop", ()) if not stop.strip()]:
            raise UnsupportedError(
                f"Anthropic's stop sequences cannot be blank, as {blank[0]!r} is",
                hint="Stop at something visible, or cut the text in Python.",
            )
        fields = take(asked, NAMES, service=f"{self.model_name!r} behind Anthropic's protocol")
        sampling = {name: fields.pop(name) for name in SAMPLING if name in fields}
        body = {**sampling, **self._extra_body}
        if schema is not None:
            form = {"type": "json_schema", "schema": json.loads(schema)}
            body["output_config"] = {**body.get("output_config", {}), "format": form}
        if body:
            fields["extra_body"] = body
        return {
            "model": self.model_name,
            "max_tokens": DEFAULT_MAX_TOKENS,
            **_conversation(talk),
            **fields,
        }

    async def _whole(self, fields: dict[str, Any], outlet: Outlet) -> Answer:
        message = await self._client.messages.create(**fields)
        text = "".join(block.text for block in message.content if block.type == "text")
        answer = Answer(text, {"id": message.id})
        self._end(answer, message, message.usage.input_tokens, message.usage.output_tokens)
        return answer

    async def _streamed(self, fields: dict[str, Any], outlet: Outlet) -> Answer:
        answer = Answer()
        prompt_tokens = 0
        async with await self._client.messages.create(**fields, stream=True) as stream:
            async for event in stream:
                if event.type == "message_start":
                    prompt_tokens = event.message.usage.input_tokens
                    answer.meta["id"] = event.message.id
                elif event.type == "content_block_delta" and event.delta.type == "text_delta":
                    answer.text += event.delta.text
                    outlet.send(event.delta.text, dict(answer.meta))
                elif event.type == "message_delta" and event.delta.stop_reason is not None:
                    self._end(answer, event.delta, prompt_tokens, event.usage.output_tokens)
        if answer.meta["finish_reason"] is None:
            raise BackendError("the service closed the stream before its end", retryable=True)
        return answer

    def _end(self, answer: Answer, end: Any, prompt_tokens: int, completion_tokens: int) -> None:
        kind = REASONS.get(end.stop_reason, end.stop_reason)
        answer.meta["finish_reason"] = {"type": kind}
        if kind == "stop":
            answer.meta["finish_reason"]["matched"] = end.stop_sequence
        answer.meta["prompt_tokens"] = prompt_tokens
        answer.meta["completion_tokens"] = completion_tokens
        self.count(prompt_tokens, completion_tokens)


def _conversation(talk: Talk) -> dict[str, Any]:
    """The turns, with the system's apart, as the protocol wants them.

    Raises:
        UnsupportedError: a turn that the protocol has no place for.
    """
    messages = [{**m, "content": _content(m["content"])} for m in talk.messages()]
    system: list[dict[str, Any]] = []
    while messages and messages[0]["role"] == "system":
        system.append({"type": "text", "text": messages.pop(0)["content"]})
    for message in messages:
        if message["role"] not in ("user", "assistant"):
            raise UnsupportedError(
                f"Anthropic's protocol has no place for a turn of {message['role']!r} here",
                hint="Begin with s.system(); after it come turns of user and assistant.",
            )
    if talk.prefix() != talk.prefix().rstrip():
        raise UnsupportedError(
            "Anthropic's models cannot go on from text that ends in a space or a line break: "
            f"{talk.prefix()[-40:]!r}",
            hint="Leave the space out; the model writes it.",
        )
    return {"messages": messages, **({"system": system} if system else {})}


def _content(content: Content) -> Content:
    """A message's content with images in this protocol's form."""
    if isinstance(content, str):
        return content
    return [
        {"type": "image", "source": _source(part["image_url"]["url"])}
        if part["type"] == "image_url"
        else part
        for part in content
    ]


def _source(url: str) -> dict[str, str]:
    if not url.startswith("data:"):
        return {"type": "url", "url": url}
    kind, _, data = url.removeprefix("data:").partition(";base64,")
    return {"type": "base64", "media_type": kind, "data": data}
