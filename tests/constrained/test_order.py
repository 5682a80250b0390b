"""Objects whose named properties come in any order."""

from __future__ import annotations

import itertools
import json
import random
from typing import Any

import jsonschema
import pytest

from radixlm.constrained.auto_backend import Compiler
from radixlm.constrained.errors import LimitError, UnsatisfiableError, UnsupportedError
from radixlm.constrained.numbers import FINITE
from radixlm.constrained.outline import outline
from radixlm.constrained.spec import GrammarSpec
from radixlm.constrained.vocab import Vocabulary
from radixlm.constrained.xgrammar_backend import Compiler as XGrammar

from .conftest import Accepts
from .test_closing import walk

INNER = {"type": "object", "properties": {"x": {"const": 1}, "y": {"const": 2}}}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": INNER, "c": {"type": "null"}},
    "required": ["a", "d"],
}
VALUES: dict[str, Any] = {"a": 5, "b": {"y": 2, "x": 1}, "c": None, "d": 0, "e": 0}


def any_order(schema: Any) -> GrammarSpec:
    return GrammarSpec.json_schema(schema, property_order="any")


def of_names(count: int, required: int) -> dict[str, Any]:
    names = [f"p{index}" for index in range(count)]
    return {
        "type": "object",
        "properties": {name: {"type": "boolean"} for name in names},
        "required": names[:required],
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    "changed",
    [
        {"additionalProperties": False, "required": ["a"]},
        {"required": []},
        {"required": ["c"], "minProperties": 2, "maxProperties": 3},
        {"required": [], "minProperties": 2, "additionalProperties": False},
        {"maxProperties": 2},
        {"required": [], "maxProperties": 0},
        {"properties": {**SCHEMA["properties"], "d": False}, "required": ["b"]},
        {
            "patternProperties": {"^d|e": {"maximum": 0}},
            "additionalProperties": False,
            "required": ["e"],
        },
    ],
)
def test_every_order_of_every_choice_is_taken_and_no_other_document(
    changed: dict[str, Any], byte_auto: Compiler
) -> None:
    schema = {**SCHEMA, **changed}
    # What the walk over schemas counts differently is no matter of order.
    grammar = byte_auto.compile(
        GrammarSpec.json_schema(schema, property_order="any", mode="best_effort")
    )
    validator = jsonschema.Draft202012Validator(schema)
    named = {*schema["properties"], *schema["required"]}
    for size in range(6):
        for names in itertools.permutations(VALUES, size):
            others = [name not in named for name in names]
            if others != sorted(others):
                continue  # what is not named comes last
            document = {name: VALUES[name] for name in names}
            text = json.dumps(document, separators=(",", ":"))
            match = grammar.matcher()
            is_taken = all(match.accept(byte) for byte in text.encode()) and match.is_accepting
            is_valid = validator.is_valid(document)
            assert (is_taken and not grammar.check(text)) is is_valid, text


def test_both_back_ends_take_the_same(accepts: Accepts, xgrammar_accepts: Accepts) -> None:
    closed = {**SCHEMA, "properties": {**SCHEMA["properties"], "d": {"const": 0}}}
    closed["additionalProperties"] = False
    validator = jsonschema.Draft202012Validator(closed)
    for size in range(5):
        for names in itertools.permutations(VALUES, size):
            document = {name: VALUES[name] for name in names}
            text = json.dumps(document, separators=(",", ":"))
            is_valid = validator.is_valid(document)
            assert accepts(any_order(closed), text) is is_valid, text
            assert xgrammar_accepts(any_order(closed), text) is is_valid, text


def test_what_is_only_required_has_no_place_either_and_others_come_last(accepts: Accepts) -> None:
    assert accepts(any_order(SCHEMA), '{"d":[],"a":1,"zzz":1}')
    assert not accepts(any_order(SCHEMA), '{"zzz":1,"d":[],"a":1}')
    assert not accepts(any_order(SCHEMA), '{"d":[],"a":1,"a":1}')
    assert not accepts(GrammarSpec.json_schema(SCHEMA), '{"d":[],"a":1}')


