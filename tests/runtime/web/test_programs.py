"""`/programs`: whole programs over HTTP, from clients that mean well and from others."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from radixlm.ir.program import to_json
from radixlm.ir.text import from_text

from .conftest import Server


def program(source: str) -> Any:
    """The JSON values of a program in text form."""
    return json.loads(to_json(from_text(source)))


def run(server: Server, source: str | None = None, **fields: Any) -> requests.Response:
    body = {"sampling": {"temperature": 0, "max_new_tokens": 4}, **fields}
    if source is not None:
        body["program"] = program(source)
    return requests.post(f"{server.url}/programs/run", json=body, timeout=60)


def events(response: requests.Response) -> Iterator[dict[str, Any]]:
    for line in response.iter_lines():
        if line.startswith(b"data: ") and line != b"data: [DONE]":
            yield json.loads(line[6:])


TWO = """
def two(s, word):
    s += f"{word} "
    s += gen("a")
    s += gen("b")
    return len(s["a"])
"""
HOST = """
@hosts("add")
def f(s):
    s += "hi"
    s += gen("a")
    x = host("add", 2, by=3)
    s += str(x)
    return x
"""


def test_a_program_in_one_request(server: Server) -> None:
    answer = run(server, TWO, args={"word": "hi"})
    assert answer.status_code == 200
    outcome = answer.json()
    assert outcome["error"] is None
    assert outcome["text"] == "hi " + outcome["variables"]["a"] + outcome["variables"]["b"]
    assert outcome["value"] == len(outcome["variables"]["a"])
    assert outcome["usage"]["generations"] == 2
    assert outcome["usage"]["completion_tokens"] == sum(
        outcome["meta_info"][name]["completion_tokens"] for name in "ab"
    )
    # The second gen's prompt was there but for its last token.
    meta = outcome["meta_info"]["b"]
    assert meta["cached_tokens"] >= meta["prompt_tokens"] - 1


def test_by_hash_and_in_batches(server: Server) -> None:
    put = requests.put(f"{server.url}/programs", json=program(TWO), timeout=10)
    name = put.json()["hash"]
    assert name == from_text(TWO).hash()
    got = requests.get(f"{server.url}/programs/{name}", timeout=10)
    assert got.json() == program(TWO)
    results = run(server, hash=name, args=[{"word": word} for word in "xyz"]).json()["results"]
    assert [result["text"][0] for result in results] == ["x", "y", "z"]
    assert requests.get(f"{server.url}/programs/{'0' * 64}", timeout=10).status_code == 404
    assert run(server, hash="0" * 64).status_code == 404


def test_one_of_a_batch_fails_alone(server: Server) -> None:
    source = "def f(s, n):\n    s += str(1 / n)\n    return 1\n"
    results = run(server, source, args=[{"n": 1}, {"n": 0}]).json()["results"]
    assert results[0]["error"] is None
    assert results[1]["error"]["kind"] == "ZeroDivisionError"


def test_events_come_in_order(server: Server) -> None:
    answer = run(server, TWO, args={"word": "hi"}, stream=True)
    seen = list(events(answer))
    texts = "".join(event["text"] for event in seen if event["type"] == "text")
    assert [e["name"] for e in seen if e["type"] == "variable"] == ["a", "b"]
    assert seen[-1]["type"] == "end"
    assert texts == seen[-1]["text"]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"value": 5}, (5, None)),
        ({"error": {"kind": "KeyError", "message": "gone"}}, (None, "KeyError")),
        ({"error": {"kind": "OSError", "message": "gone"}}, (None, "RuntimeError")),
    ],
)
def test_a_host_call_waits_for_the_client(
    server: Server, answer: dict[str, Any], expected: tuple[Any, Any]
) -> None:
    body = {"program": program(HOST), "stream": True, "sampling": {"max_new_tokens": 3}}
    url = f"{server.url}/programs"
    with requests.post(f"{url}/run", json=body, timeout=60, stream=True) as response:
        for event in events(response):
            if event["type"] == "call":
                assert (event["function"], event["args"]) == ("add", [2])
                assert event["kwargs"] == {"by": 3}
                wrong = requests.post(f"{url}/calls/nobody", json=answer, timeout=10)
                assert wrong.status_code == 404
                told = requests.post(f"{url}/calls/{event['id']}", json=answer, timeout=10)
                assert told.status_code == 200
            elif event["type"] == "end":
                error = event["error"] and event["error"]["kind"]
                assert (event["value"], error) == expected, event


def test_host_calls_need_a_stream(server: Server) -> None:
    answer = run(server, HOST)
    assert answer.status_code == 400
    assert "stream: true" in answer.text


def test_a_client_that_leaves_takes_its_program_along(server: Server) -> None:
    source = """
