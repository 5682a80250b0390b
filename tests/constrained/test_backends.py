"""Matchers and masks, on a vocabulary trained here."""

from __future__ import annotations

import json
import random
import re
import time

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from radixlm.constrained import outlines_backend
from radixlm.constrained.bitmask import allocate_bitmask
from radixlm.constrained.compiler import load_backend
from radixlm.constrained.errors import (
    GrammarError,
    LimitError,
    MalformedError,
    UnsatisfiableError,
    UnsupportedError,
)
from radixlm.constrained.grammar import Grammar, Matcher
from radixlm.constrained.spec import GrammarSpec
from radixlm.constrained.vocab import Vocabulary
from radixlm.constrained.xgrammar_backend import Compiler

from .conftest import Accepts, Backend

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 6},
        "age": {"type": "integer", "minimum": 0, "maximum": 130},
        "tags": {
            "type": "array",
            "items": {"enum": ["math", "art", "\u00e9t\u00e9"]},
            "maxItems": 2,
        },
    },
    "required": ["name", "age"],
}
SPECS = [
    GrammarSpec.regex(r"(The|quick|brown|fox| ){1,3}[0-9]?"),
    GrammarSpec.regex("\u00e9+(\u6771\u4eac|\U0001f600)"),
    GrammarSpec.ebnf('root ::= "(" root ")" | "{" [a-z]* "}"'),
    GrammarSpec.json_schema(PERSON),
    GrammarSpec.json_object(),
    GrammarSpec.json_schema({"type": "string"}),
    GrammarSpec.json_schema({"type": "string", "pattern": "a|.b"}),
    GrammarSpec.choices(["a", "ab", "abc", 'q"\n', "\U0001f600 \u00e9"]),
]


@pytest.fixture(scope="module", params=["auto", "llguidance", "xgrammar", "outlines"])
def compiler(request: pytest.FixtureRequest, vocabulary: Vocabulary) -> Backend:
    return load_backend(request.param, vocabulary)


def compiled(compiler: Backend, spec: GrammarSpec) -> Grammar:
    try:
        return compiler.compile(spec)
    except UnsupportedError:
        is_outlines = isinstance(compiler, outlines_backend.Compiler)
        is_open = spec.kind.startswith("json") and '"object"' in (spec.source or '"object"')
        if spec.kind == "ebnf" or (is_outlines and is_open):
            pytest.skip("only xgrammar reads its EBNF, and outlines holds what is regular")
        raise


