"""What a request asks for: sampling parameters, and their rules."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from math import isfinite
from typing import Any, Literal, NewType

import msgspec

from ..constrained.layout import PropertyOrder, Whitespace
from ..constrained.spec import (
    ANY_JSON,
    GrammarSpec,
    Mode,
    Reasoning,
    schema_text,
    tag_text,
)
from ..ir.stop_patterns import check_stop_patterns
from .errors import InvalidRequestError

RequestId = NewType("RequestId", str)

MAX_STOPS = 64
MAX_STOP_PATTERNS = 8
MAX_SAMPLES = 128  # of one prompt (`n`)

# Constraints whose value is the source of a grammar of that kind, and all of them.
SOURCES: tuple[Literal["regex", "ebnf", "gbnf", "lark", "structural_tag"], ...] = (
    "regex",
    "ebnf",
    "gbnf",
    "lark",
    "structural_tag",
)
CONSTRAINTS = (*SOURCES, "json_schema", "choices")
ANYTHING = "(?s:.*)"  # the pattern of an answer that nothing constrains


class SamplingParams(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the next tokens are chosen. Names, defaults and ranges are SGLang's.

    `temperature` below 1e-6 is greedy. At most one of `CONSTRAINTS` is given.
    """

    max_new_tokens: int | None = 128  # None: up to the context's end
    min_new_tokens: int = 0
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = -1  # -1: the whole vocabulary
    min_p: float = 0.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    repetition_penalty: float = 1.0
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    stop_regex: tuple[str, ...] = ()  # patterns; see `ir/stop_patterns.py`
    ignore_eos: bool = False  # also switches `stop_token_ids` off
    no_stop_trim: bool = False
    skip_special_tokens: bool = True
    spaces_between_special_tokens: bool = True
    n: int = 1
    json_schema: str | None = None
    regex: str | None = None
    ebnf: str | None = None
    gbnf: str | None = None
    lark: str | None = None
    structural_tag: str | None = None  # JSON text
    choices: tuple[str, ...] | None = None
    schema_mode: Mode = "strict"  # of `json_schema`; best_effort: what no mask enforces is checked
    property_order: PropertyOrder = "declared"  # of `json_schema`'s objects
    whitespace: Whitespace = "compact"  # of `json_schema`'s text
    reasoning: Reasoning | None = None  # free text before what is constrained
    logit_bias: dict[int, float] = {}
    sampling_seed: int | None = None  # None: drawn from the engine's own seed

    @property
    def is_greedy(self) -> bool:
        """Whether the likeliest token is taken every time."""
        return self.temperature < 1e-6 or self.top_k == 1

    def grammar(self) -> GrammarSpec | None:
        """What the output must match, if anything.

        Raises:
            GrammarError: the constraint is malformed, as far as can be seen at once.
        """
        spec = self._answer()
        if self.reasoning is not None:
            spec = spec or GrammarSpec("regex", ANYTHING)
            spec = msgspec.structs.replace(spec, reasoning=self.reasoning)
        return None if spec is None else spec.admitted()

    def _answer(self) -> GrammarSpec | None:
        """What the output must match, behind any reasoning; unchecked."""
        if self.json_schema == ANY_JSON:
            return GrammarSpec.json_object(whitespace=self.whitespace)
        if self.json_schema is not None:
            return GrammarSpec(
                "json_schema",
                self.json_schema,
                self.schema_mode,
                property_order=self.property_order,
                only_named=True,
                whitespace=self.whitespace,
            )
        if self.choices is not None:
            return GrammarSpec("choices", json.dumps(self.choices, ensure_ascii=False))
        for kind in SOURCES:
            if (source := getattr(self, kind)) is not None:
                return GrammarSpec(kind, source)
        return None

    def verify(self, vocab_size: int) -> None:
        """Check every range.

        Raises:
            InvalidRequestError: the first value out of range, with its name and what is allowed.
            GrammarError: the constraint is malformed.
        """
        limit = self.max_new_tokens
        rules: tuple[tuple[str, Any, bool, str], ...] = (
            ("max_new_tokens", limit, limit is None or limit >= 0, "at least 0, or null"),
            (
                "min_new_tokens",
                self.min_new_tokens,
                self.min_new_tokens >= 0 and (limit is None or self.min_new_tokens <= limit),
                "between 0 and max_new_tokens",
            ),
            ("temperature", self.temperature, 0 <= self.temperature < float("inf"), "at least 0"),
            ("top_p", self.top_p, 0 < self.top_p <= 1, "in (0, 1]"),
            ("top_k", self.top_k, self.top_k == -1 or self.top_k >= 1, "at least 1, or -1 for all"),
            ("min_p", self.min_p, 0 <= self.min_p <= 1, "in [0, 1]"),
            (
                "frequency_penalty",
                self.frequency_penalty,
                -2 <= self.frequency_penalty <= 2,
                "in [-2, 2]",
            ),
            (
                "presence_penalty",
                self.presence_penalty,
                -2 <= self.presence_penalty <= 2,
                "in [-2, 2]",
            ),
            (
                "repetition_penalty",
                self.repetition_penalty,
                0 < self.repetition_penalty <= 2,
                "in (0, 2]",
            ),
            ("n", self.n, 1 <= self.n <= MAX_SAMPLES, f"between 1 and {MAX_SAMPLES}"),
            ("stop", len(self.stop), len(self.stop) <= MAX_STOPS, f"at most {MAX_STOPS} strings"),
            (
                "stop_regex",
                len(self.stop_regex),
                len(self.stop_regex) <= MAX_STOP_PATTERNS,
                f"at most {MAX_STOP_PATTERNS} patterns",
            ),
            (
                "stop_token_ids",
                self.stop_token_ids,
                all(0 <= token < vocab_size for token in self.stop_token_ids),
                f"ids below the vocabulary's {vocab_size}",
            ),
            (
                "logit_bias",
                self.logit_bias,
                all(
                    0 <= token < vocab_size and isfinite(bias)
                    for token, bias in self.logit_bias.items()
                ),
                f"a map from ids below the vocabulary's {vocab_size} to finite numbers",
            ),
            (
                "sampling_seed",
                self.sampling_seed,
                self.sampling_seed is None or 0 <= self.sampling_seed < 1 << 63,
                "in [0, 2**63)",
            ),
        )
        for name, value, holds, allowed in rules:
            if not holds:
                raise InvalidRequestError(f"{name} is {value!r}; it must be {allowed}")
        given = [name for name in CONSTRAINTS if getattr(self, name) is not None]
        if len(given) > 1:
            raise InvalidRequestError(f"only one of {', '.join(given)} can constrain a generation")
        try:
            check_stop_patterns(self.stop_regex)
        except (re.error, ValueError) as error:
            raise InvalidRequestError(f"stop_regex: {error}") from error
        self.grammar()


