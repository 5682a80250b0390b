"""Chat completions: messages in, an assistant's message out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...ir.reasoning import Marks
from ..desk.desk import Desk
from ..desk.generate import GenerateRequest
from ..errors import InvalidRequestError
from .answers import Answer, Formats
from .messages import checked_messages
from .openai_fields import CONSTRAINTS, check_fields, finish_reason, promises, sampling_fields
from .tools import read_tools

OWN = frozenset(
    {"messages", "top_logprobs", "continue_final_message", "chat_template_kwargs"}
    | {"add_generation_prompt", "tools", "tool_choice", "parallel_tool_calls"}
    | {"separate_reasoning", "stream_reasoning", "reasoning_effort"}
)
TAIL = 16  # tokens at the end of a prompt that show whether thinking is open there
Result = dict[str, Any]


class Chat:
    """One request to `/v1/chat/completions`."""

    object_name = "chat.completion"
    chunk_name = "chat.completion.chunk"

    def __init__(
        self,
        desk: Desk,
        fields: Mapping[str, Any],
        defaults: Mapping[str, Any],
        formats: Formats,
    ) -> None:
        check_fields(fields, OWN)
        self._desk = desk
        self._fields = fields
        self._formats = formats
        self._tools = read_tools(fields)
        # Without `max_tokens` it goes on to the context's end.
        self._sampling = sampling_fields(fields, {"max_new_tokens": None, **defaults})
        self._separates = fields.get("separate_reasoning") is not False
        self._images: list[str] = []  # URLs
        self._prompt_ids = self._prompt(self._images)
        self._is_open = self._opens_thinking()
        self._constrain()
        self._answers: dict[int, Answer] = {}  # by choice, of a stream

    def request(self) -> GenerateRequest:
        """The native request."""
        fields = self._fields
        return GenerateRequest.of(
            {
                "input_ids": list(self._prompt_ids),
                "image_data": self._images,
                "sampling_params": self._sampling,
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
        variables = self._fields.get("chat_template_kwargs") or {}
        if not isinstance(variables, dict):
            raise InvalidRequestError("chat_template_kwargs must be an object")
        if (effort := self._fields.get("reasoning_effort")) is not None:
            variables = {"reasoning_effort": effort, **variables}
        checked = checked_messages(messages, images)
        pictures = self._desk.pictures
        if images:
            pictures.required_vision()
        return self._desk.tokenizer.render(
            checked,
            tools=self._tools.given or None,
            add_generation_prompt=self._fields.get("add_generation_prompt") is not False,
            continue_final_message=bool(self._fields.get("continue_final_message")),
            variables=variables,
            image_mark=pictures.mark,
        )

    def _opens_thinking(self) -> bool:
        """Whether the answer begins in the thinking; a constraint of the client's forbids it."""
        marks, fields = self._formats.marks, self._fields
        if marks is None or fields.get("continue_final_message") or self._is_constrained():
            return False
        ids = self._prompt_ids[-TAIL:]
        tail = self._desk.tokenizer.decode(ids, skip_special_tokens=False).rstrip()
        return tail.endswith(marks.begin) or (marks.is_open and not tail.endswith(marks.end))

    def _is_constrained(self) -> bool:
        return any(self._sampling.get(name) is not None for name in CONSTRAINTS)

    def _constrain(self) -> None:
        """Have calls forced where the request says so, and marks shown that are special tokens."""
        open_marks: Marks | None = self._formats.marks if self._is_open else None
        if self._formats.needs_special(has_tools=bool(self._tools.tools)):
            self._sampling.setdefault("skip_special_tokens", False)
        if not self._is_constrained():
            tag = self._tools.constraint(self._formats.calls, open_marks, self._formats.stops)
            if tag is not None:
                self._sampling["structural_tag"] = tag
        elif self._tools.choice == "required":
            raise InvalidRequestError(
                "tool_choice forces calls, which a response_format or another constraint forbids; "
                "leave one of them out"
            )

    def _answer(self, *, streams: bool) -> Answer:
        return Answer(
            self._formats,
            self._tools.schemas,
            is_open=self._is_open,
            separates=self._separates,
            streams=streams,
            streams_thinking=self._fields.get("stream_reasoning") is not False,
        )

    def choice(self, index: int, result: Result) -> dict[str, Any]:
        """A finished choice."""
        answer = self._answer(streams=False)
        return {
            "index": index,
            "message": answer.message(result["text"]),
            "logprobs": self._logprobs(result),
            **_end(answer, result),
        }

    def opening(self, index: int) -> dict[str, Any] | None:
        """The chunk with the role."""
        self._answers[index] = self._answer(streams=True)
        return _chunk(index, {"role": "assistant", "content": ""})

    def deltas(self, index: int, result: Result) -> list[dict[str, Any]]:
        """Chunks with what is sure by now; the first has the log-probabilities of all of it."""
        logprobs = self._logprobs(result)
        deltas = self._answers[index].feed(result["text"])
        if not deltas and logprobs is not None:
            deltas = [{"content": ""}]
        chunks = [_chunk(index, delta) for delta in deltas]
        for chunk in chunks[:1]:
            chunk["logprobs"] = logprobs
        return chunks

    def closing(self, index: int, result: Result) -> list[dict[str, Any]]:
        """Chunks with what was held back, and the one with the finish reason."""
        answer = self._answers[index]
        chunks = [_chunk(index, delta) for delta in answer.finish()]
        return [*chunks, _chunk(index, {}, **_end(answer, result))]

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


def _end(answer: Answer, result: Result) -> dict[str, Any]:
    """Why a choice ended, and what it promises."""
    reason, matched = finish_reason(result["meta_info"])
    return {
        "finish_reason": "tool_calls" if answer.calls and reason == "stop" else reason,
        "matched_stop": matched,
        **promises(result["meta_info"]),
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
