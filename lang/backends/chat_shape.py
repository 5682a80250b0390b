"""Chat completions in OpenAI's shape, as `openai` and `litellm` return them, read into answers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable
from typing import Any

from ...ir.errors import BackendError
from ...ir.machine import Meta
from .service import Answer, Outlet


def response_format(schema: str) -> dict[str, Any]:
    """The `response_format` that holds the model to a JSON Schema."""
    named = {"name": "answer", "schema": json.loads(schema), "strict": True}
    return {"type": "json_schema", "json_schema": named}


def read_chat(response: Any) -> list[Answer]:
    """The samples of a whole response, in order."""
    answers: list[Answer] = []
    for choice in sorted(response.choices, key=lambda choice: choice.index):
        message = choice.message
        refuse(getattr(message, "refusal", None))
        meta = {"id": response.id, "finish_reason": reason(choice.finish_reason)}
        answers.append(Answer(message.content or "", {**meta, **_logprobs(choice)}))
    if len(answers) == 1 and response.usage is not None:
        answers[0].meta.update(tokens_of(response.usage))
    return answers


async def read_chat_stream(
    stream: AsyncIterable[Any], outlet: Outlet, count: int
) -> tuple[list[Answer], Any]:
    """The samples of a stream, and its usage; the first one's pieces go to `outlet`.

    Raises:
        BackendError: the stream ended before every sample had.
    """
    answers = [Answer() for _ in range(count)]
    usage = None
    refusal = ""
    async for chunk in stream:
        usage = getattr(chunk, "usage", None) or usage
        for choice in chunk.choices:
            piece = {"id": chunk.id, **_logprobs(choice)}
            refusal += getattr(choice.delta, "refusal", None) or ""
            text = choice.delta.content or ""
            grow(sample(answers, choice.index), text, choice, piece, outlet)
    refuse(refusal)
    return finished(answers, usage), usage


def sample(answers: list[Answer], index: int) -> Answer:
    """The answer that a chunk belongs to.

    Raises:
        BackendError: there are more samples than were asked for.
    """
    if not 0 <= index < len(answers):
        raise BackendError(f"the service sent sample {index}; {len(answers)} were asked for")
    return answers[index]


def grow(answer: Answer, text: str, choice: Any, piece: Meta, outlet: Outlet) -> None:
    """Take a piece of an answer's text, with what `piece` says about it."""
    answer.text += text
    end = choice.finish_reason
    piece["finish_reason"] = None if end is None else reason(end)
    for name, value in piece.items():
        if isinstance(value, list):
            answer.meta.setdefault(name, []).extend(value)
        elif value is not None:
            answer.meta[name] = value
    if choice.index == 0:
        outlet.send(text, piece)


def finished(answers: list[Answer], usage: Any) -> list[Answer]:
    """The answers of a stream that has ended.

    Raises:
        BackendError: one of them has no end.
    """
    if any(answer.meta["finish_reason"] is None for answer in answers):
        raise BackendError("the service closed the stream before its end", retryable=True)
    if len(answers) == 1 and usage is not None:
        answers[0].meta.update(tokens_of(usage))
    return answers


def reason(word: str) -> dict[str, Any]:
    """A finish reason in the runtime's form; the protocol does not say which stop string it was."""
    return {"type": "stop", "matched": None} if word == "stop" else {"type": word}


def refuse(refusal: str | None) -> None:
    """Raise for a model that declined to answer under a schema: there is no text to go on with.

    Raises:
        BackendError: with the model's words.
    """
    if refusal:
        raise BackendError(f"the model refused: {refusal}")


def tokens_of(usage: Any) -> Meta:
    """What a call cost. Only where it gave one sample: else the protocol has the sum alone."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
    }


def _logprobs(choice: Any) -> Meta:
    """Log-probabilities as (logprob, None for the id, text), SGLang's triples."""
    entries = getattr(getattr(choice, "logprobs", None), "content", None)
    if not entries:
        return {}
    return {
        "output_token_logprobs": [(entry.logprob, None, entry.token) for entry in entries],
        "output_top_logprobs": [
            [(other.logprob, None, other.token) for other in entry.top_logprobs or ()]
            for entry in entries
        ],
    }
