"""Strings set apart: the same masks as the back end's own, and what those would cost."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from radixlm.constrained import GrammarError, llguidance_backend
from radixlm.constrained.apart import set_apart
from radixlm.constrained.followed import Followed
from radixlm.constrained.grammar import Grammar
from radixlm.constrained.lowered import Lowered
from radixlm.constrained.masked import MaskedGrammar
from radixlm.constrained.spec import GrammarSpec
from radixlm.constrained.vocab import Vocabulary

WORDS = r"^(?:\S+\s+){0,49}\S+$"
PATTERNS = [
    r"^(?:\S+\s+){0,2}\S+$",
    r"^$|(^(?:\S+\s+){0,3}\S+$)",
    r"[0-9]+.[0-9]+.[0-9]+$",
    r"\d{2}-\d.",
    r"^.*.tx$",
    r"^(.+)/(.+)$",
    r"a|b$",
    r"^a[^b]* ",
    r"[ab ]+1",
]
# Beside single bytes: tokens that end, begin and cross strings, keys, escapes and characters.
TOKENS = [
    *(b"b ", b" c", b"ab", b"12", b'",', b'":', b'":"', b'","', b'"a', b'":"a', b'","b', b'"}'),
    *(b'["', b'["a', b"\\n", b"\\n a", b"a\\", b'\\"', b"\xc3\xa9x", b"x\xe2\x80", b"\x80\xa9"),
    *(b"\xf0\x9f", b"\x98\x80", b'{"x":"', b'"]}', b'a"}', b'a","', b'a","a', b'":{"', b"null"),
    *(b'"x":"a b', b'""', b'"",', b':""', b'",\n  "x', b'": "', b'",\n'),
]


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    single = [bytes([byte]) for byte in range(256)]
    return Vocabulary((*single, *TOKENS, b""), frozenset({256 + len(TOKENS)}))


@pytest.fixture(scope="module")
def compiler(vocabulary: Vocabulary) -> llguidance_backend.Compiler:
    return llguidance_backend.Compiler(vocabulary)


def leaf(rng: random.Random) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": rng.choice(["string", ["string", "null"]])}
    if rng.random() < 0.85:
        schema["pattern"] = rng.choice(PATTERNS)
        schema |= {"minLength": rng.choice([1, 2, 4])} if rng.random() < 0.3 else {}
        schema |= {"maxLength": rng.choice([3, 5, 8, 12])} if rng.random() < 0.4 else {}
    else:
        schema["maxLength"] = rng.choice([0, 2, 5])
    return schema


def drawn_schema(rng: random.Random, depth: int = 0) -> Any:
    draw = rng.random()
    if depth > 2 or draw < 0.4:
        return leaf(rng)
    if draw < 0.7:
        keys = rng.sample(["x", "a", "é", 'q"q'], rng.choice([1, 2, 3]))
        others = rng.choice([False, True, leaf(rng)])
        properties = {key: drawn_schema(rng, depth + 1) for key in keys}
        return {"type": "object", "properties": properties, "additionalProperties": others}
    if draw < 0.85:
        prefix = {"prefixItems": [leaf(rng)]} if rng.random() < 0.4 else {}
        return {"type": "array", "items": drawn_schema(rng, depth + 1), **prefix}
    options = [leaf(rng), {"type": "integer"}, {"type": "array", "items": leaf(rng)}, leaf(rng)]
    return {"anyOf": options[: rng.choice([3, 3, 4])]}


def both(
    compiler: llguidance_backend.Compiler, spec: GrammarSpec, monkeypatch: pytest.MonkeyPatch
) -> tuple[Grammar, Grammar] | None:
    """Compile with strings set apart and without; None where there are none, or it is refused."""
    try:
        ours = compiler.compile(spec)
        with monkeypatch.context() as patch:
            patch.setattr(llguidance_backend, "set_apart", lambda core: None)
            theirs = compiler.compile(spec)
    except GrammarError:
        return None
    return (ours, theirs) if isinstance(ours.matcher(), Followed) else None


def bits(row: np.ndarray[Any, Any]) -> list[int]:
    unpacked = np.unpackbits(row.view(np.uint8), bitorder="little")
    return [int(token) for token in np.flatnonzero(unpacked)]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_masks_are_those_of_the_back_end_that_knows_the_patterns(
    seed: int,
    compiler: llguidance_backend.Compiler,
    vocabulary: Vocabulary,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = random.Random(seed)
    compared = 0
    while compared < 1_000:
        schema = drawn_schema(rng)
        spec = GrammarSpec.json_schema(
            schema,
            property_order=rng.choice(["declared", "declared", "any"]),
            whitespace=rng.choice(["compact", "compact", "flexible"]),
        )
        if (pair := both(compiler, spec, monkeypatch)) is None:
            continue
        ours, theirs = (grammar.matcher() for grammar in pair)
        text = b""
        for _ in range(24):
            row = ours.row()
            assert np.array_equal(row, theirs.row()), (schema, text)
            compared += 1
            forced, known = ours.forced(), theirs.forced()
            assert forced.startswith(known) or known.startswith(forced), (schema, text)
            allowed = bits(row)
            refused = rng.randrange(vocabulary.size)
            assert refused in allowed or not ours.accept(refused), (schema, text, refused)
            token = rng.choices(allowed, [3 if token > 255 else 1 for token in allowed])[0]
            for matcher in (ours, theirs):
                assert matcher.accept(token), (schema, text, token)
            if rng.random() < 0.1:
                ours = ours.fork()
                ours.rollback(1)
                assert ours.accept(token)
            text += vocabulary.tokens[token]
            assert ours.is_accepting == theirs.is_accepting, (schema, text)
            if ours.is_finished:
                break


def test_words_are_counted_under_a_length_to_the_end_of_a_long_text(
    compiler: llguidance_backend.Compiler, vocabulary: Vocabulary
) -> None:
    schema = {"type": "string", "minLength": 1, "maxLength": 500, "pattern": WORDS}
    grammar = compiler.compile(GrammarSpec.json_schema(schema))
    rng = random.Random(0)
    plain = [ord("a"), ord("b"), ord(" "), *range(256, 256 + 4)]
    for _ in range(3):
        matcher, text = grammar.matcher(), b""
        while not matcher.is_finished:
            allowed = bits(matcher.row())
            token = rng.choice([token for token in plain if token in allowed] or allowed)
            assert matcher.accept(token)
            text += vocabulary.tokens[token]
        value = json.loads(text)
        assert Draft202012Validator(schema).is_valid(value)
        assert len(value) == 500 or len(value.split()) == 50


def test_a_grammar_made_again_from_text_sets_the_same_strings_apart(
    compiler: llguidance_backend.Compiler,
) -> None:
    spec = GrammarSpec.json_schema(
        {"type": "array", "items": {"type": "string", "pattern": "a b."}}
    )
    lowered = compiler.compile(spec).lowered()
    assert isinstance(lowered, Lowered)
    assert "a b." not in lowered.source
    again = compiler.load(spec, lowered)
    assert isinstance(again, MaskedGrammar)
    assert takes(again, b'["xa b!"]')
    assert not takes(again, b'["xa b"]')


def takes(grammar: Grammar, text: bytes) -> bool:
    matcher = grammar.matcher()
    return all(matcher.accept(byte) for byte in text) and matcher.is_accepting


DEAR: dict[str, Any] = {"type": "string", "pattern": r"[0-9]+.[0-9]+$"}


@pytest.mark.parametrize(
    ("core", "is_apart"),
    [
        (DEAR, True),
        ({"type": "string", "maxLength": 12}, True),
        ({"type": "string", "maxLength": 255}, False),
        ({"type": "string", "pattern": "^[a-z]+$"}, False),
        ({"type": "string", "pattern": "^x-"}, False),
        ({"type": "string", "pattern": r"^\W+ \W$"}, False),  # less here than ECMA-262 means
        ({"type": "string", "pattern": r"(?=a).* .*b"}, False),
        ({"type": "object", "properties": {"a": DEAR}}, True),
        ({"type": "object", "patternProperties": {"^a": DEAR}}, False),
        ({"properties": {"ab": DEAR}, "patternProperties": {"^a": {}}}, False),
        ({"properties": {"ab": DEAR}, "patternProperties": {"^b": {}}}, True),
        ({"allOf": [DEAR, {"minLength": 2}]}, False),
        ({"anyOf": [DEAR, {"type": "integer"}]}, True),
        ({"anyOf": [DEAR, {"type": "string", "pattern": "^a$"}]}, False),
        ({"$ref": "#/$defs/a", "$defs": {"a": DEAR}}, True),
    ],
)
def test_a_string_is_set_apart_where_it_is_dear_and_found_again(
    core: dict[str, Any], is_apart: bool
) -> None:
    assert (set_apart(core) is not None) == is_apart


def test_a_definition_that_refers_to_itself_is_followed(
    compiler: llguidance_backend.Compiler,
) -> None:
    node = {
        "type": "object",
        "properties": {"v": DEAR, "next": {"anyOf": [{"$ref": "#/$defs/n"}, {"type": "null"}]}},
        "required": ["v"],
        "additionalProperties": False,
    }
    grammar = compiler.compile(GrammarSpec.json_schema({"$ref": "#/$defs/n", "$defs": {"n": node}}))
    assert takes(grammar, b'{"v":"1.2","next":{"v":"x3-4","next":null}}')
    assert not takes(grammar, b'{"v":"1.2","next":{"v":"x3-","next":null}}')
