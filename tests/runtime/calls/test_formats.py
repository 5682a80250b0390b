"""Formats are chosen by the chat template, and forced calls are written in them."""

from __future__ import annotations

import json
import random
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch

from radixlm.constrained.grammar import Grammar
from radixlm.constrained.llguidance_backend import Compiler
from radixlm.constrained.spec import GrammarSpec
from radixlm.constrained.vocab import Vocabulary
from radixlm.ir.reasoning import FAMILIES
from radixlm.runtime.calls import open_parser
from radixlm.runtime.calls.formats import FORMATS, HARMONY, find_format, find_thinking
from radixlm.runtime.calls.grammar import Tag, after_thinking, checked_calls, forced_calls
from radixlm.runtime.calls.tool import Tool

from ..vocabularies import real
from .texts import joined

WEATHER = {
    "type": "object",
    "properties": {
        "days": {"type": "integer", "minimum": 1, "maximum": 9},
        "city": {"enum": ["Paris", 'the "City"']},
        "units": {"anyOf": [{"$ref": "#/$defs/unit"}, {"type": "null"}]},
        "exact": {"type": "array", "items": {"type": "boolean"}, "maxItems": 2},
    },
    "required": ["city"],
    "additionalProperties": False,
    "$defs": {"unit": {"const": "°C"}},
}
TIME = {
    "type": "object",
    "properties": {"zone": {"enum": ["CET", "UTC"]}, "seconds": {"type": "boolean"}},
    "additionalProperties": False,
}
SCHEMAS: dict[str, dict[str, Any]] = {"weather": WEATHER, "time": TIME}
TOOLS = [Tool(name, schema) for name, schema in SCHEMAS.items()]


@pytest.fixture(scope="module")
def compiler() -> Compiler:
    tokens = (*(bytes([byte]) for byte in range(256)), b"")
    return Compiler(Vocabulary(tokens, frozenset({256})))


def compiled(compiler: Compiler, tag: Tag) -> Grammar:
    return compiler.compile(GrammarSpec.structural_tag({"type": "structural_tag", "format": tag}))


def drawn(grammar: Grammar, rng: random.Random) -> str:
    """A random text of a grammar that ends as soon as it may, byte by byte."""
    matcher, text = grammar.matcher(), bytearray()
    mask = torch.zeros(1, 9, dtype=torch.int32)
    while not matcher.is_finished and len(text) < 2000:
        matcher.fill(mask, 0)
        bits = np.unpackbits(mask.numpy().view(np.uint8), bitorder="little")
        allowed = [int(token) for token in np.flatnonzero(bits)]
        token = rng.choice(allowed)
        assert matcher.accept(token)
        if token == 256:
            break
        text.append(token)
    return text.decode()


def takes(grammar: Grammar, text: str) -> bool:
    matcher = grammar.matcher()
    return all(matcher.accept(byte) for byte in text.encode()) and matcher.is_accepting


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_forced_calls_are_read_back_in_the_same_format(name: str, compiler: Compiler) -> None:
    rng = random.Random(name)
    grammar = compiled(compiler, forced_calls(FORMATS[name], TOOLS, is_one=False))
    counts = set[int]()
    for _ in range(12):
        text = drawn(grammar, rng)
        parser = open_parser(FORMATS[name], SCHEMAS, streams=False)
        said, thought, calls = joined(parser.feed(text) + parser.finish())
        assert (said, thought) == ("", "")
        for called, arguments in calls:
            jsonschema.validate(json.loads(arguments), SCHEMAS[called])
        counts.add(len(calls))
    assert 0 not in counts
    assert len(counts) > 1


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_one_forced_call_is_one(name: str, compiler: Compiler) -> None:
    rng = random.Random(name)
    grammar = compiled(compiler, forced_calls(FORMATS[name], TOOLS[1:], is_one=True))
    for _ in range(4):
        parser = open_parser(FORMATS[name], SCHEMAS, streams=True)
        _, _, calls = joined(parser.feed(drawn(grammar, rng)) + parser.finish())
        assert [called for called, _ in calls] == ["time"]


