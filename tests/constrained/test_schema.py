"""Each keyword is enforced, as `jsonschema` sees it on many instances, or refused by pointer."""

from __future__ import annotations

import datetime
import enum
import json
import random
import re
import uuid
from typing import Annotated, Any, Literal

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel, ConfigDict, Field

from radixlm.constrained.bitmask import allocate_bitmask
from radixlm.constrained.errors import (
    GrammarError,
    LimitError,
    MalformedError,
    UnsatisfiableError,
    UnsupportedError,
)
from radixlm.constrained.keywords import REFUSED
from radixlm.constrained.schema import lower_schema
from radixlm.constrained.spec import GrammarSpec
from radixlm.constrained.strings import FORMATS
from radixlm.constrained.xgrammar_backend import Compiler

from .conftest import Accepts

INSTANCES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 5, 7, 10, 100, 1.5, 0.1, 5.5, -2.25),
    *(
        "",
        "a",
        "ab",
        "abc",
        "xabcx",
        "A",
        "\u00e9",
        'q"q',
        "a\\b",
        "a\nb",
        "\x00",
        "\U0001f600",
        "a/b",
    ),
    *([], [1], [1, 1], [1, 2], [1, 2, 3], ["a"], [1, "a"], ["a", 1], [None], [[1]], [1, "a", None]),
    *({}, {"a": 1}, {"a": "x"}, {"b": 1}, {"a": 1, "b": 2}, {"a": 1, "b": "x"}, {"a": 1, "c": 3}),
    *(
        {"c": 3},
        {"a": 1, "b": 2, "c": 3},
        {"x1": 1},
        {"x1": "s"},
        {"zz": "s"},
        {"a": None},
        {"a": {}},
    ),
    *({"a": {"a": 1}}, {"k": "circle", "r": 1}, {"k": "square", "w": 1}, {"k": "circle", "w": 1}),
    *({"a": True}, {"b": 1, "c": 1}, {"aa": 1}, {"": 1}, {'a"': 1}, {"a": [{"a": []}]}),
]
DEFS = {"n": {"type": "integer"}, "x/y": {"type": "string"}, "t": {"items": {"$ref": "#/$defs/t"}}}
CIRCLE = {"type": "object", "properties": {"k": {"const": "circle"}, "r": {}}, "required": ["k"]}
SQUARE = {"type": "object", "properties": {"k": {"enum": ["square"]}, "w": {}}, "required": ["k"]}
AB = {"a": {"type": "integer"}, "b": {}}