def allowed(matcher: Matcher, vocabulary: Vocabulary) -> set[int]:
    mask = torch.randint(-(2**31), 2**31, (2, -(-vocabulary.size // 32))).to(torch.int32)
    untouched = mask[0].clone()
    matcher.fill(mask, 1)
    assert torch.equal(mask[0], untouched)
    words = mask[1].tolist()
    return {bit for bit in range(32 * len(words)) if words[bit // 32] >> bit % 32 & 1}


def is_valid(spec: GrammarSpec, text: str) -> bool:
    match spec.kind:
        case "regex":
            return bool(re.fullmatch(spec.source, text))
        case "json_object" | "json_schema":
            return isinstance(json.loads(text), dict | str)
        case "choices":
            return text in json.loads(spec.source)
        case _:
            return text.count("(") == text.count(")")


@pytest.mark.sample(5)
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.kind)
def test_the_mask_is_the_set_of_tokens_that_a_fork_accepts(
    compiler: Backend, vocabulary: Vocabulary, spec: GrammarSpec, seed: int
) -> None:
    rng = random.Random(seed)
    matcher = compiled(compiler, spec).matcher()
    text = b""
    for _ in range(25):
        mask = allowed(matcher, vocabulary)
        assert mask == {t for t in range(vocabulary.size) if matcher.fork().accept(t)}
        assert matcher.is_accepting == bool(mask & vocabulary.stop_ids)
        assert matcher.is_finished == (mask <= vocabulary.stop_ids)
        assert matcher.forced().encode().startswith(text[:0])
        if matcher.is_accepting:
            assert is_valid(spec, text.decode())
        if not mask - vocabulary.stop_ids:
            break
        token = rng.choice(sorted(mask - vocabulary.stop_ids))
        text += vocabulary.tokens[token]
        assert matcher.accept(token)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.kind)
def test_rollback_and_fork_lead_back_to_the_same_masks(
    compiler: Backend, vocabulary: Vocabulary, spec: GrammarSpec
) -> None:
    rng = random.Random(7)
    matcher = compiled(compiler, spec).matcher()
    masks = [allowed(matcher, vocabulary)]
    while len(masks) < 12 and masks[-1]:
        assert matcher.accept(rng.choice(sorted(masks[-1])))
        masks.append(allowed(matcher, vocabulary))
        if matcher.is_finished:
            break
    fork = matcher.fork()
    steps = len(masks) - 1
    for back in range(1, steps + 1):
        matcher.rollback(1)
        assert allowed(matcher, vocabulary) == masks[steps - back]
    assert allowed(fork, vocabulary) == masks[-1]
    fork.rollback(steps)
    assert allowed(fork, vocabulary) == masks[0]
    with pytest.raises(ValueError, match="cannot undo 1 tokens: 0 have been accepted"):
        fork.rollback(1)


def test_a_stop_token_ends_the_match_and_can_be_undone(
    compiler: Backend, vocabulary: Vocabulary
) -> None:
    (stop,) = vocabulary.stop_ids
    matcher = compiler.compile(GrammarSpec.regex("a?")).matcher()
    assert not matcher.is_finished
    assert matcher.accept(stop)
    assert matcher.is_finished
    assert allowed(matcher, vocabulary) == {stop}
    assert matcher.forced() == ""
    assert not matcher.accept(stop)
    matcher.rollback(1)
    assert not matcher.is_finished
    assert matcher.is_accepting


def test_stop_and_special_tokens_are_masked_while_text_is_due(
    compiler: Backend, vocabulary: Vocabulary, tokenizer: PreTrainedTokenizerFast
) -> None:
    special = set(tokenizer.all_special_ids) | {
        token for token, added in tokenizer.added_tokens_decoder.items() if added.special
    }
    assert len(special) == 3
    for source in [r"[\s\S]+", r"[<|>a-z_]+"]:  # even where their spelling would match
        matcher = compiler.compile(GrammarSpec.regex(source)).matcher()
        assert not allowed(matcher, vocabulary) & special
        token = next(t for t in range(vocabulary.size) if vocabulary.tokens[t] == b"a")
        assert matcher.accept(token)
        assert allowed(matcher, vocabulary) & special == vocabulary.stop_ids


def test_a_refused_token_changes_nothing_and_writes_nothing(
    compiler: Backend, vocabulary: Vocabulary, capfd: pytest.CaptureFixture[str]
) -> None:
    matcher = compiler.compile(GrammarSpec.regex("abc")).matcher()
    before = allowed(matcher, vocabulary)
    for token in [-1, 0, vocabulary.size - 1, vocabulary.size, 10**6]:
        assert not matcher.accept(token)
    assert allowed(matcher, vocabulary) == before
    assert capfd.readouterr() == ("", "")


def test_forced_text_is_what_must_come_next(compiler: Backend, vocabulary: Vocabulary) -> None:
    closed = {**PERSON, "additionalProperties": False}
    grammar = compiler.compile(GrammarSpec.json_schema(closed))
    assert grammar.matcher().forced() == '{"name":'
    fresh = compiler.compile(GrammarSpec.regex("\u00e9")).matcher()
    assert fresh.forced() == "\u00e9"
    assert fresh.accept(vocabulary.tokens.index("\u00e9".encode()[:1]))
    assert fresh.forced() == ""  # the rest of a character is no text


@pytest.mark.parametrize(
    ("spec", "yes", "no"),
    [
        (GrammarSpec.choices(["a", "ab"]), ["a", "ab"], ["", "abb", "b"]),
        (GrammarSpec.choices(["", "x\ty"]), ["", "x\ty"], ["x"]),
        (GrammarSpec.choices(['"\\[]{}|*', "\u6771\n"]), ['"\\[]{}|*', "\u6771\n"], ["\u6771"]),
        (GrammarSpec.ebnf('root ::= root "a" | "a"'), ["a", "aaa"], ["", "b"]),
        (GrammarSpec.ebnf('root ::= ("a"*)* "b"'), ["b", "aab"], ["a"]),
        (
            GrammarSpec.json_object(),
            ["{}", '{"a":{"b":[1,{}]}}', '{"a": 1}', '{"a":1, "b":[1, 2]}'],
            ["[]", '{"a":  1}', "{ }", '{"a" :1}', '{"a":1 ,"b":2}'],
        ),
    ],
)
def test_texts_of_each_kind(
    accepts: Accepts, spec: GrammarSpec, yes: list[str], no: list[str]
) -> None:
    assert [text for text in yes if not accepts(spec, text)] == []
    assert [text for text in no if accepts(spec, text)] == []


def nested(levels: int) -> str:
    return "(" * levels + '"a"' + ")" * levels


HOSTILE = [
    ("ebnf", "", MalformedError),
    ("ebnf", 'foo ::= "a"', MalformedError),
    ("ebnf", "root ::= foo", MalformedError),
    ("ebnf", 'root ::= "a', MalformedError),
    ("ebnf", "root ::= [z-a]", MalformedError),
    ("ebnf", 'root ::= "\x00"', MalformedError),
    ("ebnf", 'root ::= "a"\nroot ::= "b"', MalformedError),
    ("ebnf", 'root ::= "a"{99999999999999999999}', MalformedError),
    ("ebnf", 'root ::= | "a"', MalformedError),
    ("ebnf", "root ::= " + nested(20_000), MalformedError),
    ("ebnf", "root ::= root", UnsatisfiableError),
    ("ebnf", 'root ::= "a" root', UnsatisfiableError),
    ("ebnf", 'root ::= "x" | "y" loop\nloop ::= "a" loop', UnsatisfiableError),
    ("ebnf", 'root ::= ("a" root){2}', UnsatisfiableError),
    ("ebnf", "root ::= Token(256)", UnsatisfiableError),  # the stop token, which is no text
    ("json_schema", '{"$ref": "#"}', UnsatisfiableError),
    ("json_schema", '{"anyOf": [{"$ref": "#"}]}', UnsatisfiableError),
    (
        "json_schema",
        '{"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}',
        UnsatisfiableError,
    ),
    ("json_schema", '{"type": "array", "items": {"$ref": "#"}, "minItems": 1}', UnsatisfiableError),
    ("json_schema", '{"minLength": 9999999}', UnsupportedError),
    ("json_schema", json.dumps({"prefixItems": [{}] * 1001}), LimitError),
    ("json_schema", json.dumps({"required": [str(i) for i in range(1001)]}), LimitError),
    ("json_schema", json.dumps({"type": "integer", "minimum": int("12" * 2000)}), GrammarError),
    ("json_schema", '{"type": "integer", "multipleOf": 1e-300}', GrammarError),
    ("regex", "((a{100}){100}){100}", LimitError),
]


@pytest.mark.parametrize(("kind", "source", "error"), HOSTILE)
def test_a_hostile_source_fails_with_a_grammar_error(
    byte_compiler: Compiler, kind: str, source: str, error: type[GrammarError]
) -> None:
    with pytest.raises(error) as caught:
        byte_compiler.compile(GrammarSpec(kind, source))  # type: ignore[arg-type]
    assert "/project/cpp" not in str(caught.value)


def test_nested_quantifiers_do_not_slow_down_with_the_length(byte_compiler: Compiler) -> None:
    matcher = byte_compiler.compile(GrammarSpec.regex("(" * 40 + "a" + ")+" * 40)).matcher()
    start = time.perf_counter()
    assert all(matcher.accept(97) for _ in range(300))
    assert time.perf_counter() - start < 1  # it took minutes


def test_a_long_chain_of_references_is_a_limit(byte_compiler: Compiler) -> None:
    chain = {f"d{i}": {"$ref": f"#/$defs/d{i + 1}"} for i in range(2000)}
    schema = {"$ref": "#/$defs/d0", "$defs": {**chain, "d2000": {}}}
    with pytest.raises(LimitError, match="too deep"):
        byte_compiler.compile(GrammarSpec.json_schema(schema))


@pytest.mark.parametrize(
    "source",
    [
        "root ::= " + nested(500),
        'root ::= ("a"{1,1000}){1,1000}',
        'root ::= root root | "a" | ""',
        'root ::= ((""*)*)*',
        "root ::= r0\n" + "\n".join(f"r{i} ::= r{i + 1}" for i in range(500)) + '\nr500 ::= "a"',
        'root ::= "\\uD800"',
    ],
)
def test_a_hostile_source_that_compiles_fills_a_mask_and_forces_nothing_endless(
    byte_compiler: Compiler, source: str
) -> None:
    matcher = byte_compiler.compile(GrammarSpec.ebnf(source)).matcher()
    matcher.fill(allocate_bitmask(1, 257), 0)
    assert len(matcher.forced()) <= 1


def test_llguidance_writes_into_masks_of_its_own_width_alone(vocabulary: Vocabulary) -> None:
    matcher = load_backend("llguidance", vocabulary).compile(GrammarSpec.regex("a+")).matcher()
    with pytest.raises(ValueError, match="a row of the mask must have"):
        matcher.fill(allocate_bitmask(1, vocabulary.size + 64), 0)


def test_xgrammars_numbers_for_expressions_are_the_ones_we_read() -> None:
    import xgrammar

    text = xgrammar.Grammar.from_ebnf('root ::= "a"{2,3} [b] root | ""').serialize_json()
    assert json.loads(text)["__VERSION__"] == "v16"


def test_the_protocols_hold(compiler: Backend) -> None:
    grammar: Grammar = compiler.compile(GrammarSpec.regex("a"))
    matcher: Matcher = grammar.matcher()
    assert grammar.spec == GrammarSpec.regex("a")
    assert matcher.forced() == "a"