def test_a_call_is_forced_behind_thinking_that_is_open(compiler: Compiler) -> None:
    tag = after_thinking(FAMILIES["qwen3"], forced_calls(FORMATS["hermes"], TOOLS, is_one=True))
    call = '<tool_call>\n{"name": "time", "arguments": {"zone":"UTC"}}\n</tool_call>'
    grammar = compiled(compiler, tag)
    assert takes(grammar, f"Hm, </thin\nno.</think>\n\n{call}")
    assert not takes(grammar, f"Hm.</think>\n\nNo {call}")
    assert not takes(grammar, call)


def test_strict_tools_hold_calls_to_their_schemas_and_leave_text_free(compiler: Compiler) -> None:
    tag = checked_calls(FORMATS["deepseekv31"], TOOLS)
    assert tag is not None
    grammar = compiled(compiler, tag)
    text = "Any text{} <｜tool▁calls▁begin｜><｜tool▁call▁begin｜>time<｜tool▁sep｜>{}"  # noqa: RUF001
    end = "<｜tool▁call▁end｜><｜tool▁calls▁end｜>"  # noqa: RUF001
    assert takes(grammar, text.format("", '{"zone":"CET"}') + end)
    assert not takes(grammar, text.format("", '{"zone":"PST"}') + end)
    assert takes(grammar, "No call at all.")
    assert checked_calls(FORMATS["llama3"], TOOLS) is None


def test_a_mark_that_ends_a_generation_is_left_to_the_stop(compiler: Compiler) -> None:
    stops = {"<|call|>", "<|return|>"}
    tag = forced_calls(HARMONY, TOOLS, is_one=False, stops=stops)
    grammar = compiled(compiler, tag)
    rng = random.Random(0)
    for _ in range(6):
        text = drawn(grammar, rng)
        assert "<|call|>" not in text
        parser = open_parser(HARMONY, SCHEMAS, streams=False)
        said, thought, calls = joined(parser.feed(text) + parser.finish())
        assert (said, thought, len(calls)) == ("", "", 1)
    checked = checked_calls(HARMONY, TOOLS, stops=stops)
    assert checked is not None
    head = "<|channel|>commentary to=functions.time <|constrain|>json<|message|>"
    assert takes(compiled(compiler, checked), f'Hm.{head}{{"zone":"UTC"}}')


def test_an_argument_that_is_no_name_cannot_be_a_keyword() -> None:
    tool = Tool("f", {"type": "object", "properties": {"a b": {}}})
    with pytest.raises(ValueError, match="'a b' of 'f' cannot be written as a keyword"):
        forced_calls(FORMATS["pythonic"], [tool], is_one=True)


@pytest.mark.parametrize("name", ["qwen3_coder", "glm45"])
def test_texts_between_marks_are_free_and_their_rules_are_refused_if_strict(
    name: str, compiler: Compiler
) -> None:
    dated = {"type": "object", "properties": {"day": {"type": "string", "format": "date"}}}
    grammar = compiled(compiler, forced_calls(FORMATS[name], [Tool("f", dated)], is_one=True))
    before, between, behind = FORMATS[name].layouts[0].argument
    layout = FORMATS[name].layouts[0]
    call = f'{layout.begin}f{layout.middle}{before}day{between}a <b> "\n{behind}{layout.end}'
    assert takes(grammar, call)
    with pytest.raises(ValueError, match="'day' of 'f' is text with format, which calls"):
        forced_calls(FORMATS[name], [Tool("f", dated, is_strict=True)], is_one=True)
    odd = {"type": "object", "properties": {between.split()[0]: {}}}
    with pytest.raises(ValueError, match="of 'f' cannot be written between"):
        forced_calls(FORMATS[name], [Tool("f", odd)], is_one=True)


@pytest.mark.parametrize("name", ["qwen3_coder", "glm45"])
def test_a_tool_without_a_schema_may_be_given_any_arguments(name: str, compiler: Compiler) -> None:
    tag = checked_calls(FORMATS[name], [Tool("f", {"type": "object"})])
    assert tag is not None
    grammar = compiled(compiler, tag)
    layout = FORMATS[name].layouts[0]
    before, between, behind = layout.argument
    one, two = (f"{before}{key}{between}1{behind}" for key in ("one", "two"))
    for arguments in ("", one, one + two):
        assert takes(grammar, f"Well. {layout.begin}f{layout.middle}{arguments}{layout.end}")
    assert not takes(grammar, f"{layout.begin}f{layout.middle}1{layout.end}")