# Enforced exactly: up to the order of keys, what `jsonschema` calls valid is what is generated.
EXACT: list[Any] = [
    *(
        True,
        {},
        {"title": "t", "description": "d", "default": 1, "examples": [], "$comment": "c", "x-a": 1},
    ),
    *(
        {"type": "null"},
        {"type": "boolean"},
        {"type": "number"},
        {"type": "string"},
        {"type": "array"},
    ),
    *({"type": "object"}, {"type": ["string", "null"]}, {"type": ["integer", "number"]}),
    *(
        {"const": value}
        for value in (1, "a", None, True, 'q"q', "\x00", [1, 2], {"a": 1}, {"a": {}}, 0.1)
    ),
    *({"enum": [1, "a", None, [1], {"a": 1}]}, {"type": "integer", "enum": [1, "a"]}),
    {"enum": [1, 2, "a"], "const": 1},
    *({"type": "string", "minLength": 1}, {"type": "string", "maxLength": 1}),
    *({"type": "string", "minLength": 1, "maxLength": 2}, {"type": "string", "maxLength": 0}),
    *(
        {"type": "string", "pattern": p}
        for p in ("abc", "^abc$", "^a", "a$", "a.b", '"', "^[^a]*$", "")
    ),
    *({"type": "integer", "minimum": 1}, {"type": "number", "exclusiveMaximum": 5.5}),
    {"type": "integer", "minimum": 0, "maximum": 100, "multipleOf": 5},
    *(
        {"type": ["integer", "string"], "minimum": 5, "maxLength": 1},
        {"type": "null", "minimum": 5},
    ),
    *({"type": "array", "items": {"type": "integer"}}, {"type": "array", "items": False}),
    *({"type": "array", "minItems": n} for n in (0, 1, 3)),
    *({"type": "array", "maxItems": n} for n in (0, 1, 2)),
    {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2},
    {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}]},
    {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 2},
    {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "maxItems": 1},
    {"type": "array", "prefixItems": [{"type": "integer"}], "items": False},
    {"type": "array", "prefixItems": [{"type": "integer"}], "items": {"type": "string"}},
    {"type": "array", "prefixItems": [{"type": "integer"}, False]},
    {
        "type": "array",
        "prefixItems": [{}, {}],
        "items": {"type": "null"},
        "minItems": 1,
        "maxItems": 3,
    },
    *(
        {"type": "array", "uniqueItems": False},
        {"type": "array", "uniqueItems": True, "maxItems": 1},
    ),
    {"type": "object", "properties": AB, "additionalProperties": False},
    {"type": "object", "properties": AB, "additionalProperties": True},
    {"type": "object", "properties": AB, "additionalProperties": {"type": "string"}},
    {"type": "object", "properties": AB, "required": ["b"], "additionalProperties": True},
    {"type": "object", "properties": {"a": False}, "additionalProperties": True},
    *({"type": "object", "required": ["a"]}, {"type": "object", "additionalProperties": False}),
    {"type": "object", "additionalProperties": {"type": "integer"}},
    *({"type": "object", "minProperties": 1}, {"type": "object", "maxProperties": 1}),
    *(
        {"type": "object", "properties": {**AB, "c": {}}, "additionalProperties": False, **bounds}
        for bounds in (
            {"minProperties": 2},
            {"maxProperties": 1},
            {"minProperties": 1, "maxProperties": 2},
        )
    ),
    {
        "type": "object",
        "properties": AB,
        "minProperties": 1,
        "maxProperties": 2,
        "additionalProperties": {},
    },
    {
        "type": "object",
        "patternProperties": {"^x": {"type": "integer"}},
        "additionalProperties": False,
    },
    *(
        {"type": "object", "propertyNames": {"maxLength": 1}},
        {"type": "object", "propertyNames": False},
    ),
    *(
        {"type": "object", "propertyNames": {"enum": ["a"]}},
        {"type": "object", "propertyNames": {"pattern": "^a"}},
    ),
    {"anyOf": [{"type": "integer"}, {"type": "string", "maxLength": 1}, False]},
    *(
        {"oneOf": [{"type": "integer"}, {"type": "string"}]},
        {"oneOf": [{"const": 1}, {"const": "a"}]},
    ),
    *({"allOf": [{"type": "string"}]}, {"type": "array", "items": {"$ref": "#"}}),
    *({"$ref": "#/$defs/n", "$defs": DEFS}, {"$ref": "#/$defs/x~1y", "$defs": DEFS}),
    {"type": "object", "properties": {"a": {"$ref": "#"}}, "additionalProperties": False},
    {"type": "array", "items": {"anyOf": [{"type": "integer"}, {"$ref": "#"}]}},
]
# Enforced, and less than the schema allows: objects are closed, keywords imply their type.
NARROWER: list[Any] = [
    {
        "type": "object",
        "properties": {"a": {}},
        "required": ["c"],
        "additionalProperties": {"type": "integer"},
    },
    *(
        {"type": "object", "properties": AB},
        {"type": "object", "properties": AB, "required": ["a"]},
    ),
    *(
        {"properties": AB},
        {"items": {"type": "integer"}},
        {"minLength": 2},
        {"minimum": 2},
        {"pattern": "^a$"},
    ),
    *(
        {"oneOf": [CIRCLE, SQUARE]},
        {"type": "object", "patternProperties": {"^x": {"type": "integer"}}},
    ),
    *(
        {"minItems": 2},
        {"required": ["a"]},
        {"$ref": "#/$defs/t", "$defs": DEFS},
        {"type": "integer"},
    ),
]


@pytest.mark.parametrize("schema", EXACT, ids=json.dumps)
def test_enforced_means_accepted_exactly_when_valid(accepts: Accepts, schema: Any) -> None:
    spec, validator = GrammarSpec.json_schema(schema), Draft202012Validator(schema)
    for instance in INSTANCES:
        text = json.dumps(instance, ensure_ascii=False)
        assert accepts(spec, text) == validator.is_valid(instance), text


