"""Tools through the official client: calls read, streamed, forced and refused."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import openai
import pytest

from .conftest import Server

TALK: Any = [{"role": "user", "content": "What is the weather in Paris?"}]
WEATHER = {
    "type": "object",
    "properties": {"city": {"enum": ["Paris", "Lyon"]}, "days": {"type": "integer", "maximum": 9}},
    "required": ["city"],
    "additionalProperties": False,
}


def tool(name: str, parameters: Any = None, **rest: Any) -> Any:
    return {"type": "function", "function": {"name": name, "parameters": parameters, **rest}}


TOOLS = [tool("weather", WEATHER), tool("now")]
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_call>'


def ask(client: openai.OpenAI, text: str | None = None, **fields: Any) -> Any:
    """Ask with tools; with `text`, the model can say nothing else, but for `___`: letters."""
    body = {"regex": re.escape(text).replace("___", "[a-z]{30}")} if text is not None else {}
    return client.chat.completions.create(
        model="tiny", messages=TALK, tools=TOOLS, max_tokens=200, extra_body=body, **fields
    )


def test_calls_are_told_apart_from_thinking_and_content(client: openai.OpenAI) -> None:
    text = f"<think>\nHm.\n</think>\n\nLet me see.\n{CALL}\n{CALL}"
    [choice] = ask(client, text).choices
    assert choice.finish_reason == "tool_calls"
    assert (choice.message.content, choice.message.reasoning_content) == ("Let me see.", "Hm.")
    first, second = choice.message.tool_calls
    assert first.id.startswith("call_")
    assert first.id != second.id
    assert (first.function.name, json.loads(first.function.arguments)) == (
        "weather",
        {"city": "Paris"},
    )


def test_a_stream_joins_to_the_whole_answer(client: openai.OpenAI) -> None:
    call = CALL.replace("Paris", "___")
    text = f"<think>\nHm.\n</think>\n\nLet me see.\n{call}\nDone."
    said = thought = arguments = ""
    names: list[str] = []
    reasons: list[str] = []
    pieces = 0
    for chunk in ask(client, text, stream=True):
        [choice] = chunk.choices
        said += choice.delta.content or ""
        thought += choice.delta.reasoning_content or ""
        for call in choice.delta.tool_calls or ():
            assert call.index == 0
            names += [call.function.name] if call.function.name else []
            arguments += call.function.arguments or ""
            pieces += bool(call.function.arguments)
        reasons += [choice.finish_reason] if choice.finish_reason else []
    assert (said, thought, names) == ("Let me see.Done.", "Hm.", ["weather"])
    assert len(json.loads(arguments)["city"]) == 30
    assert pieces > 1
    assert reasons == ["tool_calls"]


@pytest.mark.parametrize("stream", [False, True])
def test_what_is_no_call_stays_content(stream: bool, client: openai.OpenAI) -> None:
    text = '<tool_call>\n{"name": "unknown", "arguments": {}}\n</tool_call>'
    found = ask(client, text, stream=stream)
    if stream:
        said = "".join(chunk.choices[0].delta.content or "" for chunk in found)
    else:
        [choice] = found.choices
        said = choice.message.content
        assert (choice.finish_reason, choice.message.tool_calls) == ("stop", None)
    assert said == text


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "now"}}])
def test_a_call_is_forced(choice: Any, client: openai.OpenAI) -> None:
    answer = ask(client, tool_choice=choice, parallel_tool_calls=False, seed=1)
    [call] = answer.choices[0].message.tool_calls
    assert answer.choices[0].finish_reason == "tool_calls"
    arguments = json.loads(call.function.arguments)
    if choice == "required":
        assert call.function.name in ("weather", "now")
    else:
        assert (call.function.name, arguments) == ("now", {})
    if call.function.name == "weather":
        jsonschema.validate(arguments, WEATHER)


def test_without_a_choice_or_tools_calls_are_content(client: openai.OpenAI) -> None:
    [choice] = ask(client, CALL, tool_choice="none").choices
    assert (choice.message.content, choice.message.tool_calls) == (CALL, None)


def test_thinking_stays_in_the_content_when_asked(server: Server) -> None:
    body = {"messages": TALK, "regex": "<think>a</think>b", "separate_reasoning": False}
    [choice] = server.post("/v1/chat/completions", body).json()["choices"]
    assert choice["message"]["content"] == "<think>a</think>b"
    assert choice["message"]["reasoning_content"] is None


def test_calls_and_their_results_go_back_into_the_prompt(server: Server) -> None:
    call = {"id": "call_1", "type": "function"}
    talk = [
        *TALK,
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{**call, "function": {"name": "now", "arguments": '{"a": [1]}'}}],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "noon"},
    ]
    body = {"messages": talk, "max_tokens": 1}
    counted = server.post("/v1/chat/completions", body).json()["usage"]["prompt_tokens"]
    text = (
        "<|im_start|>user\nWhat is the weather in Paris?<|im_end|>\n<|im_start|>assistant\n"
        '<tool_call>\n{"name": "now", "arguments": {"a": [1]}}\n</tool_call><|im_end|>\n'
        "<|im_start|>tool\nnoon<|im_end|>\n<|im_start|>assistant\n"
    )
    assert counted == server.post("/tokenize", {"prompt": text}).json()["count"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tools": {}, "tool_choice": "required"}, "there are no tools"),
        ({"tools": "x"}, "tools must be a list"),
        ({"tools": [{"type": "x"}]}, "tools[0] must be of type 'function'"),
        ({"tools": [tool("a b")]}, "tools[0].function.name is 'a b'"),
        ({"tools": [tool("a"), tool("a")]}, "two tools have the same name"),
        ({"tools": [tool("a", 3)]}, "tools[0].function.parameters must be a JSON Schema"),
        ({"tools": TOOLS, "tool_choice": "some"}, "tool_choice is 'some'; it must be"),
        (
            {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "x"}}},
            "tool_choice names 'x'; the tools are weather, now",
        ),
        (
            {"tools": TOOLS, "tool_choice": "required", "regex": "a"},
            "which a response_format or another constraint forbids",
        ),
        (
            {"tools": [tool("a", {"properties": {"x": {"$ref": "http://x"}}})]}
            | {"tool_choice": "required"},
            "$ref",
        ),
        ({"messages": [{**TALK[0], "tool_calls": [1]}]}, "messages[0].tool_calls must be a list"),
    ],
)  # fmt: skip
def test_a_bad_request_is_told_what_is_wrong(
    fields: dict[str, Any], message: str, server: Server
) -> None:
    answer = server.post("/v1/chat/completions", {"messages": TALK, **fields})
    assert (answer.status_code, message in answer.text) == (400, True), answer.text
