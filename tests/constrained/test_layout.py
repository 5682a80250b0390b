"""Line breaks and indentation around the marks of JSON, on request and bounded."""

from __future__ import annotations

import json
import random
from typing import Any

import jsonschema
import pytest

from radixlm import constrained
from radixlm.constrained.auto_backend import Compiler
from radixlm.constrained.layout import MAX_INDENT, PropertyOrder
from radixlm.constrained.spec import GrammarSpec
from radixlm.constrained.vocab import Vocabulary

from .conftest import Accepts
from .test_closing import walk

VALUE: dict[str, Any] = {"name": "Ada", "tags": ["x", 1.5, None], "of": {"a": 1, "b": []}, "e": {}}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "tags": {"type": "array", "items": {"type": ["string", "number", "null"]}},
        "of": {"properties": {"a": {"type": "integer"}, "b": {"prefixItems": [{}]}}},
        "e": {"type": "object"},
    },
    "required": ["name"],
}
ORDERS: tuple[PropertyOrder, ...] = ("declared", "any")


def flexible(schema: Any, order: PropertyOrder = "declared") -> GrammarSpec:
    return GrammarSpec.json_schema(schema, whitespace="flexible", property_order=order)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("options", [{"indent": 2}, {"indent": 8}, {"indent": "\t"}, {}])
def test_what_json_writes_with_any_indentation_is_taken(
    options: dict[str, Any], order: PropertyOrder, accepts: Accepts, xgrammar_accepts: Accepts
) -> None:
    text = json.dumps(VALUE, **options)
    assert accepts(flexible(SCHEMA, order), text)
    assert xgrammar_accepts(flexible(SCHEMA, order), text)
    assert accepts(GrammarSpec.json_schema(SCHEMA), text) is (options == {})


@pytest.mark.parametrize("order", ORDERS)
def test_blanks_are_bounded_everywhere_and_absent_around_the_text(
    order: PropertyOrder, accepts: Accepts, xgrammar_accepts: Accepts
) -> None:
    most = "\n" + " \t" * (MAX_INDENT // 2)
    pieces = ["{", '"name"', ":", '"x"', ",", '"tags"', ":", "[", "1", ",", "null", "]", "}"]
    for taker in (accepts, xgrammar_accepts):
        assert taker(flexible(SCHEMA, order), most.join(pieces))
        for at in range(1, len(pieces)):
            for beyond in (most + " ", "\n\n", " \n", "\r"):
                text = "".join(pieces[:at]) + beyond + "".join(pieces[at:])
                assert not taker(flexible(SCHEMA, order), text), text
        for text in (" {}", "{} ", "{}\n"):
            assert not taker(flexible({"type": "object"}, order), text)
        assert taker(flexible({"type": "object"}, order), "{ }")
        assert not taker(flexible({"type": "array"}, order), f"[{most}{most}]")


def test_any_object_may_be_indented(accepts: Accepts) -> None:
    text = json.dumps(VALUE, indent=4)
    assert accepts(GrammarSpec.json_schema("$$ANY$$", whitespace="flexible"), text)
    assert accepts(GrammarSpec.json_object(whitespace="flexible"), text)
    assert not accepts(GrammarSpec.json_object(), text)


def test_values_are_held_to_the_schema_all_the_same(accepts: Accepts) -> None:
    spec = flexible({"items": {"type": "integer", "minimum": 3}, "type": "array", "maxItems": 2})
    assert accepts(spec, "[\n  3,\n  44\n]")
    assert not accepts(spec, "[\n  3,\n  2\n]")
    assert not accepts(spec, "[ 3, 4, 5 ]")
    assert not accepts(spec, "[ 3 4 ]")


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("seed", range(3))
def test_texts_are_whole_at_every_budget(
    seed: int, order: PropertyOrder, vocabulary: Vocabulary
) -> None:
    schema = {**SCHEMA, "required": ["of", "name", "e"]}
    grammar = Compiler(vocabulary).compile(flexible(schema, order))
    minimum = grammar.completion.minimum
    assert minimum is not None
    compact = Compiler(vocabulary).compile(GrammarSpec.json_schema(schema)).completion.minimum
    assert compact is not None
    assert minimum.tokens <= compact.tokens
    rng = random.Random(seed)
    for more in (0, 1, 7, 30):
        text = walk(grammar, vocabulary, minimum.tokens + more, rng)
        jsonschema.validate(json.loads(text), schema)


def test_compile_takes_a_layout(byte_vocabulary: Vocabulary) -> None:
    grammar, contract = constrained.compile(
        SCHEMA, byte_vocabulary, whitespace="flexible", property_order="any"
    )
    assert contract.is_enforced
    match = grammar.matcher()
    assert all(match.accept(byte) for byte in b'{\n  "tags": [],\n  "name": ""\n}')
    assert match.is_accepting
