"""Matches that end within a budget of tokens, against enumeration and by random walks."""

from __future__ import annotations

import functools
import json
import random
import re
from collections.abc import Callable
from typing import Any

import jsonschema
import numpy as np
import pytest

from radixlm.constrained import auto_backend
from radixlm.constrained.bitmask import allocate_bitmask
from radixlm.constrained.closing import Closing
from radixlm.constrained.errors import BudgetError
from radixlm.constrained.grammar import Grammar
from radixlm.constrained.spec import GrammarSpec
from radixlm.constrained.vocab import Vocabulary
from radixlm.constrained.xgrammar_backend import Compiler as XGrammar

from .test_recogniser import EXTRA, pattern

LISTED: list[dict[str, Any]] = [
    {"type": "array", "items": {"type": "integer"}, "minItems": 3},
    {"type": "object", "properties": {"k": {"type": "string", "minLength": 3}}, "required": ["k"]},
    {"$ref": "#/$defs/n", "$defs": {"n": {"properties": {"l": {"$ref": "#/$defs/n"}}}}},
    {"allOf": [{"type": "string", "pattern": "^[ab]+$"}, {"pattern": "b$"}, {"minLength": 2}]},
    {
        "allOf": [
            {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
            {"properties": {"b": {"enum": ["x", "yy"]}}, "required": ["b"]},
        ]
    },
    {"type": "object", "patternProperties": {"^x": {"type": "null"}}, "minProperties": 1},
    {"type": "number", "minimum": 10, "multipleOf": 0.5},
    {},
]


@pytest.fixture(scope="module")
def letters() -> Vocabulary:
    tokens = (*(bytes([byte]) for byte in range(256)), *EXTRA, b"")
    return Vocabulary(tokens, frozenset({len(tokens) - 1}))


@pytest.fixture(scope="module")
def compiler(letters: Vocabulary) -> auto_backend.Compiler:
    return auto_backend.Compiler(letters)


@pytest.fixture(scope="module")
def bpe(vocabulary: Vocabulary) -> auto_backend.Compiler:
    return auto_backend.Compiler(vocabulary)


def allowed(match: Closing, vocabulary: Vocabulary, *, narrowed: bool) -> set[int]:
    mask = allocate_bitmask(1, vocabulary.size)
    match.fill(mask, 0)
    row = match.narrowed(mask[0]) if narrowed else mask[0]
    bits = np.unpackbits(row.numpy().view(np.uint8), bitorder="little")
    return set(np.flatnonzero(bits).tolist())


def walk(grammar: Grammar, vocabulary: Vocabulary, budget: int, rng: random.Random) -> str:
    """Choose tokens at random, as a sampler would, and return the text, which is whole."""
    match = Closing.of(grammar, budget)
    assert isinstance(match, Closing)
    tokens: list[int] = []
    while len(tokens) < budget and not match.is_finished:
        choices = allowed(match, vocabulary, narrowed=False)
        while not match.admits(token := rng.choice(sorted(choices))):
            choices = allowed(match, vocabulary, narrowed=True)
        if token in vocabulary.stop_ids:
            break
        assert match.accept(token)
        tokens.append(token)
    assert match.is_accepting
    return b"".join(vocabulary.tokens[token] for token in tokens).decode()


def reachable(source: str, budget: int) -> Callable[[str, int], bool]:
    """Whether a text can be completed to match a pattern within so many tokens, by trying all."""
    whole = re.compile(source)
    pieces = [text.decode() for text in EXTRA] + list("abcd")

    @functools.cache
    def can(text: str, left: int) -> bool:
        if whole.fullmatch(text):
            return True
        return left > 0 and any(can(text + piece, left - 1) for piece in pieces)

    return can


@pytest.mark.parametrize("seed", range(16))
def test_the_minimum_of_a_regex_is_exact(
    seed: int, compiler: auto_backend.Compiler, letters: Vocabulary
) -> None:
    source = pattern(random.Random(seed), depth=2).replace("[^b]", "[ac]")
    minimum = compiler.compile(GrammarSpec.regex(source)).completion.minimum
    assert minimum is not None
    assert minimum.is_exact
    can = reachable(source, 5)
    if minimum.tokens <= 5:
        assert can("", minimum.tokens)
    assert minimum.tokens == 0 or not can("", min(minimum.tokens, 6) - 1)


def few_tokens(rng: random.Random, compiler: auto_backend.Compiler) -> tuple[Grammar, str, int]:
    """A pattern whose minimum, one to three tokens, is small enough to try all texts."""
    while True:
        source = pattern(rng, depth=2).replace("[^b]", "[ac]")
        grammar = compiler.compile(GrammarSpec.regex(source))
        minimum = grammar.completion.minimum
        assert minimum is not None
        if 0 < minimum.tokens <= 3:
            return grammar, source, minimum.tokens


@pytest.mark.parametrize("seed", range(12))
def test_exactly_the_tokens_that_leave_a_way_are_legal_under_a_regex(
    seed: int, compiler: auto_backend.Compiler, letters: Vocabulary
) -> None:
    rng = random.Random(seed)
    grammar, source, minimum = few_tokens(rng, compiler)
    budget = minimum + seed % 2
    match = Closing.of(grammar, budget)
    assert isinstance(match, Closing)
    can, text = reachable(source, budget), ""
    while match.remaining and not match.is_finished:
        legal = {
            token
            for token in allowed(match, letters, narrowed=False) - letters.stop_ids
            if can(text + letters.tokens[token].decode("latin-1"), match.remaining - 1)
        }
        assert allowed(match, letters, narrowed=True) - letters.stop_ids == legal
        for token in allowed(match, letters, narrowed=False) - letters.stop_ids:
            assert match.admits(token) == (token in legal)
        if not legal:
            break
        token = rng.choice(sorted(legal))
        assert match.accept(token)
        text += letters.tokens[token].decode()
    assert match.is_accepting


@pytest.mark.parametrize("index", range(len(LISTED)))
def test_documents_are_valid_and_whole_at_every_budget(
    index: int, bpe: auto_backend.Compiler, vocabulary: Vocabulary
) -> None:
    schema = LISTED[index]
    grammar = bpe.compile(GrammarSpec.json_schema(schema))
    minimum = grammar.completion.minimum
    assert minimum is not None
    for seed in range(6):
        budget = minimum.tokens + (0, 1, 2, 5, 9, 20)[seed]
        text = walk(grammar, vocabulary, budget, random.Random(seed))
        jsonschema.validate(json.loads(text), schema)
    with pytest.raises(BudgetError) as refusal:
        Closing.of(grammar, minimum.tokens - 1)
    assert refusal.value.minimum == minimum.tokens


@pytest.mark.parametrize(
    ("spec", "whole"),
    [
        (GrammarSpec.lark('start: "(" start ")" | /x[0-9]{3}/'), r"\(*x\d{3}\)*"),
        (GrammarSpec.gbnf('root ::= "a" root "b" | "c"\n'), "a*cb*"),
        (GrammarSpec.ebnf('root ::= root "ab" | "c"'), "c(ab)*"),
        (GrammarSpec.ebnf('root ::= [0-9]+ "." [0-9]{2}'), r"\d+\.\d\d"),
        (GrammarSpec.choices(["cab", "cabby", "b", "Zürich"]), "cab|cabby|b|Zürich"),
    ],
    ids=["lark", "gbnf", "left recursion", "ebnf", "choices"],
)
def test_texts_of_every_kind_are_whole(
    spec: GrammarSpec, whole: str, bpe: auto_backend.Compiler, vocabulary: Vocabulary
) -> None:
    grammar = bpe.compile(spec)
    minimum = grammar.completion.minimum
    assert minimum is not None
    for seed in range(8):
        text = walk(grammar, vocabulary, minimum.tokens + seed, random.Random(seed))
        assert re.fullmatch(whole, text)
        assert text.count("(") == text.count(")")


def test_both_back_ends_end_their_documents(vocabulary: Vocabulary) -> None:
    schema = LISTED[1]
    grammar = XGrammar(vocabulary).compile(GrammarSpec.json_schema(schema))
    minimum = grammar.completion.minimum
    assert minimum is not None
    for seed in range(4):
        text = walk(grammar, vocabulary, minimum.tokens + seed, random.Random(seed))
        jsonschema.validate(json.loads(text), schema)


def test_a_match_that_goes_back_has_its_budget_back(
    bpe: auto_backend.Compiler, vocabulary: Vocabulary
) -> None:
    grammar = bpe.compile(GrammarSpec.json_schema({"type": "array", "items": {"type": "null"}}))
    match = Closing.of(grammar, 7)
    assert isinstance(match, Closing)
    one = vocabulary.tokens.index(b"[")
    assert match.accept(one)
    before = [allowed(match, vocabulary, narrowed=flag) for flag in (False, True)]
    other = match.fork()
    for byte in (b"n", b"u", b"l"):
        assert other.accept(vocabulary.tokens.index(byte))
    assert other.remaining == 3
    assert match.remaining == 6
    other.rollback(3)
    assert other.remaining == 6
    assert [allowed(other, vocabulary, narrowed=flag) for flag in (False, True)] == before
    assert not other.accept(vocabulary.tokens.index(b"x"))
    assert other.remaining == 6


def test_brackets_opened_far_from_the_budget_can_all_be_closed(
    bpe: auto_backend.Compiler, vocabulary: Vocabulary
) -> None:
    """Each bracket raises the ceiling, also one that is opened again after going back."""
    grammar = bpe.compile(GrammarSpec.json_schema({"type": "array", "items": {}}))
    opening = vocabulary.tokens.index(b"[")
    match = Closing.of(grammar, 400)
    assert isinstance(match, Closing)
    for _ in range(2):
        depth = 0
        while match.admits(opening):
            assert match.accept(opening)
            depth += 1
        assert depth > 100
        match.rollback(depth - 10)
        assert match.remaining == 390
        assert all(match.accept(opening) for _ in range(depth - 10))
        other = match.fork()
        while not other.is_finished:
            assert other.accept(other.way_out())
        assert other.is_accepting
        match.rollback(depth)


def test_an_admitted_token_that_is_not_taken_leaves_no_trace(
    bpe: auto_backend.Compiler, vocabulary: Vocabulary
) -> None:
    grammar = bpe.compile(GrammarSpec.regex("[abc]{3}"))
    match = Closing.of(grammar, 3)
    assert isinstance(match, Closing)
    a, b = (vocabulary.tokens.index(text) for text in (b"a", b"b"))
    assert match.admits(a)
    assert match.admits(b)
    assert not match.is_accepting
    assert match.accept(b)
    assert match.remaining == 2


def test_a_budget_refuses_nothing_where_every_text_is_whole(
    bpe: auto_backend.Compiler, vocabulary: Vocabulary
) -> None:
    grammar = bpe.compile(GrammarSpec.regex("(?s).*"))
    match = Closing.of(grammar, 4)
    assert isinstance(match, Closing)
    for byte in (b"a", b"\n", b'"', b"z"):
        assert match.accept(vocabulary.tokens.index(byte))
    assert match.closed_at is None
    assert match.is_accepting