@pytest.mark.parametrize("schema", NARROWER, ids=json.dumps)
def test_narrower_means_never_accepted_when_invalid(accepts: Accepts, schema: Any) -> None:
    spec, validator = GrammarSpec.json_schema(schema), Draft202012Validator(schema)
    taken = [x for x in INSTANCES if accepts(spec, json.dumps(x, ensure_ascii=False))]
    assert taken
    assert all(map(validator.is_valid, taken))


def test_a_required_key_that_is_not_declared_comes_after_the_declared(accepts: Accepts) -> None:
    spec = GrammarSpec.json_schema({"properties": {"a": {}}, "required": ["c"]})
    assert accepts(spec, '{"a": 1, "c": 2}')
    assert not accepts(spec, '{"a": 1}')


@pytest.mark.parametrize(
    ("text", "is_json"),
    [
        ('"\\u0041"', False),  # one spelling a character
        ('"\\/"', False),
        ('"\\ud83d"', False),
        ('"\t"', False),
        ('"\\t\\u0001\x7f"', True),
        ('"\\u0009"', False),
    ],
)
@pytest.mark.parametrize("schema", [{"type": "string"}, {"type": "string", "maxLength": 9}])
def test_a_string_has_one_spelling(accepts: Accepts, schema: Any, text: str, is_json: bool) -> None:
    assert accepts(GrammarSpec.json_schema(schema), text) == is_json


@pytest.mark.parametrize(
    "bounds", [{"maxLength": 200}, {"minLength": 150}, {"minLength": 3, "maxLength": 128}]
)
def test_long_bounds_are_counted_exactly(accepts: Accepts, bounds: dict[str, int]) -> None:
    spec = GrammarSpec.json_schema({"type": "string", **bounds})
    low, high = bounds.get("minLength", 0), bounds.get("maxLength", 10**9)
    for length in [0, 2, 3, 128, 129, 149, 150, 200, 201]:
        assert accepts(spec, '"' + "\u00e9" * length + '"') == (low <= length <= high)
    # Beyond 128 characters a counted string holds no escapes.
    escaped = '"' + "\\n" * max(low, 1) + '"'
    assert accepts(spec, escaped) == (max(low, bounds.get("maxLength", 0)) <= 128)


def test_an_open_object_cannot_spell_a_declared_key_again(accepts: Accepts) -> None:
    spec = GrammarSpec.json_schema(
        {"properties": {"a": {"type": "integer"}, "ab": {}}, "additionalProperties": True}
    )
    assert accepts(spec, '{"a": 1, "abc": "x", "": 1, "b": 2}')
    for again in ['{"a": 1, "a": "x"}', '{"b": 1, "ab": 2}', '{"\\u0061": "x"}']:
        assert not accepts(spec, again)


