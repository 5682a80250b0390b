"""What the two OpenAI routes have in common: which fields they take, and what becomes of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..errors import InvalidRequestError

# Field of the request -> sampling parameter.
SAMPLING = {
    "max_tokens": "max_new_tokens",
    "max_completion_tokens": "max_new_tokens",
    "min_tokens": "min_new_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "n": "n",
    "stop": "stop",
    "stop_token_ids": "stop_token_ids",
    "stop_regex": "stop_regex",
    "seed": "sampling_seed",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "repetition_penalty": "repetition_penalty",
    "logit_bias": "logit_bias",
    "ignore_eos": "ignore_eos",
    "no_stop_trim": "no_stop_trim",
    "skip_special_tokens": "skip_special_tokens",
    "regex": "regex",
    "ebnf": "ebnf",
    "gbnf": "gbnf",
    "lark": "lark",
    "structural_tag": "structural_tag",
    "json_schema": "json_schema",
    "schema_mode": "schema_mode",
    "property_order": "property_order",
    "whitespace": "whitespace",
    "reasoning": "reasoning",
}
# Sampling parameters that say what a text may be.
CONSTRAINTS = ("regex", "ebnf", "gbnf", "lark", "structural_tag", "json_schema")
# Fields of the request itself, on both routes.
REQUEST = frozenset(
    {"model", "stream", "stream_options", "response_format", "rid", "priority", "timeout_s"}
    | {"extra_key", "cache_salt", "logprobs", "return_contract"}
)
# Fields that change no token: about the account, not the text.
IGNORED = frozenset(
    {"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"}
)


def check_fields(fields: Mapping[str, Any], own: frozenset[str]) -> None:
    """Refuse what would otherwise be dropped without a word.

    Raises:
        InvalidRequestError: a field that this server does not know or cannot honour, by name.
    """
    known = {*SAMPLING, *REQUEST, *IGNORED, *own}
    unknown = sorted(
        name for name, value in fields.items() if name not in known and value not in (None, [], {})
    )
    if unknown:
        raise InvalidRequestError(f"not supported by this server: {', '.join(unknown)}")


def sampling_fields(fields: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The sampling parameters of a request, over the model's own defaults.

    Raises:
        InvalidRequestError: a `response_format` that is malformed or not supported.
    """
    said = {SAMPLING[k]: v for k, v in fields.items() if k in SAMPLING and v is not None}
    return {**defaults, **said, **_response_format(fields.get("response_format"))}


def _response_format(wanted: Any) -> dict[str, Any]:
    if wanted is None:
        return {}
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    match kind:
        case "text":
            return {}
        case "json_object":
            return {"json_schema": "$$ANY$$"}
        case "json_schema":
            holder = wanted.get("json_schema")
            schema = holder.get("schema") if isinstance(holder, dict) else None
            if holder is None or schema is None:
                raise InvalidRequestError("response_format.json_schema.schema is missing")
            # Who says that it need not be strict takes what is checked for what is enforced.
            loose = {"schema_mode": "best_effort"} if holder.get("strict") is False else {}
            return {"json_schema": json.dumps(schema, ensure_ascii=False), **loose}
        case "structural_tag" | "regex" | "ebnf" | "gbnf" | "lark":
            source = wanted if kind == "structural_tag" else wanted.get(kind)
            if source is None:
                raise InvalidRequestError(f"response_format.{kind} is missing")
            return {kind: source}
        case _:
            raise InvalidRequestError(
                f"response_format.type is {kind!r}; it must be text, json_object, json_schema, "
                "structural_tag, regex, ebnf, gbnf or lark"
            )


def finish_reason(meta: Mapping[str, Any]) -> tuple[str | None, Any]:
    """`finish_reason` and `matched_stop` of a choice."""
    reason = meta["finish_reason"]
    return (None, None) if reason is None else (reason["type"], reason.get("matched"))


def promises(meta: Mapping[str, Any]) -> dict[str, Any]:
    """What a choice says of its schema: the contract, and what was found wrong at its close."""
    return {name: meta[name] for name in ("contract", "failures") if name in meta}


def usage_of(results: list[dict[str, Any]], samples: int) -> dict[str, Any]:
    """Count tokens over the choices; the prompt of several samples counts once."""
    metas = [result["meta_info"] for result in results]
    prompt = sum(meta["prompt_tokens"] for meta in metas[::samples])
    completion = sum(meta["completion_tokens"] for meta in metas)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {
            "cached_tokens": sum(m["cached_tokens"] for m in metas[::samples])
        },
    }


def wants_usage(fields: Mapping[str, Any]) -> bool:
    """Whether a stream ends with a usage chunk."""
    options = fields.get("stream_options")
    return bool(isinstance(options, dict) and options.get("include_usage"))
