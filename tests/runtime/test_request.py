from __future__ import annotations

import json
from typing import Any

import pydantic
import pytest

from radixlm.constrained.errors import GrammarError
from radixlm.runtime.errors import InvalidRequestError
from radixlm.runtime.request import SamplingParams, sampling_params


class City(pydantic.BaseModel):
    name: str


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (None, SamplingParams()),
        ({}, SamplingParams()),
        ({"temperature": None, "stop": None, "regex": None}, SamplingParams()),
        ({"max_new_tokens": None}, SamplingParams(max_new_tokens=None)),
        ({"max_tokens": 3, "min_tokens": 1, "seed": 9}, sampling_params(
            {"max_new_tokens": 3, "min_new_tokens": 1, "sampling_seed": 9})),
        ({"stop": "x"}, SamplingParams(stop=("x",))),
        ({"stop": ["x", "", None]}, SamplingParams(stop=("x",))),
        ({"stop_token_ids": [None, 5]}, SamplingParams(stop_token_ids=(5,))),
        ({"stop_token_ids": [0]}, SamplingParams(stop_token_ids=(0,))),
        ({"stop_token_ids": 5}, SamplingParams(stop_token_ids=(5,))),
        ({"logit_bias": {"5": 1}}, SamplingParams(logit_bias={5: 1.0})),
        ({"stop_regex": None, "structural_tag": None}, SamplingParams()),
        ({"stop_regex": "a"}, SamplingParams(stop_regex=("a",))),
        ({"stop_regex": ["a", None]}, SamplingParams(stop_regex=("a",))),
        ({"temperature": 1}, SamplingParams(temperature=1.0)),
    ],
)  # fmt: skip
def test_how_users_write_parameters(fields: Any, expected: SamplingParams) -> None:
    assert sampling_params(fields) == expected


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"temprature": 1}, "no sampling parameter is named 'temprature'; known: max_new_tokens"),
        ({"stop_regex": 5}, "stop_regex"),
        ({"temperature": "hot"}, r"Expected `float`, got `str` - at `\$.temperature`"),
        ({"max_new_tokens": 1.5}, "max_new_tokens"),
        ({"max_new_tokens": True}, "max_new_tokens"),
        ({"stop": 5}, "stop"),
        ({"stop": [5]}, "stop"),
        ({"stop": {"a": 1}}, "stop"),
        ({"stop_token_ids": "a"}, "stop_token_ids"),
        ({"stop_token_ids": 1.5}, "stop_token_ids"),
        ({"logit_bias": {"x": 1}}, "logit_bias: a key is no token id"),
        ({"logit_bias": {None: 1}}, "logit_bias: a key is no token id"),
        ({"logit_bias": {"1": "x"}}, "logit_bias"),
        ({"n": "2"}, "n"),
        ({"regex": 5}, "regex"),
    ],
)  # fmt: skip
def test_wrong_names_and_types_are_named(fields: dict[Any, Any], message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        sampling_params(fields)


@pytest.mark.parametrize(
    ("name", "bad", "good"),
    [
        ("max_new_tokens", [-1], [0, 1, None]),
        ("min_new_tokens", [-1, 129], [0, 128]),
        ("temperature", [-0.1, float("inf"), float("nan")], [0, 1e-9, 5]),
        ("top_p", [0, -1, 1.01, float("nan")], [1, 0.01]),
        ("top_k", [0, -2], [-1, 1, 10**9]),
        ("min_p", [-0.1, 1.1], [0, 1]),
        ("frequency_penalty", [-2.1, 2.1, float("nan")], [-2, 2]),
        ("presence_penalty", [-2.1, 2.1], [-2, 2]),
        ("repetition_penalty", [0, -1, 2.1], [0.01, 2]),
        ("n", [0, -1, 129], [1, 128]),
        ("stop", [["x"] * 65], [["x"] * 64]),
        ("stop_token_ids", [[100], [-1]], [[0, 99]]),
        ("logit_bias", [{100: 1}, {-1: 1}, {1: float("nan")}, {1: float("inf")}], [{99: -100}]),
        ("sampling_seed", [-1, 1 << 63], [0, (1 << 63) - 1]),
    ],
)
def test_ranges(name: str, bad: list[Any], good: list[Any]) -> None:
    for value in bad:
        with pytest.raises(InvalidRequestError, match=f"{name} is .*; it must be"):
            sampling_params({name: value}).verify(vocab_size=100)
    for value in good:
        sampling_params({name: value}).verify(vocab_size=100)


def test_only_one_constraint() -> None:
    with pytest.raises(InvalidRequestError, match="only one of regex, ebnf can constrain"):
        sampling_params({"regex": "a", "ebnf": 'root ::= "a"'}).verify(100)


@pytest.mark.parametrize("schema", [{"type": "integer"}, '{"type": "integer"}', City, True])
def test_a_schema_may_be_a_dict_text_or_a_model(schema: Any) -> None:
    params = sampling_params({"json_schema": schema})
    params.verify(100)
    assert params.json_schema is not None
    json.loads(params.json_schema)


@pytest.mark.parametrize(
    "fields", [{"json_schema": "{"}, {"json_schema": {"type": {1, 2}}}, {"regex": "\ud800"}]
)
def test_a_malformed_constraint_is_a_grammar_error(fields: dict[str, Any]) -> None:
    with pytest.raises(GrammarError):
        sampling_params(fields).verify(100)


@pytest.mark.parametrize(
    ("fields", "greedy"),
    [({}, False), ({"temperature": 0}, True), ({"top_k": 1}, True), ({"temperature": 1e-5}, False)],
)
def test_what_is_greedy(fields: dict[str, Any], greedy: bool) -> None:
    assert sampling_params(fields).is_greedy is greedy


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        ("(", "stop_regex: missing \\)"),
        ("a*", "stop_regex: the stop_regex 'a\\*' cannot end a text: it matches nothing"),
        (["a"] * 9, "stop_regex is 9; it must be at most 8 patterns"),
    ],
)
def test_a_stop_pattern_that_cannot_end_a_text_is_an_invalid_request(
    patterns: Any, message: str
) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        sampling_params({"stop_regex": patterns}).verify(100)


def test_a_large_schema_is_left_as_it_is_to_who_compiles_it() -> None:
    schema = {"type": "object", "properties": {"a": {"const": 1}}}
    small = SamplingParams(json_schema=json.dumps(schema, indent=1)).grammar()
    assert small is not None
    assert json.loads(small.source) == {**schema, "additionalProperties": False}
    text = json.dumps({**schema, "description": "x" * 5_000}, indent=1)
    large = SamplingParams(json_schema=text).grammar()
    assert large is not None
    assert large.source == text
    assert json.loads(large.checked().source)["additionalProperties"] is False
    broken = SamplingParams(json_schema=text[:-1]).grammar()
    assert broken is not None
    with pytest.raises(GrammarError, match="not JSON"):
        broken.checked()
    with pytest.raises(GrammarError, match="at most 262,144"):
        SamplingParams(json_schema=" " * 300_000).grammar()
