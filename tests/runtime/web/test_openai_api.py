"""The OpenAI routes through the official client."""

from __future__ import annotations

import re
from typing import Any

import jsonschema
import openai
import pytest

from .conftest import Server

pytestmark = pytest.mark.slow

TALK: Any = [{"role": "user", "content": "What is the capital of France?"}]
SCHEMA = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}, "n": {"enum": [1, 2, 3]}},
    "required": ["ok", "n"],
    "additionalProperties": False,
}
NAMED = {"name": "x", "schema": SCHEMA}
LONG = {"ignore_eos": True}


def test_a_chat_answers_with_usage(client: openai.OpenAI, server: Server) -> None:
    answer = client.chat.completions.create(
        model="tiny", messages=TALK, max_tokens=7, temperature=0, extra_body=LONG
    )
    [choice] = answer.choices
    assert (answer.object, answer.model) == ("chat.completion", "tiny")
    assert (choice.message.role, choice.finish_reason) == ("assistant", "length")
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 7
    rendered = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
    assert (
        answer.usage.prompt_tokens == server.post("/tokenize", {"prompt": rendered}).json()["count"]
    )
    native = server.generate(rendered, {"max_new_tokens": 7, "temperature": 0, **LONG})
    assert choice.message.content == native["text"]


def test_a_chat_streams_role_pieces_and_one_end_each(client: openai.OpenAI) -> None:
    fields: Any = {"model": "tiny", "messages": TALK, "max_tokens": 12, "seed": 3, "n": 2}
    whole = client.chat.completions.create(**fields, extra_body=LONG)
    chunks = list(
        client.chat.completions.create(
            **fields, stream=True, stream_options={"include_usage": True}, extra_body=LONG
        )
    )
    assert [chunk.choices[0].delta.role for chunk in chunks[:2]] == ["assistant"] * 2
    texts = {0: "", 1: ""}
    ends: list[int] = []
    for chunk in chunks[:-1]:
        [choice] = chunk.choices
        texts[choice.index] += choice.delta.content or ""
        if choice.finish_reason:
            ends.append(choice.index)
    assert ends == [0, 1]
    assert all(choice.finish_reason for chunk in chunks[-3:-1] for choice in chunk.choices)
    assert [texts[i] for i in range(2)] == [choice.message.content for choice in whole.choices]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert whole.usage is not None
    assert chunks[-1].usage.total_tokens == whole.usage.total_tokens


@pytest.mark.parametrize("stream", [False, True])
def test_chat_logprobs_cover_every_token(stream: bool, client: openai.OpenAI) -> None:
    fields: Any = {
        "model": "tiny",
        "messages": TALK,
        "max_tokens": 15,
        "temperature": 0,
        "logprobs": True,
        "top_logprobs": 2,
        "extra_body": {"logit_bias": {"300": 1}},
    }
    found: Any = client.chat.completions.create(**fields, stream=stream)
    answers: list[Any] = list(found) if stream else [found]
    entries = [
        entry
        for answer in answers
        for choice in answer.choices
        if choice.logprobs
        for entry in choice.logprobs.content
    ]
    whole = client.chat.completions.create(**fields)
    assert whole.usage is not None
    assert len(entries) == whole.usage.completion_tokens
    assert all(len(entry.top_logprobs) == 2 for entry in entries)


@pytest.mark.parametrize(
    ("fields", "check"),
    [
        (
            {"response_format": {"type": "json_schema", "json_schema": NAMED}},
            "schema",
        ),
        ({"extra_body": {"regex": "[a-c]{3}-[0-9]{2}"}}, "[a-c]{3}-[0-9]{2}"),
        ({"extra_body": {"ebnf": 'root ::= "yes" | "no"'}}, "yes|no"),
    ],
)  # fmt: skip
def test_a_chat_keeps_to_its_constraint(
    fields: dict[str, Any], check: str, client: openai.OpenAI
) -> None:
    answer: Any = client.chat.completions.create(
        model="tiny", messages=TALK, max_tokens=60, **fields
    )
    text = answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    if check == "schema":
        import json

        jsonschema.validate(json.loads(text), SCHEMA)
    else:
        assert re.fullmatch(check, text)


def test_json_object_is_begun_as_one(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="tiny", messages=TALK, max_tokens=20, response_format={"type": "json_object"}
    )
    assert (answer.choices[0].message.content or "").startswith("{")