def f(s):
    s += "x"
    s += gen("a", ignore_eos=True)
    s += gen("b", ignore_eos=True)
"""
    body = {
        "program": program(source),
        "stream": True,
        "sampling": {"max_new_tokens": 100, "temperature": 0},
    }
    url = f"{server.url}/programs/run"
    with requests.post(url, json=body, timeout=60, stream=True) as response:
        next(events(response))
    server.wait_until_idle()
    waiting = {"program": program(HOST), "stream": True, "sampling": {"max_new_tokens": 3}}
    with requests.post(url, json=waiting, timeout=60, stream=True) as response:
        for event in events(response):
            if event["type"] == "call":
                break
    server.wait_until_idle()


ENDLESS = {
    "loop": "def f(s):\n    while True:\n        pass\n",
    "text": "def f(s):\n    while True:\n        s += 'x' * 100000\n",
    "forks": "def f(s):\n    while True:\n        b = s.fork(100)\n",
    "recursion": "def f(s):\n    t = invoke('f')\n\ndef f(s):\n    t = invoke('f')\n",
    "power": "def f(s):\n    x = 9 ** 9 ** 9 ** 9\n",
    "comprehension": "def f(s):\n    x = [1 for a in range(9999) for b in range(9999)]\n",
    "regex": "def f(s):\n    x = re.match('(a+)+$', 'a' * 40 + 'b')\n",
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_an_endless_program_ends_alone(server: Server, kind: str) -> None:
    source = ENDLESS[kind]
    if kind == "recursion":
        source = "def main(s):\n    t = invoke('f')\n\ndef f(s):\n    t = invoke('f')\n"
    begun = time.monotonic()
    answer = run(server, source)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]
    assert time.monotonic() - begun < 15
    server.wait_until_idle()
    assert run(server, TWO, args={"word": "ok"}).status_code == 200


UNBOUND = {"do": "return", "value": {"op": "name", "name": "x"}}
MALFORMED: dict[str, Any] = {
    "no program": {},
    "both": {"program": program(TWO), "hash": "a"},
    "a list": {"program": []},
    "unknown statement": {"program": {"name": "f", "body": [{"do": "exec", "code": "1"}]}},
    "unknown field": {"program": program(TWO), "nonsense": 1},
    "missing argument": {"program": program(TWO)},
    "bad sampling": {"program": program(TWO), "args": {"word": "x"}, "sampling": {"top_p": 7}},
    "unbound name": {"program": {"name": "f", "body": [UNBOUND]}},
    "break outside": {"program": {"name": "f", "body": [{"do": "break"}]}},
    "unknown callee": {"program": {"name": "f", "body": [{"do": "invoke", "function": "g"}]}},
    "too many sets": {"program": program(TWO), "args": [{"word": "x"}] * 5000},
}  # fmt: skip


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_malformed_program_is_refused(server: Server, kind: str) -> None:
    url = f"{server.url}/programs/run"
    answer = requests.post(url, json=MALFORMED[kind], timeout=30)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["message"]


def test_a_deeply_nested_body_is_refused(server: Server) -> None:
    deep = '{"op":"unary","operator":"-","operand":' * 50_000
    data = '{"program":{"name":"f","body":[{"do":"return","value":' + deep + "}]}}"
    headers = {"Content-Type": "application/json"}
    url = f"{server.url}/programs/run"
    answer = requests.post(url, data=data, headers=headers, timeout=30)
    assert answer.status_code == 400
    assert requests.get(f"{server.url}/health", timeout=10).status_code == 200
