from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel
from typing_extensions import TypedDict

from radixlm.constrained.errors import GrammarError, LimitError, MalformedError
from radixlm.constrained.spec import MAX_CHOICES, MAX_SCHEMA_DEPTH, MAX_SOURCE_BYTES, GrammarSpec


class Model(BaseModel):
    name: str
    age: int


@dataclass
class Record:
    name: str


class Typed(TypedDict):
    name: str


def test_importing_the_package_and_specs_costs_neither_torch_nor_a_back_end() -> None:
    code = (
        "import sys, radixlm.constrained, radixlm.constrained.spec;"
        "heavy = {'torch', 'xgrammar', 'llguidance', 'jsonschema', 'transformers'};"
        "heavy |= {'pydantic', 'numpy'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_equal_specs_compare_and_hash_equal_and_travel_as_msgpack() -> None:
    spec = GrammarSpec.json_schema({"type": "integer"})
    assert spec == GrammarSpec.json_schema(' {"type" :"integer"} ')
    assert len({spec, GrammarSpec.json_schema('{"type": "integer"}')}) == 1
    wire = msgspec.msgpack.encode(spec)
    assert msgspec.msgpack.decode(wire, type=GrammarSpec) == spec


@pytest.mark.parametrize("type_", [Model, Record, Typed, list[int], dict[str, Any]])
def test_types_that_pydantic_can_describe_become_schemas(type_: Any) -> None:
    assert GrammarSpec.json_schema(type_).kind == "json_schema"


def test_key_order_of_a_schema_is_kept() -> None:
    source = GrammarSpec.json_schema({"properties": {"b": True, "a": True}}).source
    assert source == '{"properties": {"b": true, "a": true}}'


def test_sglangs_any_schema_means_any_json_object() -> None:
    assert GrammarSpec.json_schema("$$ANY$$") == GrammarSpec.json_object()


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: GrammarSpec.json_schema("{"), MalformedError, "not JSON"),
        (
            lambda: GrammarSpec.json_schema("[1]"),
            MalformedError,
            "an object or a boolean, not list",
        ),
        (lambda: GrammarSpec.json_schema('{"a": NaN}'), MalformedError, "NaN"),
        (lambda: GrammarSpec.json_schema('{"a": 1e999}'), MalformedError, "too large"),
        (lambda: GrammarSpec.json_schema('{"a": 1, "a": 2}'), MalformedError, "occurs twice"),
        (lambda: GrammarSpec.json_schema('{"const": "\\ud800"}'), MalformedError, "surrogate"),
        (lambda: GrammarSpec.json_schema({"a": {1, 2}}), MalformedError, "not JSON"),
        (lambda: GrammarSpec.json_schema(object()), MalformedError, "pydantic cannot describe"),  # type: ignore[arg-type]
        (lambda: GrammarSpec.json_schema("[" * 100_000), LimitError, "levels deep"),
        (lambda: GrammarSpec.choices([]), MalformedError, "empty"),
        (lambda: GrammarSpec("choices", "[1]").checked(), MalformedError, "list of strings"),
        (lambda: GrammarSpec.choices(["x"] * (MAX_CHOICES + 1)), LimitError, "10,001"),
        (lambda: GrammarSpec("choices", '["\\ud800"]').checked(), MalformedError, "surrogate"),
        (lambda: GrammarSpec.regex("\ud800"), MalformedError, "surrogate"),
        (lambda: GrammarSpec.ebnf("x" * (MAX_SOURCE_BYTES + 1)), LimitError, "262,145 bytes"),
    ],
)
def test_a_bad_source_is_refused_with_what_is_wrong(
    make: Any, error: type[GrammarError], words: str
) -> None:
    with pytest.raises(error) as caught:
        make()
    assert words in str(caught.value)


def test_nesting_is_counted_outside_strings_alone() -> None:
    brackets = "[" * 1000
    assert GrammarSpec.choices([brackets + '"\\']).kind == "choices"
    deep: Any = True
    for _ in range(MAX_SCHEMA_DEPTH):
        deep = {"items": deep}
    assert GrammarSpec.json_schema(deep).kind == "json_schema"
    with pytest.raises(LimitError):
        GrammarSpec.json_schema({"items": deep})


def test_objects_that_name_their_properties_can_be_closed() -> None:
    named = {"type": "object", "properties": {"a": {"type": "integer"}}}
    source = GrammarSpec.json_schema(named, only_named=True).source
    assert json.loads(source) == {**named, "additionalProperties": False}
    for schema in (
        {**named, "additionalProperties": True},
        {"allOf": [named, {"type": "object", "properties": {"b": True}}]},
        {"type": "object"},
        True,
    ):
        assert json.loads(GrammarSpec.json_schema(schema, only_named=True).source) == schema
