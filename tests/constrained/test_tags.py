"""Structural tags: free text, and islands in it that are held to schemas and patterns."""

from __future__ import annotations

from typing import Any

import pytest

from radixlm.constrained import xgrammar_backend
from radixlm.constrained.errors import GrammarError, UnsupportedError
from radixlm.constrained.llguidance_backend import Compiler
from radixlm.constrained.spec import GrammarSpec

from .conftest import Accepts

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
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
    text: str, is_taken: bool, accepts: Accepts
) -> None:
    assert accepts(GrammarSpec.structural_tag(LEGACY), text) is is_taken


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
    text: str, is_taken: bool, accepts: Accepts
) -> None:
    assert accepts(tag(**THINK), text) is is_taken


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
    options: dict[str, bool], text: str, is_taken: bool, accepts: Accepts
) -> None:
    spec = tag(type="tags_with_separator", tags=TAGS, separator=",", **options)
    assert accepts(spec, text) is is_taken


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
    options: dict[str, bool], text: str, is_taken: bool, accepts: Accepts
) -> None:
    spec = tag(type="triggered_tags", tags=TAGS, triggers=["a:", "b:"], **options)
    assert accepts(spec, text) is is_taken


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


def test_xgrammar_is_not_asked(byte_compiler: xgrammar_backend.Compiler) -> None:
    with pytest.raises(UnsupportedError, match="does not read"):
        byte_compiler.compile(GrammarSpec.structural_tag(LEGACY))
