"""A request ends in whatever state its deadline or an abort finds it, and gives all back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from radixlm.constrained.compiler import GrammarCompiler
from radixlm.ir import loop
from radixlm.runtime.desk.desk import Desk
from radixlm.runtime.engine.runner import Runner
from radixlm.runtime.errors import InvalidRequestError, QueueFullError, RequestTimeoutError
from radixlm.runtime.messages import State
from radixlm.runtime.offline import Engine
from radixlm.runtime.request import SamplingParams
from radixlm.runtime.scheduler.pace import LEAST_WAIT_S, LONGEST_WAIT_S, WINDOW_S, Pace

PASS_S = 0.005
ENDLESS = SamplingParams(temperature=0, max_new_tokens=1500, ignore_eos=True)


@pytest.fixture(scope="module")
def slow(tiny_model: str) -> Iterator[Engine]:
    """An engine that serves one request at a time, four tokens of a prompt in 5 ms."""
    forward = Runner.forward

    def slowly(*args: Any, **options: Any) -> Any:
        time.sleep(PASS_S)
        return forward(*args, **options)

    limits = {"max_running_requests": 1, "max_queued_requests": 1, "chunked_prefill_size": 4}
    settings = {**limits, "max_total_tokens": 3000, "check_invariants": True}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Runner, "forward", slowly)
        with Engine(model_path=tiny_model, in_process=True, **settings) as engine:
            yield engine


async def until(desk: Desk, holds: Callable[[State], bool]) -> None:
    for _ in range(400):
        if holds(await desk.state()):
            return
        await asyncio.sleep(0.005)
    raise AssertionError(await desk.state())


def idle(state: State) -> bool:
    return state.running == state.waiting == state.leased == 0


async def end(
    desk: Desk, how: str, there: Callable[[State], bool], tokens: list[int], **sampling: Any
) -> None:
    """Let a request reach a state, and end it."""
    params = SamplingParams(temperature=0, max_new_tokens=1500, ignore_eos=True, **sampling)
    limit_s = 0.1 if how == "deadline" else None
    with desk.submit(tokens, params, rid="it", timeout_s=limit_s) as stream:
        await until(desk, there)
        if how == "abort":
            assert desk.abort("it") == 1
            await desk.finish(stream)
            assert stream.finish is not None
            assert stream.finish.type == "abort"
        else:
            with pytest.raises(RequestTimeoutError, match=r"did not end within 0\.1 s"):
                await desk.finish(stream)


def run(work: Awaitable[None]) -> None:
    async def main() -> None:
        await work

    loop.wait(main())


@pytest.mark.parametrize("how", ["deadline", "abort"])
def test_a_queued_request_ends(slow: Engine, how: str) -> None:
    async def main() -> None:
        with slow.desk.submit([5, 6, 7], ENDLESS) as first:
            await until(slow.desk, lambda state: state.running == 1)
            await end(slow.desk, how, lambda state: state.waiting == 1, [8, 9])
            await until(slow.desk, lambda state: state.waiting == 0)
            assert first.finish is None
        await until(slow.desk, idle)

    run(main())


@pytest.mark.parametrize("how", ["deadline", "abort"])
def test_a_request_whose_grammar_is_compiling_ends(
    slow: Engine, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GrammarCompiler, "submit", lambda *_: Future())

    async def main() -> None:
        await end(slow.desk, how, lambda state: state.waiting == 1, [8, 9], regex="a+")
        await until(slow.desk, idle)

    run(main())


@pytest.mark.parametrize("how", ["deadline", "abort"])
def test_a_request_whose_prompt_is_half_computed_ends(slow: Engine, how: str) -> None:
    async def main() -> None:
        before = (await slow.desk.state()).generated_tokens
        prompt = [10 + (len(how) * at) % 400 for at in range(400)]  # a hundred passes
        await end(slow.desk, how, lambda state: state.running == 1, prompt)
        await until(slow.desk, idle)
        assert (await slow.desk.state()).generated_tokens == before

    run(main())


@pytest.mark.parametrize("how", ["deadline", "abort"])
def test_a_decoding_request_ends(slow: Engine, how: str) -> None:
    async def main() -> None:
        before = (await slow.desk.state()).generated_tokens
        await end(slow.desk, how, lambda state: state.generated_tokens > before + 3, [8, 9])
        await until(slow.desk, idle)

    run(main())


def collect(stream: Iterator[dict[str, Any]], chunks: list[dict[str, Any]]) -> None:
    for chunk in stream:
        chunks.append(chunk)  # noqa: PERF402 - those before an error are wanted


def test_a_stream_ends_at_its_deadline_with_what_it_has_sent(slow: Engine) -> None:
    params = {"max_new_tokens": 1500, "ignore_eos": True}
    chunks: list[dict[str, Any]] = []
    with pytest.raises(RequestTimeoutError):
        collect(slow.generate("Go on", params, timeout_s=0.2, stream=True), chunks)
    assert chunks
    run(until(slow.desk, idle))


def test_a_request_that_ends_in_time_knows_no_deadline(slow: Engine) -> None:
    result = slow.generate("Go on", {"max_new_tokens": 3, "ignore_eos": True}, timeout_s=30)
    assert len(result["output_ids"]) == 3


@pytest.mark.parametrize("timeout_s", [0, -1.0, float("inf")])
def test_a_deadline_is_a_time_to_come(slow: Engine, timeout_s: float) -> None:
    with pytest.raises(InvalidRequestError, match="timeout_s is"):
        slow.generate("Go on", timeout_s=timeout_s)


def test_the_engine_has_a_deadline_for_requests_without_one(tiny_model: str) -> None:
    with Engine(model_path=tiny_model, in_process=True, request_timeout_s=1e-4) as engine:
        with pytest.raises(RequestTimeoutError):
            engine.generate("Go on")
        engine.generate("Go on", {"max_new_tokens": 2}, timeout_s=60)


def test_a_refused_request_is_told_when_to_come_again(slow: Engine) -> None:
    async def main() -> None:
        with slow.desk.submit([5], ENDLESS):
            await until(slow.desk, lambda state: state.running == 1)
            with (
                slow.desk.submit([6], ENDLESS),
                slow.desk.submit([7], ENDLESS) as third,
                pytest.raises(QueueFullError) as caught,
            ):
                await slow.desk.finish(third)
        assert caught.value.retry_after_s is not None
        assert LEAST_WAIT_S <= caught.value.retry_after_s <= LONGEST_WAIT_S
        await until(slow.desk, idle)

    run(main())


def test_the_wait_is_the_time_in_which_half_of_the_queue_is_served() -> None:
    now = 0.0
    pace = Pace(lambda: now)
    assert pace.wait_s(0) == LEAST_WAIT_S
    assert pace.wait_s(5) == LONGEST_WAIT_S  # nothing has ended so far
    for _ in range(8):
        pace.ended()
    now = WINDOW_S / 2
    pace.measure(100)
    assert pace.tokens_a_second == 0  # the window is not over
    now = WINDOW_S
    pace.measure(100)
    assert (pace.tokens_a_second, pace.ended_a_second) == (100 / WINDOW_S, 8 / WINDOW_S)
    assert pace.wait_s(40) == pytest.approx(20 / (8 / WINDOW_S))
    assert pace.wait_s(1) == LEAST_WAIT_S
    assert pace.wait_s(10_000) == LONGEST_WAIT_S
