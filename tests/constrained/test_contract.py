"""What is promised of a schema, how it is said, and what is refused."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from radixlm import constrained
from radixlm.constrained import (
    GrammarError,
    GrammarSpec,
    LimitError,
    MalformedError,
    Status,
    UnsatisfiableError,
    UnsupportedError,
)
from radixlm.constrained.normal import normalise
from radixlm.constrained.normal.form import CORE
from radixlm.constrained.vocab import Vocabulary

from .conftest import Accepts

UNIQUE = {"type": "array", "items": {"type": "string"}, "uniqueItems": True}


def test_a_report_has_the_status_of_each_keyword_by_pointer() -> None:
    contract = normalise({"properties": {"a/b": UNIQUE}, "title": "t"}).contract
    found = {finding.pointer: finding.status for finding in contract}
    assert found == {
        "/properties": Status.ENFORCED,
        "/properties/a~1b/type": Status.ENFORCED,
        "/properties/a~1b/items": Status.ENFORCED,
        "/properties/a~1b/items/type": Status.ENFORCED,
        "/properties/a~1b/uniqueItems": Status.CHECKED,
    }
    assert contract.counts() == {"enforced": 4, "checked": 1, "refused": 0}
    assert contract.report().startswith("checked  /properties/a~1b/uniqueItems: the mask does not")


def test_strict_refuses_and_best_effort_checks(byte_vocabulary: Vocabulary) -> None:
    with pytest.raises(UnsupportedError, match="uniqueItems is not enforced") as caught:
        constrained.compile(UNIQUE, byte_vocabulary)
    assert caught.value.pointer == "/uniqueItems"
    assert caught.value.hint
    grammar, contract = constrained.compile(UNIQUE, byte_vocabulary, mode="best_effort")
    assert not contract.is_enforced
    assert grammar.check('["a","b"]') == []
    (failure,) = grammar.check('["a","a"]')
    assert failure.keyword == "/uniqueItems"


def test_an_enforced_schema_needs_no_check(byte_vocabulary: Vocabulary) -> None:
    for mode in ("strict", "best_effort"):
        grammar, contract = constrained.compile({"type": "string"}, byte_vocabulary, mode=mode)  # type: ignore[arg-type]
        assert contract.is_enforced
        assert grammar.check("anything") == []


def test_a_tokenizer_serves_as_vocabulary(tokenizer: PreTrainedTokenizerFast) -> None:
    grammar, _ = constrained.compile({"const": "x"}, tokenizer)
    assert grammar.matcher().forced() == '"x"'


def test_the_objects_of_a_type_are_closed(accepts: Accepts) -> None:
    @dataclass
    class Point:
        x: int

    spec = GrammarSpec.json_schema(Point)
    assert accepts(spec, '{"x":1}')
    assert not accepts(spec, '{"x":1,"y":2}')
    assert accepts(GrammarSpec.json_schema({"properties": {"x": {}}}), '{"x":1,"y":2}')


def test_a_core_schema_has_the_keywords_of_the_core_alone() -> None:
    schema = {
        "oneOf": [{"type": "string", "format": "date"}, {"$ref": "#/$defs/a"}],
        "$defs": {"a": {"if": {"required": ["x"]}, "then": {"not": {"minProperties": 3}}}},
    }

    def keywords(core: Any) -> set[str]:
        if isinstance(core, list):
            return set().union(*map(keywords, core))
        if not isinstance(core, dict):
            return set()
        maps = [v for k, v in core.items() if k in ("properties", "patternProperties", "$defs")]
        inner = [v for k, v in core.items() if k not in ("enum", "const", "properties", "$defs")]
        return set(core) | keywords(inner) | keywords([list(m.values()) for m in maps])

    assert keywords(normalise(schema).core) <= CORE


@pytest.mark.parametrize(
    ("schema", "pointer"),
    [
        ({"items": {"uniqueItems": True}}, "/items/uniqueItems"),
        ({"contains": {"type": "string"}}, "/contains"),
        ({"type": "object", "minProperties": 2}, "/minProperties"),
        ({"not": {"multipleOf": 7}}, "/not"),
        ({"not": {"type": "integer"}}, "/not"),
        ({"not": {"patternProperties": {"a": False}}}, "/not"),
        ({"oneOf": [{"multipleOf": 2}, {"multipleOf": 3}]}, "/oneOf"),
        ({"pattern": "a(?=b)"}, "/pattern"),
        ({"pattern": r"\ba"}, "/pattern"),
        ({"format": "regex"}, "/format"),
        ({"format": "idn-hostname"}, "/format"),
        ({"$ref": "http://example.com/a"}, "/$ref"),
        ({"minlength": 1}, "/minlength"),
        ({"maximum": 10**400}, "/maximum"),
        ({"patternProperties": {"a": {"const": 1}, "b": {}}}, "/patternProperties"),
        ({"anyOf": [{"$ref": "#/x"}], "unevaluatedProperties": False, "x": {}}, None),
    ],
)
def test_what_cannot_be_enforced_is_refused_by_pointer(
    byte_vocabulary: Vocabulary, schema: Any, pointer: str | None
) -> None:
    with pytest.raises(UnsupportedError) as caught:
        constrained.compile(schema, byte_vocabulary)
    assert pointer in (None, caught.value.pointer) or f"{pointer}/" in str(caught.value.pointer)


@pytest.mark.parametrize(
    ("schema", "error"),
    [
        ({"$ref": "#/$defs/a"}, MalformedError),
        ({"$ref": 1}, MalformedError),
        ({"type": "text"}, MalformedError),
        ({"type": [[]]}, MalformedError),
        ({"type": []}, MalformedError),
        ({"enum": 1}, MalformedError),
        ({"anyOf": {}}, MalformedError),
        ({"anyOf": [1]}, MalformedError),
        ({"properties": []}, MalformedError),
        ({"properties": {"a": 1}}, MalformedError),
        ({"required": "a"}, MalformedError),
        ({"minLength": -1}, MalformedError),
        ({"minLength": 1.5}, MalformedError),
        ({"minimum": "1"}, MalformedError),
        ({"multipleOf": 0}, MalformedError),
        ({"prefixItems": {}}, MalformedError),
        ({"pattern": 1}, MalformedError),
        ({"dependentRequired": {"a": [1]}}, MalformedError),
        (False, UnsatisfiableError),
        ({"enum": []}, UnsatisfiableError),
        ({"type": "integer", "const": "a"}, UnsatisfiableError),
        ({"type": "integer", "minimum": 2, "maximum": 1}, UnsatisfiableError),
        ({"type": "string", "minLength": 2, "maxLength": 1}, UnsatisfiableError),
        ({"type": "array", "items": False, "minItems": 1}, UnsatisfiableError),
        (
            {"type": "object", "properties": {"a": False}, "required": ["a"]},
            UnsatisfiableError,
        ),
        ({"not": {"$ref": "#"}}, GrammarError),
    ],
)
def test_a_bad_schema_is_a_grammar_error(
    byte_vocabulary: Vocabulary, schema: Any, error: type[GrammarError]
) -> None:
    with pytest.raises(error) as caught:
        constrained.compile(schema, byte_vocabulary)
    assert caught.value.kind == "json_schema"
    assert caught.value.pointer is not None


def test_a_misspelt_keyword_is_refused_with_the_right_one_and_others_are_annotations() -> None:
    contract = normalise({"min_length": 1, "items": {"type": "null"}}).contract
    (slip,) = contract.of(Status.REFUSED)
    assert (slip.pointer, slip.hint) == ("/min_length", "Did you mean minLength?")
    assert contract.counts()["enforced"] == 2  # what stands beside it is reported all the same
    assert normalise({"x-note": 1, "example": 2, "_format": "date"}).core == True  # noqa: E712


def test_a_rewrite_that_explodes_is_a_limit() -> None:
    layer: dict[str, Any] = {"type": "integer", "minimum": 1}
    for index in range(8):
        layer = {"oneOf": [{"properties": {f"p{index}": layer}}, {"items": layer}, {**layer}]}
    with pytest.raises(LimitError, match="unfolds"):
        normalise(layer)


def test_recursion_that_cannot_end_is_taken_out(accepts: Accepts) -> None:
    endless = {"type": "object", "properties": {"a": {"$ref": "#/$defs/e"}}, "required": ["a"]}
    spec = GrammarSpec.json_schema(
        {"type": "object", "properties": {"b": {"$ref": "#/$defs/e"}}, "$defs": {"e": endless}}
    )
    assert accepts(spec, "{}")
    assert not accepts(spec, '{"b":')
    assert not accepts(spec, '{"b":{"a":')


PAIR = {"properties": {"a": {"type": "integer"}, "b": {"items": {"type": "string"}}}}
CLOSED = {**PAIR, "required": ["a"], "additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "valid", "invalid"),
    [
        # The second has a key that the first cannot have: what breaks its value is no matter.
        (
            {"oneOf": [CLOSED, {**CLOSED, "properties": {"a": {"type": "integer"}}}]},
            ['{"a":1,"b":["x"]}'],
            ['{"a":1}', '{"b":[]}', '{"a":1,"c":2}'],
        ),
        # Both say the same of `a`, so that a number of another type satisfies neither.
        (
            {"type": "object", "oneOf": [{**PAIR, "required": ["x"]}, {**PAIR, "required": ["y"]}]},
            ['{"x":1}', '{"a":2,"y":0}'],
            ["{}", '{"x":1,"y":2}', '{"a":0.5,"x":1}', '{"b":[1],"x":1}', "3"],
        ),
        (
            {"type": "string", "not": {"type": "integer", "minimum": 3}},
            ['"x"', '""'],
            ["1", "4"],
        ),
        (
            {"type": "object", "not": {"items": {"type": "string"}, "required": ["a"]}},
            ["{}", '{"b":0}'],
            ['{"a":0}', "[]"],
        ),
        (
            {**CLOSED, "not": {"patternProperties": {"^b": {"maxItems": 1}}}},
            ['{"a":1,"b":["x","y"]}'],
            ['{"a":1}', '{"a":1,"b":["x"]}'],
        ),
        (
            {**CLOSED, "not": {"properties": {"a": True}, "additionalProperties": {"maxItems": 1}}},
            ['{"a":1,"b":["x","y"]}'],
            ['{"a":1}', '{"a":1,"b":["x"]}'],
        ),
        ({"type": "integer", "maximum": 2**63 + 192}, ["5", str(2**62)], ["0.5", str(2**65)]),
        ({"type": "integer", "not": {"maximum": 2**60 + 1}}, [str(2**61)], [str(2**60 + 1), "5"]),
    ],
)
def test_opposites_are_exact_where_what_stands_beside_them_leaves_few_values(
    schema: Any, valid: list[str], invalid: list[str], accepts: Accepts
) -> None:
    assert normalise(schema).contract.is_enforced
    for text in valid:
        assert accepts(GrammarSpec.json_schema(schema), text), text
    for text in invalid:
        assert not accepts(GrammarSpec.json_schema(schema), text), text


def test_what_matters_beside_an_opposite_is_not_passed_over() -> None:
    base = {"$id": "urn:a", "$defs": {"n": {"type": "integer"}}}
    other = {"$id": "urn:b", "$defs": {"n": {"type": "string"}}}
    same = {"properties": {"k": {"$ref": "#/$defs/n"}}}
    schema = {"type": "object", "oneOf": [{**base, **same}, {**other, **same}]}
    # The references look alike and mean different things: a number that is no integer remains.
    assert not normalise(json.loads(json.dumps(schema))).contract.is_enforced
    assert not normalise({"not": {"type": "integer"}}).contract.is_enforced
    assert not normalise({"type": "array", "not": {"items": {"type": "null"}}}).contract.is_enforced
