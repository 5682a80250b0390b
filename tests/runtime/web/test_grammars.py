"""Grammars of every kind over HTTP, what is promised of them, and what fails in the end."""

from __future__ import annotations

import json
import re
from typing import Any

import openai
import pytest

import radixlm as rl
from radixlm.ir.program import to_json

from .conftest import Server

LARK = 'start: "a" /[0-9]{2}/ "b"'
GBNF = 'root ::= "a" [0-9]\n  [0-9] "b"\n'
TAG = {
    "type": "structural_tag",
    "format": {
        "type": "tag",
        "begin": "a",
        "content": {"type": "regex", "pattern": "[0-9]{2}"},
        "end": "b",
    },
}
# No mask enforces that three numbers of an open set differ; the check finds those that do not.
SAME = {
    "type": "array",
    "items": {"type": "number", "minimum": 3, "maximum": 3},
    "minItems": 2,
    "maxItems": 2,
    "uniqueItems": True,
}
UNEQUAL = {**SAME, "items": {"type": "string", "pattern": "^[a-z]{9}$"}}


@pytest.mark.parametrize("kind", ["gbnf", "lark", "structural_tag"])
def test_a_text_keeps_to_its_grammar_on_every_route(
    kind: str, server: Server, client: openai.OpenAI
) -> None:
    source = {"gbnf": GBNF, "lark": LARK, "structural_tag": TAG}[kind]
    native = server.generate("x", {kind: source})["text"]
    talk: Any = [{"role": "user", "content": "x"}]
    chat = client.chat.completions.create(model="tiny", messages=talk, extra_body={kind: source})
    format_: Any = TAG if kind == "structural_tag" else {"type": kind, kind: source}
    formatted = client.chat.completions.create(model="tiny", messages=talk, response_format=format_)
    plain = client.completions.create(model="tiny", prompt="x", extra_body={kind: source})
    texts = [native, chat.choices[0].message.content, formatted.choices[0].message.content]
    for text in [*texts, plain.choices[0].text]:
        assert re.fullmatch("a[0-9]{2}b", text or "")


def test_a_layout_is_asked_for_on_every_route(server: Server, client: openai.OpenAI) -> None:
    schema = {"properties": {"a": {"const": 1}, "b": {"const": []}}, "required": ["a", "b"]}
    layout: Any = {"property_order": "any", "whitespace": "flexible"}
    params = {"json_schema": json.dumps({**schema, "type": "object"}), **layout}
    native = server.generate("x", {**params, "temperature": 1})["text"]
    talk: Any = [{"role": "user", "content": "x"}]
    chat = client.chat.completions.create(model="tiny", messages=talk, extra_body=params)
    for text in (native, chat.choices[0].message.content):
        assert json.loads(text or "") == {"a": 1, "b": []}
    wrong = {"text": "x", "sampling_params": {**params, "whitespace": "loose"}}
    answer = server.post("/generate", wrong)
    assert answer.status_code == 400
    assert "whitespace" in answer.text


def test_a_document_that_fails_the_check_is_never_passed_as_valid(server: Server) -> None:
    params = {"json_schema": json.dumps(SAME), "schema_mode": "best_effort"}
    meta = server.generate("x", params)["meta_info"]
    assert meta["finish_reason"] == {"type": "invalid"}
    assert [failure["keyword"] for failure in meta["failures"]] == ["/uniqueItems"]
    assert meta["contract"]["checked"] == 1
    assert [found["pointer"] for found in meta["contract"]["findings"]] == ["/uniqueItems"]


def test_a_document_that_passes_the_check_says_so(server: Server) -> None:
    params = {"json_schema": json.dumps(UNEQUAL), "schema_mode": "best_effort"}
    answer = server.generate("x", {**params, "temperature": 1})
    assert len(set(json.loads(answer["text"]))) == 2
    assert answer["meta_info"]["finish_reason"]["type"] == "stop"
    assert answer["meta_info"]["failures"] == []


def test_a_stream_ends_with_what_was_found(server: Server) -> None:
    params = {"json_schema": json.dumps(SAME), "schema_mode": "best_effort"}
    body = {"text": "x", "sampling_params": params, "stream": True}
    events = [
        json.loads(line[6:])
        for line in server.post("/generate", body, stream=True).iter_lines()
        if line.startswith(b"data: {")
    ]
    reasons = [event["meta_info"]["finish_reason"] for event in events]
    assert reasons[-1] == {"type": "invalid"}
    assert set(map(str, reasons[:-1])) <= {"None"}
    assert events[-1]["meta_info"]["failures"]


@pytest.mark.parametrize("stream", [False, True])
def test_openai_clients_that_are_not_strict_are_told_what_failed(
    stream: bool, server: Server
) -> None:
    format_ = {"type": "json_schema", "json_schema": {"schema": SAME, "strict": False}}
    body = {"messages": [{"role": "user", "content": "x"}], "response_format": format_}
    if not stream:
        choice = server.post("/v1/chat/completions", body).json()["choices"][0]
    else:
        answer = server.post("/v1/chat/completions", {**body, "stream": True})
        lines = [line for line in answer.content.splitlines() if line.startswith(b"data: {")]
        choice = json.loads(lines[-1][6:])["choices"][0]
    assert choice["finish_reason"] == "invalid"
    assert choice["failures"][0]["keyword"] == "/uniqueItems"


def test_the_contract_comes_on_request(server: Server) -> None:
    schema = json.dumps({"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"]})
    silent = server.generate("x", {"json_schema": schema})["meta_info"]
    assert "contract" not in silent
    meta = server.generate("x", {"json_schema": schema}, return_contract=True)["meta_info"]
    found = {finding["pointer"]: finding["status"] for finding in meta["contract"]["findings"]}
    assert found["/properties/a/const"] == "enforced"
    body = {"prompt": "x", "json_schema": schema, "return_contract": True}
    choice = server.post("/v1/completions", body).json()["choices"][0]
    assert choice["contract"] == meta["contract"]


@rl.function
def unique(s: Any) -> str:
    s += "Numbers: " + rl.gen("x", json_schema=SAME)
    return str(s["x"])


def test_a_refusal_names_pointer_and_keyword_on_every_route(server: Server) -> None:
    schema = json.dumps({"type": "object", "properties": {"a": SAME}})
    talk = [{"role": "user", "content": "x"}]
    format_ = {"type": "json_schema", "json_schema": {"schema": json.loads(schema)}}
    program = json.loads(to_json(unique.compile().program))
    for path, body in [
        ("/generate", {"text": "x", "sampling_params": {"json_schema": schema}}),
        ("/v1/completions", {"prompt": "x", "json_schema": schema}),
        ("/v1/completions", {"prompt": "x", "json_schema": schema, "stream": True}),
        ("/v1/chat/completions", {"messages": talk, "response_format": format_}),
        ("/programs/run", {"program": program, "args": {}}),
    ]:
        answer = server.post(path, body)
        assert answer.status_code == 400, (path, answer.text)
        assert "/uniqueItems" in answer.text, path
        assert "uniqueItems is not enforced" in answer.text, path