def test_definitions_alternatives_and_lists_are_ordered_too(accepts: Accepts) -> None:
    node = {"properties": {"l": {"$ref": "#/$defs/n"}, "v": {"const": 1}}, "type": "object"}
    some = {"type": "array", "prefixItems": [{}, {"$ref": "#/$defs/n"}], "minItems": 1}
    options = [{"$ref": "#/$defs/n"}, {"type": "null"}, some]
    spec = any_order({"anyOf": options, "$defs": {"n": node}})
    assert accepts(spec, '{"v":1,"l":{"l":{},"v":1}}')
    assert accepts(spec, "null")
    assert accepts(spec, '[[],{"v":1,"l":{}},{"any":1}]')
    assert not accepts(spec, "[]")
    assert not accepts(spec, '[[],{"v":2}]')


def test_a_conjunction_that_is_one_schema_in_each_case_is_taken(accepts: Accepts) -> None:
    either = [{"properties": {"c": {"const": 1}}, "required": ["c"]}, {"required": ["a"]}]
    both = any_order({"type": "object", "properties": {"a": {}, "b": {}}, "anyOf": either})
    assert accepts(both, '{"b":0,"c":1}')
    assert accepts(both, '{"b":0,"a":2,"c":3}')
    assert not accepts(both, '{"b":0,"c":3}')


@pytest.mark.parametrize(("count", "required"), [(12, 12), (40, 10), (64, 0)])
def test_many_properties_are_taken_in_a_random_order_each_once(
    count: int, required: int, accepts: Accepts
) -> None:
    schema = any_order(of_names(count, required))
    names = [f"p{index}" for index in range(count)]
    random.Random(count).shuffle(names)
    assert accepts(schema, json.dumps(dict.fromkeys(names, True)))
    assert not accepts(
        schema, json.dumps(dict.fromkeys(names, True))[:-1] + f', "{names[3]}": true}}'
    )
    missing = [name for name in names if name != "p0"]
    assert accepts(schema, json.dumps(dict.fromkeys(missing, True))) is (required == 0)


@pytest.mark.parametrize(("count", "required"), [(3, 1), (8, 8), (11, 3), (12, 12)])
def test_they_are_whole_at_every_budget_from_the_minimum(
    count: int, required: int, vocabulary: Vocabulary
) -> None:
    schema = of_names(count, required)
    grammar = Compiler(vocabulary).compile(any_order(schema))
    minimum = grammar.completion.minimum
    assert minimum is not None
    rng = random.Random(count)
    for more in (0, 1, 5, 20, 60):
        text = walk(grammar, vocabulary, minimum.tokens + more, rng)
        jsonschema.validate(json.loads(text), schema)


def test_what_cannot_be_held_is_refused(byte_auto: Compiler, byte_compiler: XGrammar) -> None:
    with pytest.raises(LimitError, match="names 65 properties"):
        byte_auto.compile(any_order(of_names(65, 0)))
    with pytest.raises(LimitError, match="EBNF holds 8 in any order"):
        byte_compiler.compile(any_order(of_names(9, 0)))
    pairs = [{"properties": {"a": {}, "b": {}}}, {"additionalProperties": {"type": "null"}}]
    with pytest.raises(UnsupportedError, match="several schemas at once"):
        byte_auto.compile(any_order({"allOf": [{"type": "object"}, *pairs]}))
    with pytest.raises(UnsupportedError, match="patternProperties beside other keys"):
        byte_auto.compile(any_order({**SCHEMA, "patternProperties": {"^x": {}}}))
    with pytest.raises(UnsatisfiableError):
        byte_auto.compile(any_order({**SCHEMA, "properties": {"a": False, "b": {}, "c": {}}}))


def test_the_recogniser_keeps_what_is_required_of_many_properties(
    byte_vocabulary: Vocabulary,
) -> None:
    spec = any_order(of_names(40, 6))
    read = outline(spec, json.loads(spec.source), FINITE, byte_vocabulary)
    assert read is not None
    assert not read.is_exact
    assert len(read.rules) < 2_000
