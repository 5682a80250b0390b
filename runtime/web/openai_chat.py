"""Chat completions: messages in, an assistant's message out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..desk.desk import Desk
from ..desk.generate import GenerateRequest
from ..errors import InvalidRequestError
from .content import content_parts
from .openai_fields import check_fields, finish_reason, promises, sampling_fields

OWN = frozenset(
    {"messages", "top_logprobs", "continue_final_message", "chat_template_kwargs"}
    | {"add_generation_prompt"}
)
Result = dict[str, Any]


class Chat:
    """One request to `/v1/chat/completions`."""

    object_name = "chat.completion"
    chunk_name = "chat.completion.chunk"

    def __init__(self, desk: Desk, fields: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
        check_fields(fields, OWN)
        self._desk = desk
        self._fields = fields
        self._defaults = defaults

    def request(self) -> GenerateRequest:
        """The native request. Without `max_tokens` it goes on to the context's end."""
        fields = self._fields
        sampling = sampling_fields(fields, {"max_new_tokens": None, **self._defaults})
        images: list[str] = []
        return GenerateRequest.of(
            {
                "input_ids": self._prompt(images),
                "image_data": images,
                "sampling_params": sampling,
                "rid": fields.get("rid"),
                "return_logprob": bool(fields.get("logprobs")),
                "top_logprobs_num": fields.get("top_logprobs") or 0,
                "return_text_in_logprobs": True,
                "priority": fields.get("priority"),
                "timeout_s": fields.get("timeout_s"),
                "extra_key": fields.get("extra_key") or fields.get("cache_salt"),
                "return_contract": fields.get("return_contract"),
            }
        )

    def _prompt(self, images: list[str]) -> list[int]:
        """Return the ids of the conversation, and add the URLs of its images to `images`."""
        messages = self._fields.get("messages")
        if not isinstance(messages, list) or not messages:
            raise InvalidRequestError("messages must be a list with at least one message")
        variables = self._fields.get("chat_template_kwargs") or {}
        if not isinstance(variables, dict):
            raise InvalidRequestError("chat_template_kwargs must be an object")
        checked = [_message(index, message, images) for index, message in enumerate(messages)]
        pictures = self._desk.pictures
        if images:
            pictures.required_sight()
        return self._desk.tokenizer.render(
            checked,
            add_generation_prompt=self._fields.get("add_generation_prompt") is not False,
            continue_final_message=bool(self._fields.get("continue_final_message")),
            variables=variables,
            image_mark=pictures.mark,
        )

    def choice(self, index: int, result: Result) -> dict[str, Any]:
        """A finished choice."""
        reason, matched = finish_reason(result["meta_info"])
        return {
            "index": index,
            "message": {
                "role": "assistant",
                "content": result["text"],
                "reasoning_content": None,
                "tool_calls": None,
            },
            "logprobs": self._logprobs(result),
            "finish_reason": reason,
            "matched_stop": matched,
            **promises(result["meta_info"]),
        }

    def opening(self, index: int) -> dict[str, Any] | None:
        """The chunk with the role."""
        return _chunk(index, {"role": "assistant", "content": ""})

    def delta(self, index: int, result: Result) -> dict[str, Any]:
        """A chunk with text."""
        return _chunk(index, {"content": result["text"]}, logprobs=self._logprobs(result))

    def closing(self, index: int, result: Result) -> dict[str, Any]:
        """The chunk with the finish reason."""
        reason, matched = finish_reason(result["meta_info"])
        promised = promises(result["meta_info"])
        return _chunk(index, {}, finish_reason=reason, matched_stop=matched, **promised)

    def _logprobs(self, result: Result) -> dict[str, Any] | None:
        meta = result["meta_info"]
        if "output_token_logprobs" not in meta:
            return None
        chosen = meta["output_token_logprobs"]
        tops = meta.get("output_top_logprobs") or [[]] * len(chosen)
        return {
            "content": [
                {**_entry(entry), "top_logprobs": [_entry(other) for other in top]}
                for entry, top in zip(chosen, tops, strict=True)
            ]
        }


def _entry(triple: tuple[float, int, str]) -> dict[str, Any]:
    logprob, _, text = triple
    return {"token": text, "logprob": logprob, "bytes": list(text.encode())}


def _chunk(index: int, delta: dict[str, Any], **rest: Any) -> dict[str, Any]:
    filled = {"role": None, "content": None, "reasoning_content": None, "tool_calls": None, **delta}
    return {
        "index": index,
        "delta": filled,
        "logprobs": None,
        "finish_reason": None,
        "matched_stop": None,
        **rest,
    }


def _message(index: int, message: Any, images: list[str]) -> dict[str, Any]:
    """Check a message, and reduce content in parts to its text, unless it holds images.

    Args:
        index: of the message.
        message: as sent.
        images: to which the URLs of its images are added.

    Raises:
        InvalidRequestError: what is wrong with which message.
    """
    where = f"messages[{index}]"
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise InvalidRequestError(f"{where} must be an object with a role")
    content = message.get("content")
    if isinstance(content, list):
        content = content_parts(where, content, images)
    elif content is not None and not isinstance(content, str):
        raise InvalidRequestError(f"{where}.content must be a string or a list of parts")
    if content is None and not message.get("tool_calls"):
        raise InvalidRequestError(f"{where} has neither content nor tool_calls")
    return {**message, "content": content or ""}
