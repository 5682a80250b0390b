"""Grammars in GBNF and Lark, over each back end that reads them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from radixlm.constrained.errors import MalformedError, UnsupportedError
from radixlm.constrained.spec import GrammarSpec

from .conftest import Accepts, Backend

LIST = 'root ::= item ("," item)*\nitem ::= [a-z]+ | "(" root ")"\n'


@pytest.mark.parametrize("text", ["a", "a,b", "(a,(b)),c"])
def test_gbnf_derives_from_root(accepts: Accepts, xgrammar_accepts: Accepts, text: str) -> None:
    spec = GrammarSpec.gbnf(LIST)
    for takes in (accepts, xgrammar_accepts):
        assert takes(spec, text)
        assert not takes(spec, text + ",")


def test_lark_derives_from_start(accepts: Accepts) -> None:
    spec = GrammarSpec.lark('start: "(" start ")" | WORD\nWORD: /[a-z]+/')
    assert accepts(spec, "((ab))")
    assert not accepts(spec, "((ab)")


def test_a_grammar_that_is_none_is_malformed(byte_auto: Backend) -> None:
    for spec in (GrammarSpec.lark("start: missing"), GrammarSpec.gbnf("root ::= (")):
        with pytest.raises(MalformedError) as caught:
            byte_auto.compile(spec)
        assert caught.value.kind == spec.kind


def test_a_back_end_refuses_the_kinds_that_it_does_not_read(
    byte_llguidance: Backend, byte_compiler: Backend
) -> None:
    for backend, spec in (
        (byte_llguidance, GrammarSpec.ebnf('root ::= "a"')),
        (byte_compiler, GrammarSpec.lark('start: "a"')),
    ):
        with pytest.raises(UnsupportedError, match="does not read"):
            backend.compile(spec)


def test_the_fuel_of_one_match_is_not_anothers(accepts: Accepts) -> None:
    words = " ".join(["word"] * 29)
    schema = {"type": "string", "pattern": r"^(?:\S+\s+){0,29}\S+$", "maxLength": 300}
    for _ in range(3):  # without a mask before a token, the second match takes nothing
        assert accepts(GrammarSpec.json_schema(schema), f'"{words}"')


def test_the_matches_of_a_grammar_leave_fuel_for_one_another(byte_auto: Backend) -> None:
    schema = {"type": "string", "pattern": r"^(?:\S+\s+){0,29}\S+$", "maxLength": 300}
    grammar = byte_auto.compile(GrammarSpec.json_schema(schema))
    texts = [f'"{" ".join([letter] * 29)}"'.encode() for letter in "abcdefgh"]
    matchers = [grammar.matcher() for _ in texts]
    for bytes_ in zip(*texts, strict=True):
        assert all(map(lambda m, byte: m.accept(byte), matchers, bytes_))
    assert all(matcher.is_accepting for matcher in matchers)


def test_a_rule_of_gbnf_may_go_on_over_lines_and_comments(accepts: Accepts) -> None:
    spec = GrammarSpec.gbnf('root ::= "#" # a\n  | [#b] "c"\n# d\nx ::= "]"\n')
    assert accepts(spec, "#")
    assert accepts(spec, "bc")
    assert not accepts(spec, "c")


def test_an_alternative_of_gbnf_may_be_empty(accepts: Accepts) -> None:
    spec = GrammarSpec.gbnf('root ::= "a" end ( | "b" | )\nend ::= | "!"')
    assert [text for text in ("a", "a!", "ab", "a!b") if not accepts(spec, text)] == []
    assert not accepts(spec, "")


def test_llama_cpps_grammars_take_what_they_should(byte_auto: Backend) -> None:
    if "RADIXLM_DATA" not in os.environ:
        pytest.skip("RADIXLM_DATA does not name the folder of shared data")
    folder = Path(os.environ["RADIXLM_DATA"]) / "grammars"
    wrong: list[tuple[str, str]] = []
    for line in (folder / "cases.jsonl").read_text().splitlines():
        case = json.loads(line)
        spec = GrammarSpec.gbnf((folder / case["grammar"]).read_text())
        matcher = byte_auto.compile(spec).matcher()
        taken = all(map(matcher.accept, case["text"].encode())) and matcher.is_accepting
        if taken != case["accept"]:
            wrong.append((case["grammar"], case["text"]))
    assert wrong == []
