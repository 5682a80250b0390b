"""Ceilings against what the analysis of the whole grammar finds, along random texts."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest

from radixlm.constrained import auto_backend
from radixlm.constrained.bitmask import allocate_bitmask
from radixlm.constrained.ceiling import ceiling
from radixlm.constrained.closing import Closing
from radixlm.constrained.errors import BudgetError
from radixlm.constrained.grammar import Grammar
from radixlm.constrained.spec import GrammarSpec
from radixlm.constrained.spelling import Speller
from radixlm.constrained.vocab import Vocabulary

from .test_closing import walk
from .test_recogniser import pattern

BRACKETS = {"a": {"items": {"$ref": "#/$defs/b"}, "minItems": 2}, "b": {"$ref": "#/$defs/c"}}
SCHEMAS: list[Any] = [
    {},
    {"type": "array", "items": {"type": "integer"}, "minItems": 3},
    {"properties": {"k": {"minLength": 3, "type": "string"}}, "required": ["k", "other"]},
    {"$ref": "#/$defs/n", "$defs": {"n": {"properties": {"l": {"$ref": "#/$defs/n"}}}}},
    {
        "type": "object",
        "patternProperties": {"^x": {"type": "null"}},
        "additionalProperties": False,
        "minProperties": 1,
    },
    {"type": "number", "minimum": 10.25, "maximum": 12345.5},
    {"type": "integer", "minimum": 123456, "maximum": 9999999},
    {"enum": ["red", [], None, "Zürich"]},
    {"type": "string", "format": "date-time"},
    {"type": "string", "pattern": "^([a-z]{2,3}-)+[0-9]{4}$"},
    {"anyOf": [{"const": "one"}, {"prefixItems": [{"type": "boolean"}], "minItems": 4}]},
    {
        "$ref": "#/$defs/a",
        "$defs": {
            **BRACKETS,
            "c": {
                "anyOf": [
                    {"properties": {"p": {"$ref": "#/$defs/b"}, "q": {}}, "required": ["p", "q"]},
                    {"type": "integer", "minimum": 1000},
                ]
            },
        },
    },
]


@pytest.fixture(scope="module")
def compiler(vocabulary: Vocabulary) -> auto_backend.Compiler:
    return auto_backend.Compiler(vocabulary)


def allowed(matcher: Any, vocabulary: Vocabulary) -> list[int]:
    mask = allocate_bitmask(1, vocabulary.size)
    matcher.fill(mask, 0)
    bits = np.unpackbits(mask[0].numpy().view(np.uint8), bitorder="little")
    return [t for t in np.flatnonzero(bits).tolist() if t not in vocabulary.stop_ids]


def keeps_below(grammar: Grammar, vocabulary: Vocabulary, rng: random.Random) -> int:
    """Follow a random text that opens many brackets; a plan fits below the ceiling everywhere."""
    completion = grammar.completion
    assert completion.ceiling is not None
    matcher, analysis = grammar.matcher(), completion.analysis
    position, text = analysis.start, b""
    for length in range(40):
        opened = text.count(b"{") + text.count(b"[")
        plan = analysis.proposed(position)
        assert plan is not None
        assert len(plan) <= completion.ceiling.at(opened), text
        assert matcher.completes(plan)
        tokens = allowed(matcher, vocabulary)
        if not tokens:
            return length
        opening = [t for t in tokens if vocabulary.tokens[t][:1] in b'{["\\-.,']
        token = rng.choice(opening if opening and rng.random() < 0.6 else tokens)
        assert matcher.accept(token)
        position = analysis.after(position, token)
        text += vocabulary.tokens[token]
    return 40


@pytest.mark.parametrize("index", range(len(SCHEMAS)))
def test_a_text_can_be_completed_below_the_ceiling_wherever_it_stands(
    index: int, compiler: auto_backend.Compiler, vocabulary: Vocabulary
) -> None:
    spec = GrammarSpec.json_schema(SCHEMAS[index])
    lengths = [
        keeps_below(compiler.compile(spec), vocabulary, random.Random(seed)) for seed in range(6)
    ]
    assert max(lengths) > 2


@pytest.mark.parametrize("seed", range(12))
def test_a_text_of_a_regex_can_be_completed_below_its_ceiling(
    seed: int, compiler: auto_backend.Compiler, vocabulary: Vocabulary
) -> None:
    rng = random.Random(seed)
    keeps_below(compiler.compile(GrammarSpec.regex(pattern(rng))), vocabulary, rng)


@pytest.mark.parametrize(
    ("schema", "most"),
    [
        ({"type": "boolean"}, 5),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 10}, 30),
        ({"enum": ["a" * 300, "b"]}, 310),
        ({"properties": {f"key{i}": {} for i in range(200)}}, 40),
    ],
)
def test_ceilings_are_low(schema: Any, most: int, vocabulary: Vocabulary) -> None:
    spec = GrammarSpec.json_schema(schema)
    found = ceiling(spec, schema, Speller(vocabulary))
    assert found is not None
    assert found.at(0) <= most


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "allOf": [{"pattern": "^[ab]+$"}, {"pattern": "b$"}]},
        {"properties": {"a": {}}, "patternProperties": {"^x": {"type": "null"}}},
        {"type": "string", "pattern": "^(a|bb)+c*$", "maxLength": 9},
    ],
)
def test_what_has_no_ceiling_is_analysed_before_its_first_token(
    schema: Any, compiler: auto_backend.Compiler, vocabulary: Vocabulary
) -> None:
    completion = compiler.compile(GrammarSpec.json_schema(schema)).completion
    assert completion.ceiling is None
    assert not completion.is_ready(10_000)
    assert completion.analysis
    assert completion.is_ready(10_000)
    assert completion.num_nodes > 0


def test_a_vocabulary_without_some_byte_has_no_ceiling(vocabulary: Vocabulary) -> None:
    tokens = tuple(b"" if text == b"\xf4" else text for text in vocabulary.tokens)
    speller = Speller(Vocabulary(tokens, vocabulary.stop_ids))
    assert ceiling(GrammarSpec.json_schema({}), True, speller) is None


def test_nothing_is_analysed_far_from_the_budget(
    compiler: auto_backend.Compiler, vocabulary: Vocabulary
) -> None:
    grammar = compiler.compile(GrammarSpec.json_schema({"items": {"type": "null"}}))
    completion = grammar.completion
    assert completion.is_ready(10_000)
    match = Closing.of(grammar, 10_000)
    for text in (b"[", b"n", b"u", b"l", b"l", b"]"):
        assert match.accept(vocabulary.tokens.index(text))
    assert match.is_finished
    assert completion.num_nodes == 0


def test_a_small_budget_waits_for_the_analysis_and_is_refused_exactly(
    compiler: auto_backend.Compiler,
) -> None:
    spec = GrammarSpec.json_schema({"type": "array", "items": {"type": "integer"}, "minItems": 9})
    completion = compiler.compile(spec).completion
    assert not completion.is_ready(5)
    with pytest.raises(BudgetError) as refusal:
        completion.refuse(5)
    assert refusal.value.minimum == 19
    assert completion.is_ready(5)


@pytest.mark.parametrize("index", range(len(SCHEMAS)))
def test_matches_that_begin_far_from_their_budget_are_whole_at_its_end(
    index: int, compiler: auto_backend.Compiler, vocabulary: Vocabulary
) -> None:
    """`walk` takes tokens at random and asserts that the text is complete."""
    for seed in range(3):
        grammar = compiler.compile(GrammarSpec.json_schema(SCHEMAS[index]))
        completion = grammar.completion
        assert completion.ceiling is not None
        walk(grammar, vocabulary, completion.ceiling.base + 2 + 5 * seed, random.Random(seed))


@pytest.mark.parametrize(
    "spec",
    [
        GrammarSpec.regex("(a{0,200}b){0,200}"),
        GrammarSpec.choices(["a" * 60_000, "b" * 60_000]),
        GrammarSpec.json_schema({"type": "string", "minLength": 5_000}),
    ],
)
def test_what_may_be_too_large_to_be_analysed_has_no_ceiling(
    spec: GrammarSpec, vocabulary: Vocabulary
) -> None:
    """A match that begins far from its budget relies on the analysis later."""
    core = json.loads(spec.source) if spec.kind == "json_schema" else True
    assert ceiling(spec, core, Speller(vocabulary)) is None