@pytest.mark.parametrize(
    ("schema", "pointer", "error"),
    [
        *(({keyword: {}}, f"/{keyword}", UnsupportedError) for keyword in REFUSED),
        (
            {"properties": {"a/b": {"items": {"not": {}}}}},
            "/properties/a~1b/items/not",
            UnsupportedError,
        ),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"if": {}}}}, "/$defs/a/if", UnsupportedError),
        ({"anyOf": [{}, {"contains": {}}]}, "/anyOf/1/contains", UnsupportedError),
        ({"type": "array", "uniqueItems": True}, "/uniqueItems", UnsupportedError),
        ({"type": "integer", "multipleOf": 7}, "/multipleOf", UnsupportedError),
        ({"type": "number", "multipleOf": 0.5}, "/multipleOf", UnsupportedError),
        ({"type": "string", "format": "regex"}, "/format", UnsupportedError),
        ({"format": "date", "pattern": "1"}, "/format", UnsupportedError),
        ({"pattern": "a(?=b)"}, "/pattern", UnsupportedError),
        ({"pattern": "("}, "/pattern", MalformedError),
        ({"allOf": [{}, {}]}, "/allOf", UnsupportedError),
        ({"type": "integer", "anyOf": [{"minimum": 1}]}, "/anyOf", UnsupportedError),
        ({"$ref": "#/$defs/a", "minimum": 1, "$defs": {"a": {}}}, "/$ref", UnsupportedError),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "/oneOf", UnsupportedError),
        ({"oneOf": [CIRCLE, CIRCLE]}, "/oneOf", UnsupportedError),
        ({"oneOf": [{"const": 1}, {"enum": [1.0, "a"]}]}, "/oneOf", UnsupportedError),
        ({"enum": ["a"], "minLength": 1}, "/minLength", UnsupportedError),
        (
            {"patternProperties": {"a": {}}, "properties": {"a": {}}},
            "/patternProperties",
            UnsupportedError,
        ),
        (
            {"patternProperties": {"a": {}}, "additionalProperties": {}},
            "/patternProperties",
            UnsupportedError,
        ),
        ({"patternProperties": {"a": {}, "b": {}}}, "/patternProperties", UnsupportedError),
        (
            {"properties": {"a": {}}, "propertyNames": {"maxLength": 1}},
            "/propertyNames",
            UnsupportedError,
        ),
        ({"propertyNames": {"anyOf": []}}, "/propertyNames", UnsupportedError),
        ({"type": "object", "minProperties": 2}, "/minProperties", UnsupportedError),
        ({"$ref": "http://example.com/a"}, "/$ref", UnsupportedError),
        ({"$ref": "#/$defs/a"}, "/$ref", MalformedError),
        ({"$ref": 1}, "/$ref", MalformedError),
        ({"items": {"$id": "a"}}, "/items/$id", UnsupportedError),
        ({"minlength": 1}, "/minlength", UnsupportedError),
        ({"type": "text"}, "/type", MalformedError),
        ({"type": [[]]}, "/type", MalformedError),
        ({"type": []}, "/type", MalformedError),
        ({"enum": 1}, "/enum", MalformedError),
        ({"anyOf": {}}, "/anyOf", MalformedError),
        ({"anyOf": [1]}, "/anyOf/0", MalformedError),
        ({"properties": []}, "/properties", MalformedError),
        ({"required": "a"}, "/required", MalformedError),
        ({"minLength": -1}, "/minLength", MalformedError),
        ({"minLength": 1.5}, "/minLength", MalformedError),
        ({"minimum": "1"}, "/minimum", MalformedError),
        ({"type": "integer", "multipleOf": 0}, "/multipleOf", MalformedError),
        ({"prefixItems": {}}, "/prefixItems", MalformedError),
        ({"maxItems": 100_001}, "/maxItems", LimitError),
        (False, "", UnsatisfiableError),
        ({"enum": []}, "", UnsatisfiableError),
        ({"type": "integer", "const": "a"}, "", UnsatisfiableError),
        ({"type": "integer", "minimum": 2, "maximum": 1}, "", UnsatisfiableError),
        ({"minLength": 2, "maxLength": 1}, "", UnsatisfiableError),
        ({"type": "array", "items": False, "minItems": 1}, "", UnsatisfiableError),
        ({"properties": {"a": False}, "required": ["a"]}, "/required", UnsatisfiableError),
        ({"properties": {"a": {}}, "minProperties": 2}, "", UnsatisfiableError),
    ],
    ids=str,
)
def test_what_is_not_enforced_is_refused_by_pointer(
    schema: Any, pointer: str, error: type[GrammarError]
) -> None:
    with pytest.raises(error) as caught:
        lower_schema(schema)
    assert type(caught.value) is error
    assert caught.value.pointer == pointer
    assert caught.value.kind == "json_schema"
    assert (pointer or "(the root)") in str(caught.value)


def test_a_misspelt_keyword_is_refused_with_the_right_one() -> None:
    with pytest.raises(UnsupportedError, match=r"Did you mean minLength\?"):
        lower_schema({"minlength": 1})


