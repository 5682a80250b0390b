"""Text completions: a prompt in, its continuation out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..desk.desk import Desk
from ..desk.generate import GenerateRequest
from ..errors import InvalidRequestError
from .openai_fields import check_fields, finish_reason, promises, sampling_fields

OWN = frozenset({"prompt", "echo", "best_of"})
DEFAULT_MAX_TOKENS = 16
Result = dict[str, Any]


class Completion:
    """One request to `/v1/completions`."""

    object_name = "text_completion"
    chunk_name = "text_completion"

    def __init__(self, desk: Desk, fields: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
        check_fields(fields, OWN)
        if fields.get("best_of") not in (None, fields.get("n") or 1):
            raise InvalidRequestError("best_of is not supported yet, except equal to n")
        self._desk = desk
        self._fields = fields
        self._defaults = defaults
        self._prompts = self._read_prompts(fields.get("prompt"))
        self._samples = fields.get("n") or 1
        self._offsets: dict[int, int] = {}  # of each choice: text sent so far

    def _read_prompts(self, prompt: Any) -> list[list[int]]:
        encode = self._desk.tokenizer.encode
        if isinstance(prompt, str):
            return [encode(prompt)]
        if isinstance(prompt, list) and prompt:
            if all(isinstance(item, int) for item in prompt):
                return [prompt]
            if all(isinstance(item, str) for item in prompt):
                return [encode(item) for item in prompt]
            if all(isinstance(item, list) for item in prompt):
                return prompt
        raise InvalidRequestError(
            "prompt must be a string, a list of strings, or token ids, and not empty"
        )

    def request(self) -> GenerateRequest:
        """The native request."""
        fields = self._fields
        logprobs = fields.get("logprobs")
        echo = bool(fields.get("echo"))
        defaults = {"max_new_tokens": DEFAULT_MAX_TOKENS, **self._defaults}
        return GenerateRequest.of(
            {
                "input_ids": list(self._prompts),
                "sampling_params": sampling_fields(fields, defaults),
                "rid": fields.get("rid"),
                "return_logprob": logprobs is not None,
                "logprob_start_len": 0 if echo and logprobs is not None else -1,
                "top_logprobs_num": logprobs or 0,
                "return_text_in_logprobs": True,
                "priority": fields.get("priority"),
                "timeout_s": fields.get("timeout_s"),
                "extra_key": fields.get("extra_key") or fields.get("cache_salt"),
                "return_contract": fields.get("return_contract"),
            }
        )

    def _echo(self, index: int) -> str:
        if not self._fields.get("echo"):
            return ""
        return self._desk.tokenizer.decode(self._prompts[index // self._samples])

    def choice(self, index: int, result: Result) -> dict[str, Any]:
        """A finished choice."""
        reason, matched = finish_reason(result["meta_info"])
        return {
            "index": index,
            "text": self._echo(index) + result["text"],
            "logprobs": self._logprobs(index, result),
            "finish_reason": reason,
            "matched_stop": matched,
            **promises(result["meta_info"]),
        }

    def opening(self, index: int) -> dict[str, Any] | None:
        """The prompt, when it is to be echoed."""
        echo = self._echo(index)
        return _chunk(index, echo) if echo else None

    def deltas(self, index: int, result: Result) -> list[dict[str, Any]]:
        """A chunk with text."""
        return [_chunk(index, result["text"], logprobs=self._logprobs(index, result))]

    def closing(self, index: int, result: Result) -> list[dict[str, Any]]:
        """The chunk with the finish reason."""
        reason, matched = finish_reason(result["meta_info"])
        promised = promises(result["meta_info"])
        return [_chunk(index, "", finish_reason=reason, matched_stop=matched, **promised)]

    def _logprobs(self, index: int, result: Result) -> dict[str, Any] | None:
        meta = result["meta_info"]
        if "output_token_logprobs" not in meta:
            return None
        entries = list(meta["output_token_logprobs"])
        tops = list(meta.get("output_top_logprobs") or [None] * len(entries))
        if self._fields.get("echo") and index not in self._offsets:
            inputs = meta["input_token_logprobs"]
            entries = [*inputs, *entries]
            tops = [*(meta.get("input_top_logprobs") or [None] * len(inputs)), *tops]
        offset = self._offsets.get(index, 0)
        offsets: list[int] = []
        for _, _, text in entries:
            offsets.append(offset)
            offset += len(text)
        self._offsets[index] = offset
        return {
            "tokens": [text for _, _, text in entries],
            "token_logprobs": [logprob for logprob, _, _ in entries],
            "top_logprobs": [
                None if top is None else {text: logprob for logprob, _, text in top} for top in tops
            ],
            "text_offset": offsets,
        }


def _chunk(index: int, text: str, **rest: Any) -> dict[str, Any]:
    return {
        "index": index,
        "text": text,
        "logprobs": None,
        "finish_reason": None,
        "matched_stop": None,
        **rest,
    }
