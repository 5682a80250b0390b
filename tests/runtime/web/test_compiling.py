"""Grammars that many clients have compiled at once: a full queue, clients that leave, progress."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from .conftest import Server
from .test_metrics import read

MAX_QUEUED = 256  # of `GrammarCompiler`
RANGES = [{"type": "integer", "minimum": n, "maximum": n + 500} for n in range(400)]


def slow(number: int) -> dict[str, Any]:
    """Sampling parameters with a schema that takes seconds to refuse; another for each number."""
    return {"json_schema": {"oneOf": RANGES, "title": str(number)}, "max_new_tokens": 8}


def wait_for(server: Server, holds: Callable[[dict[str, float]], bool]) -> dict[str, float]:
    deadline = time.monotonic() + 60
    while not holds(found := read(server)):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


def in_work(found: dict[str, float]) -> float:
    return found["grammars_queued"] + found["grammars_compiling"]


@asynccontextmanager
async def asking(server: Server, count: int) -> AsyncIterator[None]:
    """Let so many clients ask for slow grammars while the block runs, and hang up then."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(server.url, connector=connector) as session:

        async def ask(number: int) -> None:
            body = {"text": "x", "sampling_params": slow(number)}
            async with session.post("/generate", json=body) as answer:
                await answer.read()

        tasks = [asyncio.create_task(ask(number)) for number in range(count)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def refusals(server: Server) -> list[tuple[int, float, str]]:
    """Ask for one grammar more on each route; return status, when to come back, and message."""
    schema = {"name": "one_more", "schema": {"const": 1, "title": "one more"}}
    format_ = {"type": "json_schema", "json_schema": schema}
    bodies: list[tuple[str, dict[str, Any]]] = [
        ("/generate", {"text": "x", "sampling_params": slow(-1)}),
        ("/v1/completions", {"prompt": "x", "response_format": format_}),
        ("/v1/completions", {"prompt": "x", "response_format": format_, "stream": True}),
        (
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": "x"}], "response_format": format_},
        ),
    ]
    found: list[tuple[int, float, str]] = []
    for path, body in bodies:
        answer = server.post(path, body)
        found.append((answer.status_code, float(answer.headers["Retry-After"]), answer.text))
    events = server.post("/generate", {**bodies[0][1], "stream": True}).text
    event = json.loads(events.partition("data: ")[2].partition("\n")[0])["error"]
    return [*found, (event["status_code"], event["retry_after_s"], event["message"])]


@pytest.mark.slow
def test_one_grammar_too_many_is_told_to_come_back_and_fails_alone(server: Server) -> None:
    known = {"regex": "[kept]{4}"}
    server.generate("x", known)
    before = read(server)
    seen: list[dict[str, float]] = []
    refused: list[tuple[int, float, str]] = []

    async def crowd() -> None:
        async with asking(server, MAX_QUEUED):
            full = await asyncio.to_thread(
                wait_for, server, lambda found: in_work(found) == MAX_QUEUED
            )
            seen.append(full)
            refused.extend(await asyncio.to_thread(refusals, server))
            await asyncio.to_thread(server.generate, "x", known)
            await asyncio.to_thread(server.generate, "x", {"max_new_tokens": 4})

    asyncio.run(crowd())
    assert len(refused) == 5
    for status, after_s, message in refused:
        assert status == 503
        assert after_s >= 1
        assert "256 grammars are waiting" in message
    assert seen[0]["grammars_compiling"] >= 1  # the progress of those that are in the works
    assert seen[0]["grammars_queued"] >= MAX_QUEUED // 2
    left = wait_for(server, lambda found: in_work(found) == 0)  # they have hung up
    assert left["grammars_cancelled_total"] == before["grammars_cancelled_total"] + MAX_QUEUED
    assert server.generate("x", {"json_schema": {"const": 7}})["text"] == "7"


@pytest.mark.slow
def test_a_grammar_that_another_client_waits_for_outlives_who_hangs_up(server: Server) -> None:
    before = read(server)

    async def one_leaves() -> Any:
        async with aiohttp.ClientSession(server.url) as session:
            body = {"text": "x", "sampling_params": slow(-2)}
            leaving, staying = (
                asyncio.create_task(session.post("/generate", json=body)) for _ in range(2)
            )
            while in_work(await asyncio.to_thread(read, server)) == 0:
                assert not staying.done(), await staying.result().text()
                await asyncio.sleep(0.02)
            leaving.cancel()
            answer = await staying
            return answer.status, await answer.json()

    status, answer = asyncio.run(one_leaves())
    assert (status, "unfolds" in answer["error"]["message"]) == (400, True), answer
    after = read(server)
    assert after["grammars_cancelled_total"] == before["grammars_cancelled_total"]
    assert after["grammars_refused_total"] == before["grammars_refused_total"] + 1
