"""Must be shown, 3: two hundred mixed requests at once, and nothing is left of them."""

from __future__ import annotations

import asyncio
import json
import random
import re
from typing import Any

import aiohttp
import jsonschema
import pytest

from .conftest import Server

pytestmark = pytest.mark.slow

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "age": {"type": "integer", "minimum": 0, "maximum": 99},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2},
    },
    "required": ["name", "age", "tags"],
    "additionalProperties": False,
}
PATTERN = r"[A-Z][a-z]{2,6} [0-9]{3}(\.[0-9])?"
STEM = "You are a helpful assistant. Tell me the capital of France, please. "


async def ask(session: aiohttp.ClientSession, url: str, kind: str, number: int) -> None:
    body: dict[str, Any] = {"text": f"{STEM}{number % 7} {kind}", "rid": f"{kind}-{number}"}
    body["sampling_params"] = {
        "free": {"max_new_tokens": 20, "ignore_eos": True},
        "regex": {"max_new_tokens": 40, "regex": PATTERN},
        "json": {"max_new_tokens": 120, "json_schema": SCHEMA},
        "stream": {"max_new_tokens": 20, "ignore_eos": True},
        "leaving": {"max_new_tokens": 400, "ignore_eos": True},
        "aborted": {"max_new_tokens": 400, "ignore_eos": True},
    }[kind]
    body["stream"] = kind in ("stream", "leaving")
    async with session.post(url + "/generate", json=body) as answer:
        assert answer.status == 200
        if body["stream"]:
            last: dict[str, Any] = {}
            async for line in answer.content:
                if line.startswith(b"data: {"):
                    last = json.loads(line[6:])
                    assert "error" not in last
                    if kind == "leaving" and len(last["output_ids"]) > number % 10:
                        return  # the connection is closed behind us
            assert len(last["output_ids"]) == 20
            return
        result = await answer.json()
    reason = result["meta_info"]["finish_reason"]["type"]
    if kind == "regex":
        assert reason == "stop"
        assert re.fullmatch(PATTERN, result["text"])
    elif kind == "json":
        assert reason == "stop"
        jsonschema.validate(json.loads(result["text"]), SCHEMA)
    elif kind == "aborted":
        assert reason in ("abort", "length")
    else:
        assert len(result["output_ids"]) == 20


async def crowd(url: str, count: int) -> None:
    kinds = ["free", "regex", "json", "stream", "leaving", "aborted"]
    rng = random.Random(0)
    wishes = [(rng.choice(kinds), number) for number in range(count)]
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
        for kind, number in wishes:
            group.create_task(ask(session, url, kind, number))
        for _ in range(10):
            await asyncio.sleep(0.2)
            async with session.post(url + "/abort_request", json={"rid": "aborted-"}) as answer:
                assert answer.status == 200


def test_two_hundred_mixed_requests_are_all_valid_and_leave_nothing(server: Server) -> None:
    server.wait_until_idle()
    asyncio.run(crowd(server.url, 200))
    state = server.wait_until_idle()
    assert (state["running"], state["waiting"], state["leased"]) == (0, 0, 0)
    assert server.post("/flush_cache").status_code == 200
    state = server.state()
    assert state["free"] == state["pool"]
