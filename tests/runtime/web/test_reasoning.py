"""Reasoning before a constrained answer and the order of properties, as clients ask for them."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import openai
import pytest

from .conftest import Server

MARKS = {"begin": "<think>", "end": "</think>", "gap": "\n\n", "max_tokens": 5}
WHOLE = r"<think>(.*?)</think>\n\n([ab]{3})"
NAMES = ("a", "b", "c")
FLAGS = {
    "type": "object",
    "properties": {name: {"type": "boolean"} for name in NAMES},
    "required": list(NAMES),
}
TALK: Any = [{"role": "user", "content": "x"}]


def events(answer: Any) -> list[Any]:
    # By bytes: text splits at separators too that stand in what is said.
    lines = [line for line in answer.content.splitlines() if line.startswith(b"data: {")]
    return [json.loads(line[6:]) for line in lines]


def test_reasoning_is_bounded_and_the_answer_constrained_on_every_route(server: Server) -> None:
    asked = {"regex": "[ab]{3}", "reasoning": MARKS, "temperature": 1.5}
    native = server.generate("x", asked)
    texts = [native["text"]]
    body = {"text": "x", "sampling_params": asked, "stream": True}
    texts.append(events(server.post("/generate", body))[-1]["text"])
    answer = server.post("/v1/completions", {"prompt": "x", "max_tokens": 100, **asked}).json()
    texts.append(answer["choices"][0]["text"])
    for text in texts:
        assert re.fullmatch(WHOLE, text, re.DOTALL), text
    assert native["meta_info"]["finish_reason"]["type"] == "stop"
    assert native["meta_info"]["forced_tokens"] > 0


@pytest.mark.parametrize("separates", [True, False])
def test_an_openai_client_reasons_before_its_response_format(
    separates: bool, client: openai.OpenAI
) -> None:
    schema = {"name": "flags", "schema": FLAGS, "strict": True}
    format_: Any = {"type": "json_schema", "json_schema": schema}
    more = {"reasoning": MARKS, "separate_reasoning": separates}
    made = client.chat.completions.create(
        model="tiny", messages=TALK, response_format=format_, extra_body=more
    )
    said = made.choices[0]
    content = said.message.content or ""
    if not separates:
        assert content.startswith("<think>")
        content = content.partition("</think>\n\n")[2]
    assert list(json.loads(content)) == list(NAMES)
    assert said.finish_reason == "stop"


def test_reasoning_alone_bounds_a_text_that_nothing_constrains(server: Server) -> None:
    body = {"prompt": "x", "reasoning": {"max_tokens": 2}, "max_tokens": 30, "ignore_eos": True}
    text = server.post("/v1/completions", body).json()["choices"][0]["text"]
    assert "</think>" in text[:40]


@pytest.mark.parametrize(
    ("reasoning", "words"),
    [
        ({"end": ""}, "reasoning.end"),
        ({"max_tokens": -1}, "at least 0"),
        ("</think>", "reasoning"),
    ],
)
def test_marks_and_bounds_that_cannot_be_kept_are_refused_by_name(
    reasoning: Any, words: str, server: Server
) -> None:
    for path, body in [
        ("/generate", {"text": "x", "sampling_params": {"regex": "a", "reasoning": reasoning}}),
        ("/v1/completions", {"prompt": "x", "regex": "a", "reasoning": reasoning}),
        ("/v1/chat/completions", {"messages": TALK, "regex": "a", "reasoning": reasoning}),
    ]:
        answer = server.post(path, body)
        assert answer.status_code == 400, path
        assert words in answer.text, path


def test_a_budget_that_reasoning_and_answer_do_not_fit_in_is_refused(server: Server) -> None:
    params = {"regex": "[ab]{3}", "reasoning": MARKS, "max_new_tokens": 2}
    answer = server.post("/generate", {"text": "x", "sampling_params": params})
    assert answer.status_code == 400
    assert "2 may be generated" in answer.text


def orders(server: Server, wanted: str | None, count: int) -> set[tuple[str, ...]]:
    """Return the orders in which the properties of some documents came, on three routes."""
    found: set[tuple[str, ...]] = set()
    more = {} if wanted is None else {"property_order": wanted}
    body = {"json_schema": json.dumps(FLAGS), "temperature": 2.0, "n": count, "seed": 7, **more}
    texts = [
        one["text"]
        for one in server.post("/generate", {"text": "x", "sampling_params": body}).json()
    ]
    answer = server.post("/v1/completions", {"prompt": "x", "max_tokens": 60, **body}).json()
    texts += [choice["text"] for choice in answer["choices"]]
    answer = server.post("/v1/chat/completions", {"messages": TALK, **body}).json()
    texts += [choice["message"]["content"] for choice in answer["choices"]]
    for text in texts:
        document = json.loads(text)
        assert document.keys() == set(NAMES)
        found.add(tuple(document))
    return found


def test_properties_come_as_declared_or_in_any_order_on_request(server: Server) -> None:
    assert orders(server, None, 3) == orders(server, "declared", 3) == {NAMES}
    found = orders(server, "any", 24)
    assert found <= set(itertools.permutations(NAMES))
    assert len(found) > 1


def test_an_order_that_is_not_known_is_refused_with_those_that_are(server: Server) -> None:
    params = {"json_schema": json.dumps(FLAGS), "property_order": "sorted"}
    for path, body in [
        ("/generate", {"text": "x", "sampling_params": params}),
        ("/v1/completions", {"prompt": "x", **params}),
    ]:
        answer = server.post(path, body)
        assert answer.status_code == 400
        assert "property_order" in answer.text
