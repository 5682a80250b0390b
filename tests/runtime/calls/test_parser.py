"""Calls told apart from what surrounds them, however the text is cut."""

# ruff: noqa: RUF001  (DeepSeek's marks are written with wide bars)
from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radixlm.runtime.calls import open_parser
from radixlm.runtime.calls.formats import FORMATS
from radixlm.runtime.calls.parser import Argued, Called, Said

from .texts import Found, joined

TOOLS: dict[str, dict[str, Any]] = {
    "weather": {"properties": {"city": {"type": "string"}, "days": {"type": "array"}}},
    "add.up": {},
    "no-args": {},
}
PARIS = '{"city": "Paris \\"\\u00e9\\n<tool_call>", "days": [1, 2.5, {"a": null}]}'
LIST = f'[{{"name": "weather", "arguments": {PARIS}}}, {{"name": "no-args", "arguments": {{}}}}]'
TWO = [("weather", PARIS), ("no-args", "{}")]


def read(name: str, pieces: Sequence[str], *, streams: bool = True) -> Found:
    parser = open_parser(FORMATS[name], TOOLS, streams=streams)
    return joined([event for piece in pieces for event in parser.feed(piece)] + parser.finish())


HERMES = f'<tool_call>\n{{"name": "weather", "arguments": {PARIS}}}\n</tool_call>'
NO_ARGS = '<tool_call>\n{"name": "no-args", "arguments": {}}\n</tool_call>'
V3 = (
    "<｜tool▁calls▁begin｜>"
    f"<｜tool▁call▁begin｜>function<｜tool▁sep｜>weather\n```json\n{PARIS}\n```<｜tool▁call▁end｜>\n"
    "<｜tool▁call▁begin｜>function<｜tool▁sep｜>no-args\n```json\n{}\n```<｜tool▁call▁end｜>"
    "<｜tool▁calls▁end｜>"
)
V31 = (
    "<｜tool▁calls▁begin｜>"
    f"<｜tool▁call▁begin｜>weather<｜tool▁sep｜>{PARIS}<｜tool▁call▁end｜>"
    "<｜tool▁call▁begin｜>no-args<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
)
HARMONY = (
    "<|channel|>analysis<|message|>Hm, {weather}.<|end|><|start|>assistant<|channel|>commentary "
    f"to=functions.weather <|constrain|>json<|message|>{PARIS}<|call|>"
    "<|start|>assistant to=functions.no-args<|channel|>commentary json<|message|>{}<|call|>"
)
KIMI = (  # https://github.com/MoonshotAI/Kimi-K2/blob/main/docs/tool_call_guidance.md
    "<|tool_calls_section_begin|>"
    f"<|tool_call_begin|>functions.weather:0<|tool_call_argument_begin|>{PARIS}<|tool_call_end|>"
    "<|tool_call_begin|>functions.no-args:1<|tool_call_argument_begin|>{}<|tool_call_end|>"
    "<|tool_calls_section_end|>"
)
CODER = (  # as the chat template of Qwen3-Coder asks for it
    '<tool_call>\n<function=weather>\n<parameter=city>\nParis "é"\n<tool_call>\n</parameter>\n'
    '<parameter=days>\n[1, 2.5, {"a": null}]\n</parameter>\n</function>\n</tool_call>'
)
GLM = (  # as the chat template of GLM-4.5 writes it
    '<tool_call>weather\n<arg_key>city</arg_key>\n<arg_value>Paris "é"\n<tool_call></arg_value>\n'
    '<arg_key>days</arg_key>\n<arg_value>[1, 2.5, {"a": null}]</arg_value>\n</tool_call>'
)
NO_ARGS_CODER = "<tool_call>\n<function=no-args>\n</function>\n</tool_call>"
TAGGED = [
    ("weather", '{"city": "Paris \\"é\\"\\n<tool_call>", "days": [1, 2.5, {"a": null}]}'),
    ("no-args", "{}"),
]
WHOLE: dict[str, tuple[str, str, Found]] = {
    "hermes": ("hermes", f"Let me see.\n{HERMES}\n{NO_ARGS}", ("Let me see.", "", TWO)),
    "text behind": ("qwen25", f"{HERMES}\n{NO_ARGS}\n Done. ", ("Done. ", "", TWO)),
    "arguments first, or none": (
        "qwen",
        '<tool_call>{"arguments":{"a":1},"name":"no-args"}</tool_call>'
        '<tool_call>{"type":"function","name":"no-args"}</tool_call>',
        ("", "", [("no-args", '{"a":1}'), ("no-args", "{}")]),
    ),
    "no end": ("hermes", NO_ARGS.removesuffix("\n</tool_call>"), ("", "", [TWO[1]])),
    "llama": (
        "llama3",
        f'{{"name": "weather", "parameters": {PARIS}}}; {{"name": "no-args", "parameters": {{}}}}',
        ("", "", TWO),
    ),
    "python tag": (
        "llama3",
        f'So: <|python_tag|>{{"name": "weather", "parameters": {PARIS}}}; also',
        ("So:; also", "", [TWO[0]]),
    ),
    "mistral": ("mistral", f"[TOOL_CALLS] {LIST}", ("", "", TWO)),
    "mistral's short form": (
        "mistral",
        f"Well. [TOOL_CALLS]weather[ARGS]{PARIS}[TOOL_CALLS]no-args[ARGS]{{}}",
        ("Well.", "", TWO),
    ),
    "mistral's shortest": (
        "mistral",
        f"[TOOL_CALLS]weather{PARIS}[TOOL_CALLS]no-args{{}}",
        ("", "", TWO),
    ),
    "phi": ("phi4_mini", f"functools{LIST}", ("", "", TWO)),
    "phi's tags": ("phi4_mini", f"<|tool_call|>{LIST}<|/tool_call|>", ("", "", TWO)),
    "deepseek": ("deepseekv3", f"I see.\n\n{V3}", ("I see.", "", TWO)),
    "deepseek 3.1": ("deepseekv31", V31, ("", "", TWO)),
    "python": (
        "pythonic",
        "[weather(city='Pa\\'ris, (1', days=[1, (2.5, None)], ok=true), add.up(), no-args( )]",
        (
            "",
            "",
            [
                ("weather", '{"city": "Pa\'ris, (1", "days": [1, [2.5, null]], "ok": true}'),
                ("add.up", "{}"),
                ("no-args", "{}"),
            ],
        ),
    ),
    "kimi": ("kimi_k2", f"I see. {KIMI}", ("I see.", "", TWO)),
    "coder": ("qwen3_coder", f"So:\n{CODER}\n{NO_ARGS_CODER}\n", ("So:", "", TAGGED)),
    "coder, several in one": (
        "qwen3_coder",
        CODER.removesuffix("\n</tool_call>") + NO_ARGS_CODER.removeprefix("<tool_call>"),
        ("", "", TAGGED),
    ),
    "coder, without the outer mark": (
        "qwen3_coder",
        NO_ARGS_CODER.removeprefix("<tool_call>\n"),
        ("", "", TAGGED[1:]),
    ),
    "coder, no end": (
        "qwen3_coder",
        NO_ARGS_CODER.removesuffix("</function>\n</tool_call>"),
        ("", "", TAGGED[1:]),
    ),
    "coder, two lines at the ends": (
        "qwen3_coder",
        "<function=weather><parameter=city>\n\nA\n\n</parameter></function> Done.",
        ("Done.", "", [("weather", '{"city": "\\nA\\n"}')]),
    ),
    "glm": ("glm45", f"So:\n{GLM}\n<tool_call>no-args\n</tool_call>", ("So:", "", TAGGED)),
    "glm on one line": (
        "glm45",
        "<tool_call>weather<arg_key>city</arg_key><arg_value>17</arg_value></tool_call>",
        ("", "", [("weather", '{"city": "17"}')]),
    ),
    "harmony": ("gpt-oss", HARMONY, ("", "Hm, {weather}.", TWO)),
    "harmony's answer": (
        "gpt-oss",
        "<|channel|>analysis<|message|>a <|end|><|start|>assistant<|channel|>final<|message|> b ",
        (" b ", "a ", []),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WHOLE)
@pytest.mark.parametrize("streams", [True, False])
def test_calls_are_told_apart_from_text(case: str, streams: bool) -> None:
    name, text, expected = WHOLE[case]
    assert read(name, [text], streams=streams) == expected
    assert read(name, list(text), streams=streams) == expected
    for _, arguments in expected[2]:
        assert isinstance(json.loads(arguments), dict)


MALFORMED = [
    ("hermes", '<tool_call>\n{"name": "unknown", "arguments": {}}\n</tool_call>'),
    ("hermes", "<tool_call>\nnothing\n</tool_call> \n"),
    ("hermes", '<tool_call>\n{"name": "weather", "arguments": [1]}\n</tool_call>'),
    ("hermes", '<tool_call>\n{"arguments": {"name": "weather"}}\n</tool_call>'),
    ("hermes", "I speak of <tool_call"),
    ("llama3", '{"title": "weather", "parameters": {}}'),
    ("llama3", '{"name": "unknown", "parameters": {}}'),
    ("llama3", '  {"name": "wea'),
    ("mistral", "[TOOL_CALLS]"),
    ("mistral", '[TOOL_CALLS] {"name": "weather"}'),
    ("phi4_mini", "the functools module"),
    ("deepseekv3", "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>weather {}"),
    ("pythonic", "[1, 2]"),
    ("kimi_k2", "<|tool_calls_section_begin|><|tool_call_begin|>weather:0"),
    ("kimi_k2", "<|tool_call_begin|>functions.weather:0"),
    ("qwen3_coder", "<tool_call>\n<function=unknown>\n</function>\n</tool_call>"),
    ("qwen3_coder", "<tool_call>\n{}\n</tool_call>"),
    ("glm45", "<tool_call>weatherman\n</tool_call>"),
    ("glm45", "<tool_call>"),
    ("pythonic", "[unknown(a=1)]"),
    ("pythonic", "[weather]"),
    ("gpt-oss", "<|channel|>commentary to=python<|message|>1 + 1"),
    ("gpt-oss", "<|channel|>fin"),
    ("gpt-oss", "plain {text}"),
]


@pytest.mark.parametrize(("name", "text"), MALFORMED)
@pytest.mark.parametrize("streams", [True, False])
def test_what_is_no_call_is_said_as_it_was_written(name: str, text: str, streams: bool) -> None:
    assert read(name, [text], streams=streams) == (text, "", [])
    assert read(name, list(text), streams=streams) == (text, "", [])


def test_a_call_that_breaks_off_is_said_unless_it_was_told_already() -> None:
    text = 'So: <tool_call>\n{"name": "weather", "arguments": {"city": "Par'
    assert read("hermes", [text], streams=False) == (text, "", [])
    assert read("hermes", list(text)) == ("So:", "", [("weather", '{"city": "Par')])
    python = "[weather(city='Paris', days={1})]"
    assert read("pythonic", [python], streams=False) == (python, "", [])
    said, _, calls = read("pythonic", [python])
    assert calls == [("weather", '{"city": "Paris"')]
    assert python.endswith(said)


def test_arguments_stream_as_they_come() -> None:
    parser = open_parser(FORMATS["hermes"], TOOLS, streams=True)
    assert parser.feed('Hm. <tool_call>\n{"name": "wea') == [Said("Hm.")]
    assert parser.feed('ther", "arguments": {"ci') == [Called(0, "weather"), Argued(0, '{"ci')]
    assert parser.feed('ty": "Par') == [Argued(0, 'ty": "Par')]
    assert parser.feed('is"}}\n</tool') == [Argued(0, 'is"}')]
    assert parser.feed("_call>") + parser.finish() == []


def test_a_family_s_own_id_of_a_call_is_kept() -> None:
    parser = open_parser(FORMATS["kimi_k2"], TOOLS, streams=True)
    called = [event for event in parser.feed(KIMI) if isinstance(event, Called)]
    assert [event.id for event in called] == ["functions.weather:0", "functions.no-args:1"]


VALUES: list[tuple[str, Any, Any]] = [
    ("7", {"type": "string"}, "7"),
    ("7", {"type": "integer"}, 7),
    ("7", {"type": ["string", "null"]}, "7"),
    ("null", {"type": ["string", "null"]}, None),
    ("7", {"anyOf": [{"type": "string"}, {"type": "number"}]}, 7),
    ("True", {"type": "boolean"}, True),
    ("true", {"$ref": "#/$defs/flag"}, True),
    ("None", {"enum": ["a", None]}, None),
    ("a", {"enum": ["a", None]}, "a"),
    ("{'a': [1]}", {"type": "object"}, {"a": [1]}),
    ('{"a": [true]}', {"type": "object"}, {"a": [True]}),
    ("soon", {"type": "integer"}, "soon"),
    ("[1]", {"oneOf": [{"const": "[1]"}]}, "[1]"),
    ("[1]", {}, [1]),
    ("as it is", {}, "as it is"),
    ("1", {"$ref": "#/$defs/none"}, 1),
    ("1", {"$ref": "#/$defs/loop"}, 1),
]


@pytest.mark.parametrize(("text", "schema", "value"), VALUES)
def test_a_value_between_marks_is_what_its_schema_says(text: str, schema: Any, value: Any) -> None:
    loop = {"anyOf": [{"$ref": "#/$defs/loop"}, {"type": "integer"}]}
    root = {"properties": {"x": schema}, "$defs": {"flag": {"type": "boolean"}, "loop": loop}}
    written = f"<tool_call>f<arg_key>x</arg_key><arg_value>{text}</arg_value></tool_call>"
    parser = open_parser(FORMATS["glm45"], {"f": root}, streams=False)
    _, _, [(_, arguments)] = joined(parser.feed(written) + parser.finish())
    assert json.loads(arguments) == {"x": value}


PIECES = [
    *("<tool_call>", "</tool_call>", "[TOOL_CALLS]", "[ARGS]", "functools", "<|python_tag|>"),
    *('{"name": "weather"', ', "arguments": ', ', "parameters": ', PARIS, "{}", "}", "{", '"', "["),
    *("]", ";", ",", " ", "\n", "weather", "no-args", "weather(", "city=", "'a'", ")", "text", "<"),
    *("<function=weather>", "<parameter=city>", "</parameter>", "</function>", "<function=", ">"),
    *("<arg_key>a</arg_key>", "<arg_value>", "</arg_value>", "<|tool_call_begin|>functions."),
    *("<|channel|>analysis", "<|channel|>final", "<|message|>", "<|end|>", "<|start|>assistant"),
    *(
        "<|channel|>commentary to=functions.weather",
        HERMES,
        V3,
        V31,
        HARMONY,
        KIMI,
        CODER,
        GLM,
        NO_ARGS_CODER,
        "\\",
        "<｜tool▁calls",
    ),
]


@given(
    st.sampled_from(sorted(FORMATS)),
    st.lists(st.sampled_from(PIECES), max_size=12).map("".join),
    st.lists(st.integers(0, 400), max_size=12),
    st.booleans(),
)
def test_any_cut_of_a_text_gives_the_same(
    name: str, text: str, cuts: list[int], streams: bool
) -> None:
    places = [0, *sorted(cut for cut in cuts if cut < len(text)), len(text)]
    pieces = [text[a:b] for a, b in pairwise(places)]
    whole = read(name, [text], streams=streams)
    assert read(name, pieces, streams=streams) == whole
    assert read(name, list(text), streams=streams) == whole


JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)  # fmt: skip


@given(st.dictionaries(st.text(max_size=6), JSON, max_size=4), st.booleans())
def test_any_json_comes_through_whole(arguments: dict[str, Any], ascii_only: bool) -> None:
    source = json.dumps(arguments, ensure_ascii=ascii_only)
    text = f'<tool_call>\n{{"name": "weather", "arguments": {source}}}\n</tool_call>'
    assert read("hermes", [text], streams=False) == ("", "", [("weather", source)])