_ALIASES = {"max_tokens": "max_new_tokens", "min_tokens": "min_new_tokens", "seed": "sampling_seed"}
# Fields of SGLang that change nothing here when unset, and are refused when set.
_UNSUPPORTED = ("custom_params", "stream_interval")


def sampling_params(fields: Mapping[str, Any] | SamplingParams | None) -> SamplingParams:
    """Read sampling parameters as users write them: nulls mean the default, `stop` and
    `stop_regex` may be one string.

    Raises:
        InvalidRequestError: an unknown key, or a value of the wrong type, by name.
        GrammarError: `json_schema` is no JSON Schema.
    """
    if isinstance(fields, SamplingParams):
        return fields
    values: dict[str, Any] = {}
    for key, value in (fields or {}).items():
        name = _ALIASES.get(key, key)
        if name in _UNSUPPORTED:
            if value not in (None, [], ()):
                raise InvalidRequestError(f"{key} is not supported yet; leave it out")
        elif name not in SamplingParams.__struct_fields__:
            known = ", ".join(SamplingParams.__struct_fields__)
            raise InvalidRequestError(f"no sampling parameter is named {key!r}; known: {known}")
        elif value is not None or name == "max_new_tokens":
            values[name] = value
    for name in ("stop", "stop_regex"):
        if isinstance(values.get(name), str):
            values[name] = (values[name],)
    if isinstance(values.get("stop_token_ids"), int):
        values["stop_token_ids"] = (values["stop_token_ids"],)
    for name in (
        "stop",
        "stop_token_ids",
        "stop_regex",
    ):  # nulls and empty strings in them mean nothing
        if isinstance(values.get(name), list | tuple):
            values[name] = [item for item in values[name] if item not in (None, "")]
    if "logit_bias" in values and isinstance(values["logit_bias"], Mapping):
        values["logit_bias"] = _token_keys(values["logit_bias"])
    if not isinstance(values.get("json_schema", ""), str):  # a dict or a pydantic model class
        values["json_schema"] = schema_text(values["json_schema"])
    if not isinstance(values.get("structural_tag", ""), str):
        values["structural_tag"] = tag_text(values["structural_tag"])
    try:
        return msgspec.convert(values, SamplingParams, strict=True)
    except msgspec.ValidationError as error:
        raise InvalidRequestError(f"sampling parameters: {error}") from error


def _token_keys(bias: Mapping[Any, Any]) -> dict[int, Any]:
    try:
        return {int(token): value for token, value in bias.items()}
    except (TypeError, ValueError) as error:
        raise InvalidRequestError(f"logit_bias: a key is no token id: {error}") from error
