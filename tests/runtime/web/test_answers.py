"""Answers of the families, told apart; no server is needed."""

from __future__ import annotations

from typing import Any

import pytest

from radixlm.ir.reasoning import FAMILIES
from radixlm.runtime.calls.formats import FORMATS, HARMONY
from radixlm.runtime.web.answers import Answer, Formats

QWEN = Formats(FORMATS["qwen25"], FAMILIES["qwen3"], frozenset())
CALL = '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>'
TOOLS = {"f": {"type": "object", "properties": {"a": {"type": "integer"}}}}
FUNCTION = {"name": "f", "arguments": '{"a": 1}'}


def told(formats: Formats, text: str, **options: Any) -> dict[str, Any]:
    """The message of a text, the same whole and letter by letter."""
    given = {"is_open": False, "separates": True, "streams_thinking": True, **options}
    whole = Answer(formats, TOOLS, streams=False, **given).message(text)
    answer = Answer(formats, TOOLS, streams=True, **given)
    parts = [delta for letter in text for delta in answer.feed(letter)] + answer.finish()
    for name in ("content", "reasoning_content"):
        assert "".join(part.get(name, "") for part in parts) == (whole[name] or "")
    calls = [call for part in parts for call in part.get("tool_calls", ())]
    assert "".join(call["function"]["arguments"] for call in calls) == "".join(
        call["function"]["arguments"] for call in whole["tool_calls"] or ()
    )
    for call in whole["tool_calls"] or ():
        del call["id"]
    return whole


def message(content: str | None, thought: str | None, *functions: Any) -> dict[str, Any]:
    calls = [{"type": "function", "function": function} for function in functions]
    return {
        "role": "assistant",
        "content": content,
        "reasoning_content": thought,
        "tool_calls": calls or None,
    }


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        (f"<think>hm</think>\n{CALL}", {}, message(None, "hm", FUNCTION)),
        (f"hm</think>So {CALL} yes", {"is_open": True}, message("Soyes", "hm", FUNCTION)),
        (f"<think>{CALL}</think>a", {}, message("a", CALL)),
        ("plain ", {}, message("plain ", None)),
        (
            "<think>a</think> b",
            {"separates": False, "streams_thinking": False},
            message("<think>a</think> b", None),
        ),
        ("<think>a</think> b", {"streams_thinking": False}, message("b", "a")),
        ("", {}, message("", None)),
    ],
)
def test_qwens_answers_are_told_apart(
    text: str, options: dict[str, bool], expected: dict[str, Any]
) -> None:
    assert told(QWEN, text, **options) == expected


def test_harmonys_channels_are_told_apart_with_thinking_or_without() -> None:
    formats = Formats(None, HARMONY, frozenset())
    text = "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>Yes"
    assert told(formats, text) == message("Yes", "hm")
    assert told(formats, text, separates=False) == message("hmYes", None)


def test_ids_of_calls_are_as_a_familys_template_wants_them() -> None:
    given: dict[str, Any] = {"is_open": False, "separates": True, "streams_thinking": True}
    mistral = Answer(Formats(FORMATS["mistral"], None, frozenset()), TOOLS, streams=False, **given)
    [call] = mistral.message("[TOOL_CALLS]f{}")["tool_calls"]
    assert len(call["id"]) == 9
    assert call["id"].isalnum()


def test_special_tokens_are_shown_where_they_tell_parts_apart() -> None:
    mistral = Formats(FORMATS["mistral"], None, frozenset({"[TOOL_CALLS]", "</s>"}))
    assert mistral.needs_special(has_tools=True)
    assert not mistral.needs_special(has_tools=False)
    assert not Formats(FORMATS["hermes"], FAMILIES["qwen3"], frozenset({"</s>"})).needs_special(
        has_tools=True
    )
    assert Formats(None, HARMONY, frozenset({"<|channel|>"})).needs_special(has_tools=False)


def test_a_family_s_own_id_and_the_types_of_the_schema_reach_the_message() -> None:
    given: dict[str, Any] = {"is_open": False, "separates": True, "streams_thinking": True}
    kimi = (
        "<|tool_calls_section_begin|><|tool_call_begin|>functions.f:3"
        '<|tool_call_argument_begin|>{"a": 1}<|tool_call_end|><|tool_calls_section_end|>'
    )
    formats = Formats(FORMATS["kimi_k2"], None, frozenset())
    [call] = Answer(formats, TOOLS, streams=False, **given).message(kimi)["tool_calls"]
    assert call == {"id": "functions.f:3", "type": "function", "function": FUNCTION}
    coder = "<tool_call>\n<function=f>\n<parameter=a>\n1\n</parameter>\n</function>\n</tool_call>"
    found = told(Formats(FORMATS["qwen3_coder"], None, frozenset()), f"So. {coder}")
    assert found == message("So.", None, FUNCTION)
