"""Objects whose named properties come in any order."""

from __future__ import annotations

import itertools
import json
from typing import Any

import jsonschema
import pytest

from radixlm.constrained.auto_backend import Compiler
from radixlm.constrained.errors import LimitError, UnsupportedError
from radixlm.constrained.spec import GrammarSpec

from .conftest import Accepts

INNER = {"type": "object", "properties": {"x": {"const": 1}, "y": {"const": 2}}}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": INNER, "c": {"type": "null"}},
    "required": ["a", "d"],
}


def any_order(schema: Any) -> GrammarSpec:
    return GrammarSpec.json_schema(schema, property_order="any")


def test_every_order_of_every_choice_is_taken_and_no_other_document(
    accepts: Accepts, xgrammar_accepts: Accepts
) -> None:
    closed = {**SCHEMA, "properties": {**SCHEMA["properties"], "d": {"const": 0}}}
    closed["additionalProperties"] = False
    values: dict[str, Any] = {"a": 5, "b": {"y": 2, "x": 1}, "c": None, "d": 0, "e": 0}
    validator = jsonschema.Draft202012Validator(closed)
    for size in range(5):
        for names in itertools.permutations(values, size):
            document = {name: values[name] for name in names}
            text = json.dumps(document, separators=(",", ":"))
            is_valid = validator.is_valid(document)
            assert accepts(any_order(closed), text) is is_valid, text
            assert xgrammar_accepts(any_order(closed), text) is is_valid, text


def test_what_is_only_required_has_no_place_either_and_others_come_last(accepts: Accepts) -> None:
    assert accepts(any_order(SCHEMA), '{"d":[],"a":1,"zzz":1}')
    assert not accepts(any_order(SCHEMA), '{"zzz":1,"d":[],"a":1}')
    assert not accepts(GrammarSpec.json_schema(SCHEMA), '{"d":[],"a":1}')


def test_definitions_and_alternatives_are_ordered_too(accepts: Accepts) -> None:
    node = {"properties": {"l": {"$ref": "#/$defs/n"}, "v": {"const": 1}}, "type": "object"}
    spec = any_order({"anyOf": [{"$ref": "#/$defs/n"}, {"type": "null"}], "$defs": {"n": node}})
    assert accepts(spec, '{"v":1,"l":{"l":{},"v":1}}')
    assert accepts(spec, "null")


def test_many_properties_and_conjunctions_are_refused(byte_auto: Compiler) -> None:
    many = {"properties": {f"p{index}": {} for index in range(6)}}
    with pytest.raises(LimitError, match="names 6 properties"):
        byte_auto.compile(any_order(many))
    either = [{"properties": {"c": {"const": 1}}, "required": ["c"]}, {"required": ["a"]}]
    both = {"properties": {"a": {}, "b": {}}, "anyOf": either}
    with pytest.raises(UnsupportedError, match="several schemas at once"):
        byte_auto.compile(any_order(both))
