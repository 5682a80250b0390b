"""Conjunctions written as one schema, against a validator."""

from __future__ import annotations

import itertools
import random
from typing import Any

import jsonschema
import pytest

from radixlm.constrained.loose import loosened
from radixlm.constrained.normal.joined import joined

PARTS: list[Any] = [
    {"type": "object"},
    {"type": ["object", "integer", "null"]},
    {"type": "number"},
    {"type": "string"},
    {"properties": {"a": {"type": "integer"}}},
    {"properties": {"a": {"minimum": 2}, "b": {"type": "null"}}, "required": ["a"]},
    {"required": ["b", "a"]},
    {"additionalProperties": {"type": "integer"}},
    {"properties": {"b": True}, "additionalProperties": False},
    {"minProperties": 1},
    {"maxProperties": 1},
    {"minimum": 1, "maximum": 5},
    {"minimum": 3},
    {"multipleOf": 2},
    {"minItems": 1},
    {"items": {"type": "integer"}},
    {"items": {"maximum": 2}, "maxItems": 2},
    {"prefixItems": [{"type": "integer"}]},
    {"enum": [1, 4, "b", None, {"a": 2}]},
    {"const": 4},
    {"pattern": "^b"},
    {"maxLength": 1},
    {"anyOf": [{"type": "integer"}, {"type": "object", "required": ["b"]}]},
    {"anyOf": [{"minimum": 4}, {"enum": ["b", 0]}]},
    {"$ref": "#/$defs/d"},
    True,
]
VALUES: list[Any] = [
    *(None, True, 0, 1, 2, 3.5, 4, 6, "", "b", "bb", "a"),
    *([], [1], [3], ["b"], [1, 2], [2, 2, 2]),
    *({}, {"a": 1}, {"a": 2}, {"a": 4, "b": None}, {"b": None}, {"b": 1, "c": 2}, {"a": "x"}),
]
DEFINITIONS = {"d": {"type": ["object", "integer"], "maxProperties": 1}}


def taken(core: Any) -> list[bool]:
    if isinstance(core, dict):
        core = {**core, "$defs": DEFINITIONS}
    validator = jsonschema.Draft202012Validator(core)
    return [validator.is_valid(value) for value in VALUES]


def conjunctions() -> list[Any]:
    pairs = [{"allOf": list(pair)} for pair in itertools.permutations(PARTS, 2)]
    rng = random.Random(0)
    triples = [{"allOf": rng.sample(PARTS, 3)} for _ in range(60)]
    nested = [{"items": one, "anyOf": [one, {"type": "null"}]} for one in rng.sample(triples, 20)]
    return [*rng.sample(pairs, 150), *triples, *nested]


def test_a_conjunction_that_is_joined_takes_the_same_values() -> None:
    fewer = 0
    for core in conjunctions():
        one = joined(core)
        assert taken(one) == taken(core), (core, one)
        fewer += isinstance(one, bool) or "allOf" not in one
    assert fewer > 80


def test_what_is_called_exact_takes_the_same_values() -> None:
    exact = 0
    for core in conjunctions():
        near, is_exact = loosened({**core, "$defs": DEFINITIONS})
        if is_exact:
            assert taken(near) == taken(core), (core, near)
            exact += 1
    assert exact > 80


@pytest.mark.parametrize(
    ("parts", "whole"),
    [
        (
            [{"type": "object"}, {"properties": {"a": True}, "required": ["a"]}],
            {"properties": {"a": True}, "required": ["a"], "type": "object"},
        ),
        ([{"type": "integer"}, {"enum": [1, "a", 2.5]}], {"enum": [1]}),
        ([{"type": "string"}, {"type": "null"}], False),
        ([{"minItems": 2}, {"minItems": 3}, {"type": "array"}], {"minItems": 3, "type": "array"}),
    ],
)
def test_joined_schemas_look_as_one_would_write_them(parts: list[Any], whole: Any) -> None:
    assert joined({"allOf": parts}) == whole
