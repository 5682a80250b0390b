"""Structural tags: free text, and islands in it that are held to schemas and patterns."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from radixlm.constrained import auto_backend, xgrammar_backend
from radixlm.constrained.errors import GrammarError, LimitError
from radixlm.constrained.llguidance_backend import Compiler
from radixlm.constrained.spec import GrammarSpec

from .conftest import Accepts

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
NUMBER = {"type": "integer"}
LEGACY = {
    "structures": [
        {"begin": "<f=weather>", "schema": CITY, "end": "</f>"},
        {"begin": "<f=add>", "schema": {"type": "integer"}, "end": "</f>"},
        {"begin": "[[", "schema": {"type": "boolean"}, "end": "]]"},
    ],
    "triggers": ["<f=", "[["],
}
THINK = {
    "type": "sequence",
    "elements": [
        {
            "type": "tag",
            "begin": "<think>",
            "content": {"type": "any_text", "max_chars": 12},
            "end": "</think>",
        },
        {"type": "json_schema", "json_schema": CITY},
    ],
}


def tag(**format: Any) -> GrammarSpec:
    return GrammarSpec.structural_tag({"type": "structural_tag", "format": format})


@pytest.mark.parametrize(
    ("text", "is_taken"),
    [
        ("", True),
        ("Nothing to call; 1 < f and [ ].\n", True),
        ('I ask. <f=weather>{"city":"Oslo"}</f> Done.', True),
        ('<f=add>3</f><f=weather>{"city":"<f=add>"}</f>[[true]] and so on', True),
        ('I ask. <f=weather>{"town":"Oslo"}</f>', False),
        ("I ask. <f=other>3</f>", False),
        ("An end is missing: <f=add>3", False),
        ("[[maybe]]", False),
    ],
)
def test_free_text_goes_on_until_a_trigger_which_opens_an_island(
    text: str, is_taken: bool, accepts: Accepts, xgrammar_accepts: Accepts
) -> None:
    spec = GrammarSpec.structural_tag(LEGACY)
    assert accepts(spec, text) is is_taken
    assert xgrammar_accepts(spec, text) is is_taken


@pytest.mark.parametrize(
    ("text", "is_taken"),
    [
        ('<think>hm</think>{"city":"Oslo"}', True),
        ('<think></think>{"city":"Oslo"}', True),
        ('<think>twelve chars</think>{"city":"Oslo"}', True),
        ('<think>thirteen more</think>{"city":"Oslo"}', False),
        ('<think>a</think></think>{"city":"Oslo"}', False),
        ('{"city":"Oslo"}', False),
    ],
)
def test_a_model_may_reason_within_bounds_and_is_constrained_then(
    text: str, is_taken: bool, accepts: Accepts, xgrammar_accepts: Accepts
) -> None:
    spec = tag(**THINK)
    assert accepts(spec, text) is is_taken
    assert xgrammar_accepts(spec, text) is is_taken


def test_what_closes_the_reasoning_is_forced_at_its_bound(byte_llguidance: Compiler) -> None:
    matcher = byte_llguidance.compile(tag(**THINK)).matcher()
    for byte in b"<think>twelve chars":
        assert matcher.accept(byte)
    assert matcher.forced().startswith("</think>")


TAGS = [
    {"begin": "a:", "content": {"type": "regex", "pattern": "[0-9]+"}, "end": ";"},
    {"begin": "b:", "content": {"type": "const_string", "value": "x"}, "end": [";", "."]},
]


@pytest.mark.parametrize(
    ("options", "text", "is_taken"),
    [
        ({}, "", True),
        ({}, "a:1;,b:x.", True),
        ({}, "a:1;b:x.", False),
        ({"at_least_one": True}, "", False),
        ({"stop_after_first": True}, "a:1;,b:x.", False),
        ({"stop_after_first": True}, "b:x;", True),
    ],
)
def test_tags_with_a_separator_are_a_list(
    options: dict[str, bool], text: str, is_taken: bool, accepts: Accepts, xgrammar_accepts: Accepts
) -> None:
    spec = tag(type="tags_with_separator", tags=TAGS, separator=",", **options)
    assert accepts(spec, text) is is_taken
    assert xgrammar_accepts(spec, text) is is_taken


@pytest.mark.parametrize(
    ("options", "text", "is_taken"),
    [
        ({}, "say a:1; and b:x.", True),
        ({"at_least_one": True}, "say nothing", False),
        ({"at_least_one": True}, "say a:1; then", True),
        ({"stop_after_first": True}, "say a:1; then", False),
        ({"stop_after_first": True, "at_least_one": True}, "say a:1;", True),
    ],
)
def test_triggered_tags_may_be_wanted_or_be_the_last_word(
    options: dict[str, bool], text: str, is_taken: bool, accepts: Accepts, xgrammar_accepts: Accepts
) -> None:
    spec = tag(type="triggered_tags", tags=TAGS, triggers=["a:", "b:"], **options)
    assert accepts(spec, text) is is_taken
    assert xgrammar_accepts(spec, text) is is_taken


@pytest.mark.parametrize(
    ("format", "pointer"),
    [
        ({"type": "grammar", "grammar": "root ::= x"}, "/format"),
        ({"type": "regex", "pattern": "(a)\\1"}, "/format/pattern"),
        ({"type": "any_text", "excludes": ["x"]}, "/format/excludes"),
        ({"type": "json_schema", "json_schema": {"type": "no"}}, "/format/json_schema/type"),
        ({"type": "sequence", "elements": [{"type": "any_text"}] * 2}, "/format/elements/0"),
        ({"type": "triggered_tags", "triggers": ["<"], "tags": TAGS}, "/format/tags/0/begin"),
        (
            {
                "type": "json_schema",
                "json_schema": {"properties": {"a": {"contains": {"minimum": 1}}}},
            },
            "/format/json_schema/properties/a/contains",
        ),
    ],
)
def test_what_cannot_be_enforced_is_refused_by_its_place(
    format: dict[str, Any], pointer: str, byte_llguidance: Compiler
) -> None:
    with pytest.raises(GrammarError) as caught:
        byte_llguidance.compile(tag(**format))
    assert caught.value.pointer == pointer


def test_the_contract_names_the_places_within_the_tag(byte_llguidance: Compiler) -> None:
    grammar = byte_llguidance.compile(tag(**THINK))
    pointers = {finding.pointer for finding in grammar.contract}
    assert "/format/elements/1/json_schema/required" in pointers
    assert grammar.contract.is_enforced


def test_a_tag_of_no_known_form_is_an_error(byte_llguidance: Compiler) -> None:
    with pytest.raises(GrammarError, match="structures and triggers"):
        byte_llguidance.compile(GrammarSpec.structural_tag({"type": "structural_tag"}))


@pytest.mark.parametrize(
    ("text", "is_taken"),
    [
        ("so: (a(bc))! Yes.", True),
        ("so: (a(bc)! Yes.", False),
        ("so: 12; as said", True),
        ("nothing", True),
    ],
)
def test_an_island_may_be_a_grammar_in_ebnf_beside_a_schema(
    text: str, is_taken: bool, accepts: Accepts
) -> None:
    nested = 'root ::= "(" more* ")" # a comment\nmore ::= [a-z] | root'
    tags = [
        {"begin": "so: ", "content": {"type": "grammar", "grammar": nested}, "end": "!"},
        {"begin": "so: ", "content": {"type": "json_schema", "json_schema": NUMBER}, "end": ";"},
    ]
    spec = tag(type="triggered_tags", triggers=["so:"], tags=tags)
    assert accepts(spec, text) is is_taken


@pytest.mark.parametrize(
    ("grammar", "message"),
    [
        ("root ::= other", "other"),
        ("start ::= [a-z]", "no rule named root"),
        ("what is this", "no rule begins"),
    ],
)
def test_a_bad_grammar_in_a_tag_is_refused(
    grammar: str, message: str, byte_auto: auto_backend.Compiler
) -> None:
    with pytest.raises(GrammarError, match=message):
        byte_auto.compile(tag(type="grammar", grammar=grammar))


@pytest.mark.parametrize("most", [None, 0, 1, 3])
def test_free_text_ends_where_a_mark_is_first_met(
    most: int | None, accepts: Accepts, xgrammar_accepts: Accepts
) -> None:
    marks = ["aab", "ba"]
    content = {"type": "any_text", **({} if most is None else {"max_chars": most})}
    spec = tag(type="tag", begin="", content=content, end=marks)
    for size in range(7):
        for text in map("".join, itertools.product("abc", repeat=size)):
            ends = [(text.find(mark) + len(mark), mark) for mark in marks if mark in text]
            is_taken = any(
                end == size and (most is None or size - len(mark) <= most)
                for end, mark in ends
                if end == min(ends)[0]
            )
            assert accepts(spec, text) is is_taken, text
            assert xgrammar_accepts(spec, text) is is_taken, text


def test_long_bounds_of_free_text_are_llguidances_alone(
    byte_compiler: xgrammar_backend.Compiler, byte_auto: auto_backend.Compiler
) -> None:
    content = {"type": "any_text", "max_chars": 2000}
    spec = tag(type="tag", begin="<t>", content=content, end="</t>")
    with pytest.raises(LimitError, match="2,000 characters"):
        byte_compiler.compile(spec)
    assert byte_auto.compile(spec).completion.minimum is not None


PAIRS = 'start: pair ("," pair)*\npair: /[a-z]/ "{" start? "}"\n'


@pytest.mark.parametrize(
    ("text", "is_taken"),
    [
        ("so: a{},b{c{}}!", True),
        ('so: a{}!{"city":"Oslo"}', True),
        ("so: a{}", False),
        ("so: a{!", False),
        ("so: !", False),
    ],
)
def test_an_island_may_have_a_grammar_in_lark(text: str, is_taken: bool, accepts: Accepts) -> None:
    island = {"begin": "so: ", "content": {"type": "lark", "lark": PAIRS}, "end": "!"}
    city = {"type": "or", "elements": [{"type": "json_schema", "json_schema": CITY}, EMPTY]}
    spec = tag(type="sequence", elements=[{"type": "tag", **island}, city])
    assert accepts(spec, text) is is_taken
    free = tag(type="triggered_tags", triggers=["so: "], tags=[island])
    assert accepts(free, "Well, so: a{}! And so: b{a{}}!") is True
    assert accepts(free, "Well, so: a{} and") is False


EMPTY = {"type": "const_string", "value": ""}


@pytest.mark.parametrize(
    ("lark", "message"),
    [
        ('start: "a" nothing', "unknown name"),
        ('start: "a"\n}\nstart: "b" {', "llguidance"),
        ('%ignore / +/\nstart: "a" "b"', "%ignore is not held"),
    ],
)
def test_a_grammar_in_lark_that_cannot_be_held_is_refused_by_its_place(
    lark: str, message: str, byte_auto: auto_backend.Compiler
) -> None:
    with pytest.raises(GrammarError, match=message) as caught:
        byte_auto.compile(tag(type="lark", lark=lark))
    assert caught.value.pointer == "/format/lark"


def test_a_tag_has_grammars_in_one_notation(byte_auto: auto_backend.Compiler) -> None:
    both = [{"type": "lark", "lark": PAIRS}, {"type": "grammar", "grammar": 'root ::= "x"'}]
    with pytest.raises(GrammarError, match="does not read"):
        byte_auto.compile(tag(type="sequence", elements=both))
