"""What outlines-core holds, and what it is not asked for."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest

from radixlm.constrained.errors import GrammarError, LimitError, UnsupportedError
from radixlm.constrained.outlines_backend import Compiler
from radixlm.constrained.spec import GrammarSpec
from radixlm.constrained.vocab import Vocabulary

from .conftest import Accepts, taker

TEXTS = ["".join(text) for size in range(5) for text in itertools.product("a1.", repeat=size)]
TEXT = {"type": "string"}
LISTED: dict[str, Any] = {
    "type": "object",
    "properties": {"k": {"enum": ["a", "b"]}, "n": {"type": "integer", "minimum": 7}, "s": TEXT},
    "required": ["n"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def compiler(byte_vocabulary: Vocabulary) -> Compiler:
    return Compiler(byte_vocabulary)


@pytest.fixture(scope="module")
def accepts(compiler: Compiler) -> Accepts:
    return taker(compiler)


@pytest.mark.parametrize(
    "pattern", [r"1+(\.1+)?", "a*", "a|a1|a1a", "[a1]+1", "(a1){1,2}|", "a1?.", r"(?s:.)*\."]
)
def test_patterns_match_as_in_python(pattern: str, accepts: Accepts) -> None:
    for text in TEXTS:
        assert accepts(GrammarSpec.regex(pattern), text) is bool(re.fullmatch(pattern, text)), text


@pytest.mark.parametrize(
    ("text", "is_taken"),
    [
        ('{"n":7}', True),
        ('{"k": "b", "n":12}', True),
        ('{"n":7,"k":"b"}', False),
        ('{"n":6}', False),
        ('{"k":"c","n":7}', False),
        ('{"n":7,"s":"any \\"text\\n é"}', True),
        ('{"n":7,"s":"}', False),
    ],
)
def test_a_schema_without_recursion_is_one_pattern(
    text: str, is_taken: bool, accepts: Accepts
) -> None:
    assert accepts(GrammarSpec.json_schema(LISTED), text) is is_taken


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (GrammarSpec.json_object(), "does not hold json_object"),
        (GrammarSpec.lark('start: "a"'), "does not hold lark"),
        (GrammarSpec.ebnf('root ::= "a"'), "does not hold ebnf"),
        (GrammarSpec.json_schema({"type": "object"}), "contains itself"),
        (GrammarSpec.json_schema({"$ref": "#/$defs/a", "$defs": {"a": {"items": {}}}}), "itself"),
    ],
    ids=["json_object", "lark", "ebnf", "open object", "any items"],
)
def test_what_is_not_regular_is_refused_by_name(
    spec: GrammarSpec, message: str, compiler: Compiler
) -> None:
    with pytest.raises(UnsupportedError, match=message):
        compiler.compile(spec)


def test_what_would_be_too_long_as_a_pattern_is_a_limit(compiler: Compiler) -> None:
    definitions: dict[str, Any] = {"d0": {"enum": [f"number {index}" for index in range(50)]}}
    for depth in range(4):
        parts = [{"$ref": f"#/$defs/d{depth}"}] * 6
        definitions[f"d{depth + 1}"] = {"type": "array", "prefixItems": parts, "items": False}
    schema = {"$ref": "#/$defs/d4", "$defs": definitions}
    with pytest.raises(LimitError, match="100,000 characters"):
        compiler.compile(GrammarSpec.json_schema(schema))


def test_a_grammar_is_made_again_of_what_it_was_lowered_to(compiler: Compiler) -> None:
    first = compiler.compile(GrammarSpec.regex("a{2,3}"))
    again = compiler.load(first.spec, first.lowered()).matcher()
    assert [again.accept(ord("a")) for _ in range(4)] == [True, True, True, False]
    assert again.is_finished


def test_lookaround_is_refused(compiler: Compiler) -> None:
    with pytest.raises(GrammarError, match="look"):
        compiler.compile(GrammarSpec.regex("a(?=b)"))
