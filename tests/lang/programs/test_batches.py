"""Many compiled programs at a time: no thread each, errors apart, the order kept."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

import radixlm as rl


@rl.function
def short(s: Any, word: str) -> Any:
    s += word
    s += rl.gen("one")
    if s["one"] == "stop":
        raise ValueError(f"{word} stopped")
    s += rl.gen("two")
    return s["two"]


@pytest.mark.slow
def test_two_thousand_programs_need_no_threads() -> None:
    backend = rl.ScriptedBackend(lambda prompt, gen: f"<{len(prompt)}>")
    before, most = threading.active_count(), 0

    async def run_all() -> list[Any]:
        nonlocal most
        tasks = [
            asyncio.create_task(short.arun(f"w{i}", backend=backend, compiled=True))
            for i in range(2000)
        ]
        done: list[Any] = list(await asyncio.gather(*tasks))
        most = threading.active_count()
        return done

    states = asyncio.run(run_all())
    assert [state.ret_value for state in states[:2]] == ["<5>", "<5>"]
    assert not backend.alive
    # `arun` begins in the default executor, whose threads are few whatever the number of programs.
    assert most - before < 40


def test_a_compiled_batch_keeps_the_order() -> None:
    backend = rl.ScriptedBackend(lambda prompt, gen: f"<{prompt}>")
    words = [f"w{i}" for i in range(500)]
    begun = threading.active_count()
    states = short.run_batch([{"word": word} for word in words], backend=backend, compiled=True)
    assert [state["one"] for state in states] == [f"<{word}>" for word in words]
    assert threading.active_count() <= begun + 1


def test_an_error_of_a_body_is_raised_after_all_have_run() -> None:
    backend = rl.ScriptedBackend(lambda prompt, gen: "stop" if "bad" in prompt else "on")
    batch = [{"word": "good"}, {"word": "bad"}, {"word": "fine"}]
    with pytest.raises(ValueError, match="bad stopped"):
        short.run_batch(batch, backend=backend, compiled=True)
    assert not backend.alive


@pytest.mark.slow
def test_a_statement_costs_little() -> None:
    """The front end's own time for a statement, with a backend that answers at once."""
    backend = rl.ScriptedBackend(lambda prompt, gen: "x")

    @rl.function
    def many(s: Any, count: int) -> None:
        for i in range(count):
            s += f"line {i}\n"

    def seconds(compiled: bool) -> float:
        begun = time.perf_counter()
        many.run(2000, backend=backend, compiled=compiled).sync()
        return time.perf_counter() - begun

    for compiled in (False, True):
        best = min(seconds(compiled) for _ in range(5))
        assert best / 2000 < 100e-6, f"{best / 2000 * 1e6:.0f} µs a statement, compiled={compiled}"