def test_a_completion_echoes_and_counts(client: openai.OpenAI) -> None:
    fields: Any = {"model": "tiny", "prompt": "They wrote", "temperature": 0, "extra_body": LONG}
    plain = client.completions.create(**fields)
    assert plain.usage is not None
    assert plain.usage.completion_tokens == 16
    echoed = client.completions.create(**fields, echo=True, logprobs=2)
    assert echoed.choices[0].text == "They wrote" + plain.choices[0].text
    scores = echoed.choices[0].logprobs
    assert scores is not None
    assert scores.tokens is not None
    assert scores.token_logprobs is not None
    assert scores.token_logprobs[0] is None
    assert len(scores.tokens) == plain.usage.total_tokens
    streamed = client.completions.create(**fields, echo=True, stream=True)
    assert "".join(c.text for chunk in streamed for c in chunk.choices) == echoed.choices[0].text


def test_completions_of_several_prompts_and_samples_are_in_order(client: openai.OpenAI) -> None:
    answer = client.completions.create(
        model="tiny", prompt=["a", "They wrote"], n=2, temperature=0, max_tokens=4, extra_body=LONG
    )
    texts = [choice.text for choice in answer.choices]
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert texts[0] == texts[1]
    assert texts[2] == texts[3]
    by_ids = client.completions.create(
        model="tiny", prompt=[[100, 101], [102]], max_tokens=2, extra_body=LONG
    )
    assert len(by_ids.choices) == 2


def test_a_stop_string_is_named(client: openai.OpenAI) -> None:
    fields: Any = {"model": "tiny", "prompt": "They wrote", "temperature": 0, "extra_body": LONG}
    free = client.completions.create(**fields, max_tokens=20).choices[0].text
    stop = free[5]
    cut: Any = client.completions.create(**fields, max_tokens=40, stop=[stop]).choices[0]
    assert cut.text == free[: free.index(stop)]
    assert (cut.finish_reason, cut.matched_stop) == ("stop", stop)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("chat", {"messages": TALK, "regex": "("}, "Failed to compile the grammar"),
        ("chat", {"messages": TALK, "tools": [{"type": "function"}]}, "tools"),
        ("chat", {"messages": TALK, "rid": 5}, "rid"),
        ("chat", {"messages": TALK, "priority": "x"}, "priority"),
        ("chat", {"messages": TALK, "extra_key": 5}, "extra_key"),
        ("chat", {"messages": TALK, "stop": 5}, "stop"),
        ("chat", {"messages": TALK, "n": 0}, "n is 0"),
        ("chat", {"messages": TALK, "response_format": {"type": "x"}}, "response_format"),
        ("chat", {"messages": TALK, "response_format": 5}, "response_format"),
        ("chat", {"messages": TALK, "chat_template_kwargs": {"tokenize": 1}}, "template"),
        ("chat", {"messages": TALK, "chat_template_kwargs": {"messages": 1}}, "template"),
        ("chat", {"messages": TALK, "top_logprobs": "x", "logprobs": True}, "top_logprobs"),
        ("chat", {"messages": []}, "messages"),
        ("chat", {"messages": [{"role": "user"}]}, "messages[0]"),
        ("chat", {"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ("completions", {}, "prompt"),
        ("completions", {"prompt": []}, "prompt"),
        ("completions", {"prompt": [[1.5]]}, "input_ids"),
        ("completions", {"prompt": [True]}, "input_ids"),
        ("completions", {"prompt": ["a", 5]}, "prompt"),
        ("completions", {"prompt": "a", "nosuch": 1}, "nosuch"),
        ("completions", {"prompt": "a", "best_of": 3}, "best_of"),
        ("completions", {"prompt": "a", "logprobs": "x"}, "top_logprobs_num"),
    ],
)  # fmt: skip
def test_a_bad_request_is_a_flat_400_also_when_streaming(
    path: str, body: dict[str, Any], message: str, stream: bool, server: Server
) -> None:
    route = {"chat": "chat/completions"}.get(path, path)
    answer = server.post(f"/v1/{route}", {**body, "stream": stream})
    assert answer.status_code == 400
    found = answer.json()
    assert found["object"] == "error"
    assert found["code"] == 400
    assert message in found["message"]


def test_the_client_meets_its_own_errors(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="temperature"):
        client.completions.create(model="tiny", prompt="a", temperature=-1)
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other")


def test_models(client: openai.OpenAI) -> None:
    [model] = client.models.list().data
    assert (model.id, client.models.retrieve("tiny").id) == ("tiny", "tiny")


def test_a_final_assistant_message_is_continued_when_asked(
    client: openai.OpenAI, server: Server
) -> None:
    messages: Any = [*TALK, {"role": "assistant", "content": "It is"}]
    answer = client.chat.completions.create(
        model="tiny",
        messages=messages,
        max_tokens=6,
        temperature=0,
        extra_body={**LONG, "continue_final_message": True},
    )
    text = (
        "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\nIt is"
    )
    native = server.generate(text, {"max_new_tokens": 6, "temperature": 0, **LONG})
    assert answer.choices[0].message.content == native["text"]
