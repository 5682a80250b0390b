"""What programs keep in the cache while they wait: for a tool, for branches, for a batch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

import radixlm as rl
from radixlm.ir import loop

RULES = "These rules hold for every question that is asked here, today and tomorrow. "
SEEN: list[Any] = []


@pytest.fixture(scope="module")
def engine() -> Iterator[rl.Engine]:
    with rl.Engine(in_process=True, check_invariants=True, max_total_tokens=4000) as made:
        yield made


def held(engine: rl.Engine) -> list[int]:
    return [pin.num_tokens for pin in loop.wait(engine.desk.pins())]


def settled(engine: rl.Engine) -> list[int]:
    """What is held once the last messages have arrived."""
    deadline = time.monotonic() + 10
    while held(engine) and time.monotonic() < deadline:
        time.sleep(0.01)
    return held(engine)


def slow_tool(question: str) -> str:
    time.sleep(0.3)
    SEEN.append(held(SEEN[0]))
    return f"{question} is answered"


@rl.function
def asks(s: Any) -> None:
    s += RULES + rl.gen("question", max_tokens=4)
    found = slow_tool(s["question"])
    s += found + rl.gen("answer", max_tokens=4)


@rl.function
def branches(s: Any) -> None:
    s += RULES + rl.gen("first", max_tokens=4)
    for i, branch in enumerate(s.fork(3)):
        branch += f" {i}" + rl.gen("thought", max_tokens=4)
        SEEN.append(branch["thought"])


@rl.function
def answers(s: Any, question: str) -> None:
    s += RULES + question + rl.gen("answer", max_tokens=4)


def test_a_program_that_waits_for_a_tool_stays_in_the_cache(
    engine: rl.Engine,
) -> None:
    SEEN[:] = [engine]
    assert engine.flush_cache()
    state = asks.run(backend=engine, compiled=True, temperature=0)
    assert state.error() is None
    (tokens,) = SEEN[1]
    assert tokens >= state.get_meta_info("question")["prompt_tokens"]
    meta = state.get_meta_info("answer")
    assert meta["cached_tokens"] >= tokens
    assert settled(engine) == []


def test_what_branches_share_is_held_until_the_state_goes_on(engine: rl.Engine) -> None:
    assert engine.flush_cache()
    state = branches.run(backend=engine, compiled=True, temperature=0)
    assert state.error() is None
    assert settled(engine) == []


def test_a_batch_holds_its_beginning_and_lets_it_go(engine: rl.Engine) -> None:
    assert engine.flush_cache()
    states = answers.run_batch(
        [{"question": f"Question {i}?"} for i in range(6)], backend=engine, temperature=0
    )
    metas = [state.get_meta_info("answer") for state in states]
    assert min(meta["cached_tokens"] for meta in metas) >= 10
    for meta in metas:
        assert meta["cached_tokens"] + meta["computed_tokens"] == meta["prompt_tokens"]
    assert settled(engine) == []


def test_an_abandoned_program_holds_nothing(engine: rl.Engine) -> None:
    SEEN[:] = [engine]

    @rl.function
    def fails(s: Any) -> None:
        s += RULES + rl.gen("question", max_tokens=4)
        slow_tool(s["question"])
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fails.run(backend=engine, compiled=True).text()
    assert settled(engine) == []