TEMPLATES = [
    ("qwen2.5", "qwen25", None),
    ("llama-3.1", "llama3", None),
    ("phi-3", None, None),
]


@pytest.mark.slow
@pytest.mark.parametrize(("tokenizer", "calls", "thinking"), TEMPLATES)
def test_real_templates_tell_their_format(
    tokenizer: str, calls: str | None, thinking: str | None
) -> None:
    text = real(tokenizer).template_text
    assert find_format("auto", text) is (FORMATS[calls] if calls else None)
    assert find_thinking("auto", text) is thinking


ARGUMENTS: list[dict[str, Any]] = [
    {"city": "Paris"},
    {},
    {
        "city": '東京 "x" <b>&\'\\ {}[]',
        "n": [1, 2.5, None, True, {"a": {}}],
        "é": "a\nb</tool_call>",
    },
]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["qwen2.5", "llama-3.1"])
@pytest.mark.parametrize("arguments", ARGUMENTS)
def test_a_call_that_a_real_template_writes_is_read_back(
    name: str, arguments: dict[str, Any]
) -> None:
    tokenizer = real(name)
    question = {"role": "user", "content": "The weather?"}
    call = {"type": "function", "function": {"name": "weather", "arguments": arguments}}
    answer = {"role": "assistant", "content": "", "tool_calls": [call]}
    tools = [{"type": "function", "function": {"name": "weather"}}]
    before = tokenizer.render([question], tools=tools)
    both = tokenizer.render([question, answer], add_generation_prompt=False, tools=tools)
    assert both[: len(before) - 1] == before[:-1]
    written = find_format("auto", tokenizer.template_text)
    assert written is not None
    behind = tokenizer.decode(both[len(before) - 1 :])
    parser = open_parser(written, {"weather": {}}, streams=True)
    said, _, [(called, source)] = joined(parser.feed(behind) + parser.finish())
    assert (said.strip(), called, json.loads(source)) == ("", "weather", arguments)


SIGNS = [
    ("gpt-oss", "{{ '<|start|>assistant<|channel|>commentary<|message|><|call|>' }}"),
    ("mistral", "[AVAILABLE_TOOLS]{{ tools }}[TOOL_CALLS]"),
    ("kimi_k2", "{{ '<|tool_calls_section_begin|>' }}{%- for tool_call in tool_calls %}"),
    ("qwen3_coder", '"name": arguments <tool_call>\n<function=f>\n<parameter=p>\n</tool_call>'),
    ("glm45", '{"name"} arguments <tool_call>{f}\n<arg_key>{k}</arg_key>\n<arg_value>'),
    ("hermes", '{{ \'<tool_call>\\n{"name": "\' + name + \'", "arguments": \' }}'),
    ("phi4_mini", "<|system|>{{ '<|tool|>' + tools + '<|/tool|>' }}"),
    ("pythonic", "<|python_tag|> [func_name1(params_name1=params_value1)]"),
]


@pytest.mark.parametrize(("name", "template"), SIGNS)
def test_signs_in_a_template_tell_its_format(name: str, template: str) -> None:
    assert find_format("auto", template) is FORMATS[name]
    assert find_format("none", template) is None


def test_thinking_is_told_by_the_template_or_by_name() -> None:
    assert find_thinking("auto", "{% if '</think>' in content %}") == FAMILIES["qwen3"]
    assert find_thinking("auto", SIGNS[0][1]) is HARMONY
    assert find_thinking("auto", "nothing") is None
    assert find_thinking("deepseek-r1", "") == FAMILIES["deepseek-r1"]
    with pytest.raises(ValueError, match="--tool-call-parser takes auto, none, deepseekv3"):
        find_format("nobody", "")
    with pytest.raises(ValueError, match="no format of thinking is named 'nobody'"):
        find_thinking("nobody", "")