VALID = {
    "date": ["2024-02-29", "2000-02-29", "1999-12-31"],
    "time": ["23:59:59Z", "00:00:00.123456+05:30"],
    "date-time": ["2026-01-31T10:00:00Z"],
    "duration": ["P1D", "P1Y2M3DT4H5M6S", "PT36H", "P4W"],
    "email": ["ada.lovelace+x@example.co.uk"],
    "hostname": ["a", "xn--abc.example.com"],
    "ipv4": ["0.0.0.0", "255.249.10.1"],
    "ipv6": [
        "::",
        "::1",
        "1::",
        "2001:db8::8a2e:370:7334",
        "1:2:3:4:5:6:7:8",
        "1:2:3:4:5:6:1.2.3.4",
    ],
    "uri": ["https://example.com:80/a/b;c?q=1#f", "ftp://a"],
    "uuid": ["123e4567-e89b-12d3-a456-426614174000"],
}
INVALID = {
    "date": ["2023-02-29", "1900-02-29", "2024-04-31", "0000-01-01", "2024-1-01", "2024-13-01"],
    "time": ["24:00:00Z", "10:00:00", "10:60:00Z"],
    "date-time": ["2026-01-31 10:00:00Z"],
    "duration": ["P", "PT", "P1M1Y", "1D", "P1W1D"],
    "email": ["a", "a@", "@b.c", ".a@b.c", "a..b@c.d"],
    "hostname": ["", "-a", "a-", "a..b", "a."],
    "ipv4": ["256.1.1.1", "1.1.1", "01.1.1.1"],
    "ipv6": ["1:2:3:4:5:6:7", ":::", "1::2::3", "12345::", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7::8"],
    "uri": ["//a", "a b://c", "http://a/%zz"],
    "uuid": ["123e4567e89b12d3a456426614174000"],
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_takes_its_core_and_nothing_else(accepts: Accepts, name: str) -> None:
    spec = GrammarSpec.json_schema({"type": "string", "format": name})
    assert [text for text in VALID[name] if not accepts(spec, f'"{text}"')] == []
    assert [text for text in INVALID[name] if accepts(spec, f'"{text}"')] == []


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = Field(ge=0, le=9)


class Dog(BaseModel):
    kind: Literal["dog"]
    name: str


class Order(BaseModel):
    model_config = ConfigDict(extra="forbid")
    id: uuid.UUID
    title: Annotated[str, Field(min_length=1, max_length=5)]
    code: Annotated[str, Field(pattern="^[A-Z]{2}[0-9]*$", max_length=4)]
    price: Annotated[float, Field(gt=0, lt=10)]
    count: int | None
    colour: Colour
    mode: Literal["a", 1]
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    parts: list[Order] = Field(max_length=1)
    pair: tuple[int, str]
    prices: dict[str, int]
    day: datetime.date
    at: datetime.datetime
    done: bool = False


@pytest.mark.parametrize("seed", range(10))
def test_random_walks_through_a_pydantic_models_grammar_give_valid_models(
    byte_compiler: Compiler, seed: int
) -> None:
    rng = random.Random(seed)
    matcher = byte_compiler.compile(GrammarSpec.json_schema(Order)).matcher()
    mask = allocate_bitmask(1, 257)
    text = bytearray()
    while not matcher.is_finished:
        matcher.fill(mask, 0)
        words = mask[0].tolist()
        options = [byte for byte in range(256) if words[byte // 32] >> byte % 32 & 1]
        closing = [byte for byte in options if byte in b'"]}']
        byte = rng.choice(closing if closing and rng.random() < 0.5 else options)
        assert matcher.accept(byte)
        text.append(byte)
    Order.model_validate_json(text.decode())


@pytest.mark.parametrize("seed", range(15))
def test_random_walks_through_exact_schemas_give_valid_documents(
    byte_compiler: Compiler, seed: int
) -> None:
    rng = random.Random(seed)
    mask = allocate_bitmask(1, 257)
    for schema in rng.sample(EXACT + NARROWER, 8):
        matcher = byte_compiler.compile(GrammarSpec.json_schema(schema)).matcher()
        text = bytearray()
        while not matcher.is_finished and len(text) < 200:
            matcher.fill(mask, 0)
            words = mask[0].tolist()
            options = [byte for byte in range(256) if words[byte // 32] >> byte % 32 & 1]
            ending = [byte for byte in options if byte in b'"]}']
            byte = rng.choice(ending if ending and rng.random() < 0.7 else options)
            assert matcher.accept(byte)
            text.append(byte)
        if matcher.is_accepting:
            Draft202012Validator(schema).validate(json.loads(text.decode()))


def test_every_refusal_has_a_hint_and_is_no_keyword_of_a_type() -> None:
    for keyword in REFUSED:
        with pytest.raises(UnsupportedError) as caught:
            lower_schema({keyword: True})
        assert re.match(r"[A-Z].*\.$", caught.value.hint)
