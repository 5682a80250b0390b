"""Pins and the tree over HTTP, and the command that shows them."""

from __future__ import annotations

import time
from typing import Any

import pytest
import requests

from radixlm.cli import main

from .conftest import Server

TEXT = "The rules of this house are written on the door, and everybody reads them."


def pins(server: Server) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = server.get("/cache/pins").json()["pins"]
    return listed


def unpin(server: Server, name: str) -> None:
    server.post("/flush_cache")
    requests.delete(f"{server.url}/cache/pins/{name}", timeout=60)


@pytest.fixture
def pinned(server: Server) -> Any:
    answer = server.post("/cache/pins", {"name": "rules", "text": TEXT})
    assert answer.status_code == 200, answer.text
    yield answer.json()
    unpin(server, "rules")


def test_a_pinned_prefix_survives_a_flush(server: Server, pinned: dict[str, Any]) -> None:
    assert server.post("/flush_cache").status_code == 200
    meta = server.generate(TEXT + " Now", {"max_new_tokens": 1})["meta_info"]
    assert meta["cached_tokens"] >= pinned["num_tokens"] - 1
    assert meta["cached_tokens"] + meta["computed_tokens"] == meta["prompt_tokens"]
    (listed,) = pins(server)
    assert (listed["name"], listed["ttl_left_s"]) == ("rules", None)


def test_an_unpinned_prefix_goes(server: Server, pinned: dict[str, Any]) -> None:
    unpin(server, "rules")
    assert pins(server) == []
    assert server.post("/flush_cache").status_code == 200
    assert server.generate(TEXT, {"max_new_tokens": 1})["meta_info"]["cached_tokens"] == 0


def test_a_pin_ends_by_itself(server: Server) -> None:
    assert server.post("/cache/pins", {"name": "b", "text": TEXT, "ttl_s": 0.2}).status_code == 200
    time.sleep(0.3)
    assert pins(server) == []


def test_messages_can_be_pinned(server: Server) -> None:
    messages = [{"role": "system", "content": "You are kind."}]
    answer = server.post("/cache/pins", {"name": "chat", "messages": messages})
    assert answer.json()["num_tokens"] > 3
    unpin(server, "chat")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"name": "x"}, "exactly one of text, input_ids, segments and messages"),
        ({"name": "x", "text": "a", "input_ids": [1]}, "exactly one of"),
        ({"text": "a"}, "missing required field `name`"),
        ({"name": "x", "text": ""}, "the prompt is empty"),
        ({"name": "x", "text": "a b c", "ttl_s": -1}, "ttl_s"),
        ({"name": "~1", "text": "a b c"}, "begins without ~"),
        ({"name": "", "text": "a b c"}, "begins without ~"),
    ],
)
def test_a_bad_pin_is_refused(server: Server, body: dict[str, Any], message: str) -> None:
    answer = server.post("/cache/pins", body)
    assert answer.status_code == 400
    assert message in answer.text
    assert pins(server) == []


def test_a_pin_that_is_not_there_is_said(server: Server) -> None:
    answer = requests.delete(f"{server.url}/cache/pins/nobody", timeout=60)
    assert answer.status_code == 404
    assert "nobody" in answer.text


def test_the_tree_is_shown_in_three_forms(server: Server, pinned: dict[str, Any]) -> None:
    nodes = server.get("/cache/tree?max_nodes=50").json()["nodes"]
    node = next(node for node in nodes if "rules" in node["pins"])
    assert node["locks"] == 1
    assert TEXT.startswith(node["text"].split(" the")[0])
    assert "pinned as 'rules'" in server.get("/cache/tree?format=text").text
    picture = server.get("/cache/tree?format=svg")
    assert picture.headers["Content-Type"].startswith("image/svg+xml")
    assert picture.text.startswith("<svg")


@pytest.mark.parametrize("query", ["max_nodes=0", "max_nodes=x", "max_tokens=999", "format=pdf"])
def test_a_bad_question_about_the_tree_is_refused(server: Server, query: str) -> None:
    assert server.get(f"/cache/tree?{query}").status_code == 400


def test_the_command_shows_and_pins(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    at = ["--url", server.url]
    assert main(["cache", "pin", "motto", TEXT, "--ttl-s", "60", *at]) == 0
    assert main(["cache", "pins", *at]) == 0
    assert "motto: " in (out := capsys.readouterr().out)
    assert " s left" in out
    assert main(["cache", "show", *at]) == 0
    assert "motto" in capsys.readouterr().out
    assert main(["cache", "unpin", "motto", *at]) == 0
    assert main(["cache", "unpin", "motto", *at]) == 1
    assert main(["cache", "pins", "--url", "http://127.0.0.1:9"]) == 2
    assert "no server answers" in capsys.readouterr().err


def test_a_server_without_a_folder_says_how_to_save(server: Server) -> None:
    answer = server.post("/cache/save")
    assert answer.status_code == 400
    assert "--cache-dir" in answer.text
