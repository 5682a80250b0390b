"""`Engine` on a thread of this process, with a tiny random model: mechanism, not answers."""

from __future__ import annotations

import asyncio
import gc
import math
import re
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radixlm.constrained.errors import GrammarError
from radixlm.runtime.errors import EngineClosedError, InvalidRequestError, ModelLoadError
from radixlm.runtime.offline import Engine

LONG = "First Citizen: before we proceed any further, hear me speak. All: speak, speak. " * 3
PROMPTS = [
    LONG,
    LONG + "You are a helpful assistant.",
    "The quick brown fox",
    "They wrote",
    "東京 😀 naïve",
]
GREEDY = {"temperature": 0, "max_new_tokens": 24, "ignore_eos": True}
Open = Callable[..., Engine]


@pytest.fixture
def open_engine(tiny_model: str) -> Iterator[Open]:
    made: list[Engine] = []

    def opened(**settings: Any) -> Engine:
        fields = {"model_path": tiny_model, "in_process": True, "check_invariants": True}
        fields["max_total_tokens"] = 6000
        made.append(Engine(**{**fields, **settings}))
        return made[-1]

    yield opened
    for engine in made:
        engine.shutdown()


@pytest.fixture(scope="module")
def truth(engine: Engine) -> list[list[int]]:
    """What each of `PROMPTS` gives, alone, greedily and with nothing in the cache."""
    found: list[list[int]] = []
    for prompt in PROMPTS:
        assert engine.flush_cache()
        found.append(engine.generate(prompt, GREEDY)["output_ids"])
    assert len({tuple(ids) for ids in found}) > 3, "the model should be worth asking"
    return found


def ids_of(results: list[dict[str, Any]]) -> list[list[int]]:
    return [result["output_ids"] for result in results]


def assert_idle(engine: Engine) -> None:
    state = engine.get_server_info()["internal_states"][0]
    assert (state["running"], state["waiting"], state["leased"]) == (0, 0, 0)
    assert state["free"] + state["cached"] == state["pool"]


@pytest.mark.parametrize(
    "limits",
    [
        {"disable_radix_cache": True},
        {"chunked_prefill_size": 8},
        {"page_size": 4},
        pytest.param({"page_size": 4, "chunked_prefill_size": 7}, marks=pytest.mark.slow),
        pytest.param({"max_running_requests": 2}, marks=pytest.mark.slow),
        pytest.param({"max_total_tokens": 220}, marks=pytest.mark.slow),
    ],
    ids=lambda limits: ",".join(limits),
)
def test_greedy_tokens_do_not_depend_on(
    limits: dict[str, Any], truth: list[list[int]], open_engine: Open
) -> None:
    engine = open_engine(**limits)
    assert ids_of(engine.generate(PROMPTS, GREEDY)) == truth
    assert ids_of(engine.generate(PROMPTS, GREEDY)) == truth
    assert_idle(engine)


@pytest.mark.slow
def test_a_pool_that_is_too_small_for_all_retracts_and_says_so(open_engine: Open) -> None:
    engine = open_engine(max_total_tokens=120)
    params = {"temperature": 0, "max_new_tokens": 60, "ignore_eos": True}
    prompts = PROMPTS[2:]
    together = engine.generate(prompts, params)  # before it knows how long they become
    alone = [engine.generate(prompt, params)["output_ids"] for prompt in prompts]
    assert ids_of(together) == alone
    assert sum(result["meta_info"]["num_retractions"] for result in together) > 0
    assert_idle(engine)


def test_a_batch_gives_what_each_gives_alone(engine: Engine, truth: list[list[int]]) -> None:
    assert ids_of(engine.generate(PROMPTS, GREEDY)) == truth


def test_the_same_prompt_again_computes_one_token_for_the_same_text(engine: Engine) -> None:
    assert engine.flush_cache()
    first = engine.generate(LONG, GREEDY)
    second = engine.generate(LONG, GREEDY)
    assert first["meta_info"]["cached_tokens"] == 0
    assert second["meta_info"]["computed_tokens"] == 1
    for result in (first, second):
        meta = result["meta_info"]
        assert meta["cached_tokens"] + meta["computed_tokens"] == meta["prompt_tokens"]
    assert second["text"] == first["text"]


def test_text_and_its_ids_are_the_same_prompt(engine: Engine, truth: list[list[int]]) -> None:
    encode = engine.desk.tokenizer.encode
    assert engine.generate(input_ids=encode(LONG), sampling_params=GREEDY)["output_ids"] == truth[0]
    batch = [encode(prompt) for prompt in PROMPTS]
    assert ids_of(engine.generate(input_ids=batch, sampling_params=GREEDY)) == truth


def test_a_seed_gives_the_same_tokens_alone_and_in_a_crowd(engine: Engine) -> None:
    params = {"temperature": 1.0, "max_new_tokens": 16, "sampling_seed": 42, "ignore_eos": True}
    alone = engine.generate(LONG, params)["output_ids"]
    others = [{**params, "sampling_seed": seed} for seed in range(4)]
    crowd = engine.generate([LONG, *PROMPTS[1:]], [params, *others])
    assert crowd[0]["output_ids"] == alone
    assert engine.generate(LONG, {**params, "sampling_seed": 43})["output_ids"] != alone


def test_several_samples_are_a_list_and_differ(engine: Engine) -> None:
    found = engine.generate(LONG, {"n": 3, "max_new_tokens": 12, "ignore_eos": True}, rid="s")
    assert [result["meta_info"]["id"] for result in found] == ["s_0", "s_1", "s_2"]
    assert len({tuple(result["output_ids"]) for result in found}) == 3
    assert all(result["meta_info"]["cached_tokens"] > 0 for result in found), "computed once"


def test_the_prompt_of_several_samples_is_computed_once(engine: Engine) -> None:
    assert engine.flush_cache()
    sampling = {"n": 4, "max_new_tokens": 3, "ignore_eos": True}
    outs = engine.generate(input_ids=list(range(10, 60)), sampling_params=sampling)
    cached = [out["meta_info"]["cached_tokens"] for out in outs]
    assert sorted(cached) == [0, 49, 49, 49]


def test_a_stream_is_cumulative_and_ends_like_the_whole(
    engine: Engine, truth: list[list[int]]
) -> None:
    chunks = list(engine.generate(LONG, GREEDY, stream=True))
    assert len(chunks) > 3
    for before, after in pairwise(chunks):
        assert after["text"].startswith(before["text"])
        assert after["output_ids"][: len(before["output_ids"])] == before["output_ids"]
    assert all(chunk["meta_info"]["finish_reason"] is None for chunk in chunks[:-1])
    assert chunks[-1]["output_ids"] == truth[0]
    assert chunks[-1]["meta_info"]["finish_reason"] == {"type": "length", "length": 24}


def test_streams_of_a_batch_carry_their_index(engine: Engine, truth: list[list[int]]) -> None:
    last: dict[int, list[int]] = {}
    for chunk in engine.generate(PROMPTS, GREEDY, stream=True):
        last[chunk["index"]] = chunk["output_ids"]
    assert [last[index] for index in range(len(PROMPTS))] == truth


def test_a_stream_left_early_frees_the_request(engine: Engine) -> None:
    for _ in engine.generate(LONG, {"max_new_tokens": 1500, "ignore_eos": True}, stream=True):
        break
    gc.collect()
    deadline = time.monotonic() + 10
    while engine.get_server_info()["internal_states"][0]["running"]:
        assert time.monotonic() < deadline
    assert_idle(engine)


def test_async_generate_works_in_the_users_own_loop(engine: Engine, truth: list[list[int]]) -> None:
    async def main() -> tuple[list[dict[str, Any]], list[int]]:
        whole = await asyncio.gather(*(engine.async_generate(p, GREEDY) for p in PROMPTS))
        last: list[int] = []
        async for chunk in await engine.async_generate(LONG, GREEDY, stream=True):
            last = chunk["output_ids"]
        return whole, last

    whole, last = asyncio.run(main())
    assert ids_of(whole) == truth
    assert last == truth[0]


def test_threads_may_share_an_engine(engine: Engine, truth: list[list[int]]) -> None:
    found: dict[int, list[int]] = {}

    def work(index: int) -> None:
        found[index] = engine.generate(PROMPTS[index], GREEDY)["output_ids"]

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(PROMPTS))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[index] for index in range(len(PROMPTS))] == truth


@pytest.mark.parametrize(
    ("constraint", "pattern"),
    [
        ({"regex": "(yes|no)!{3}"}, r"(yes|no)!{3}"),
        ({"ebnf": 'root ::= "a" [0-9] "b"'}, r"a[0-9]b"),
        ({"json_schema": {"enum": ["x", "y"]}}, r'"(x|y)"'),
        ({"choices": ["red", "green"]}, r"red|green"),
    ],
)
def test_constrained_text_matches(constraint: dict[str, Any], pattern: str, engine: Engine) -> None:
    result = engine.generate("Say:", {**constraint, "max_new_tokens": 30})
    assert re.fullmatch(pattern, result["text"])
    assert result["meta_info"]["finish_reason"]["type"] == "stop"


@pytest.mark.parametrize(
    "constraint",
    [{"regex": "("}, {"ebnf": "root ::= missing"}, {"json_schema": {"type": "nonsense"}}],
)
def test_a_bad_grammar_fails_alone(constraint: dict[str, Any], engine: Engine) -> None:
    async def main() -> list[Any]:
        good = engine.async_generate("Go", {"max_new_tokens": 30, "ignore_eos": True})
        bad = engine.async_generate("Go", constraint)
        return list(await asyncio.gather(good, bad, return_exceptions=True))

    good, bad = asyncio.run(main())
    assert len(good["output_ids"]) == 30
    assert isinstance(bad, GrammarError)
    assert_idle(engine)


def test_free_and_constrained_requests_share_a_batch(
    engine: Engine, truth: list[list[int]]
) -> None:
    params = [{**GREEDY, "regex": "[0-9]{6}"}, GREEDY, {**GREEDY, "regex": "(ab)+c"}]
    found = engine.generate([LONG, LONG, LONG], params)
    assert re.fullmatch("[0-9]{6}", found[0]["text"])
    assert found[1]["output_ids"] == truth[0]
    assert re.fullmatch("(ab)*(ab?)?c?", found[2]["text"])


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [-1, 8])
@pytest.mark.parametrize("start", [0, 5, 40])
def test_prompt_logprobs_are_those_of_generating_the_same_tokens(
    start: int, chunk: int, open_engine: Open, engine: Engine
) -> None:
    scored = open_engine(chunked_prefill_size=chunk)
    ids = engine.desk.tokenizer.encode(LONG)
    for _ in range(2):  # the second time much of the prompt is cached
        result = scored.generate(
            input_ids=ids,
            sampling_params={"max_new_tokens": 1, "temperature": 0},
            return_logprob=True,
            logprob_start_len=start,
            top_logprobs_num=2,
            token_ids_logprob=[7],
        )
        meta = result["meta_info"]
        rows = meta["input_token_logprobs"]
        assert [token for _, token, _ in rows] == ids[start:]
        assert rows[0][0] is None
        assert all(value <= 0 for value, _, _ in rows[1:])
        assert len(meta["input_top_logprobs"]) == len(rows)
        assert meta["cached_tokens"] <= start
        # Each position again as the next token's after a shorter prompt.
        for position in (start + 1, len(ids) - 1):
            again = engine.generate(
                input_ids=ids[:position],
                sampling_params={"max_new_tokens": 1},
                return_logprob=True,
                token_ids_logprob=[ids[position]],
            )
            [[(value, _, _)]] = again["meta_info"]["output_token_ids_logprobs"]
            assert math.isclose(value, rows[position - start][0], abs_tol=1e-3)


@pytest.mark.slow
def test_prompt_logprobs_survive_a_pool_that_is_too_small(open_engine: Open) -> None:
    engine = open_engine(max_total_tokens=160, chunked_prefill_size=4)
    ids = list(range(10, 70))
    fields = {
        "input_ids": [ids, [5], [6]],
        "sampling_params": {"temperature": 0, "max_new_tokens": 70, "ignore_eos": True},
        "return_logprob": True,
        "logprob_start_len": [0, -1, -1],
    }
    found = engine.generate(**fields)
    alone = engine.generate(
        input_ids=ids,
        sampling_params={"temperature": 0, "max_new_tokens": 1},
        return_logprob=True,
        logprob_start_len=0,
    )
    rows, truth = (r["meta_info"]["input_token_logprobs"] for r in (found[0], alone))
    assert len(rows) == 60
    assert all(
        a == b or math.isclose(a, b, abs_tol=1e-4)
        for (a, _, _), (b, _, _) in zip(rows, truth, strict=True)
    )


def test_output_logprobs_are_the_models_own_under_a_constraint(engine: Engine) -> None:
    result = engine.generate(
        "Say:",
        {"regex": "[0-9]{3}", "temperature": 0},
        return_logprob=True,
        top_logprobs_num=3,
        return_text_in_logprobs=True,
    )
    meta = result["meta_info"]
    rows = meta["output_token_logprobs"]
    assert len(rows) == meta["output_token_logprobs_length"] == len(result["output_ids"])
    assert "".join(text for _, _, text in rows) == result["text"]
    assert all(math.isfinite(value) for value, _, _ in rows)
    # The likeliest tokens of the model itself are hardly three digits.
    assert all(
        top[0][0] >= row[0] for row, top in zip(rows, meta["output_top_logprobs"], strict=True)
    )


def test_zero_new_tokens_compute_the_prompt_only(engine: Engine) -> None:
    assert engine.flush_cache()
    result = engine.generate(LONG, {"max_new_tokens": 0})
    assert (result["text"], result["output_ids"]) == ("", [])
    assert result["meta_info"]["finish_reason"] == {"type": "length", "length": 0}
    assert engine.generate(LONG, GREEDY)["meta_info"]["computed_tokens"] == 1


@pytest.mark.slow
def test_no_limit_means_the_contexts_end(open_engine: Open) -> None:
    engine = open_engine(context_length=64)
    result = engine.generate(
        input_ids=[5] * 40, sampling_params={"max_new_tokens": None, "ignore_eos": True}
    )
    assert result["meta_info"]["finish_reason"] == {"type": "length", "length": 24}


def test_min_new_tokens_holds_stop_tokens_off(engine: Engine) -> None:
    everything = {"logit_bias": {"2": 50.0}, "temperature": 0}
    assert engine.generate("a", everything)["output_ids"] == [2]
    held = engine.generate("a", {**everything, "min_new_tokens": 5})
    assert len(held["output_ids"]) == 6
    assert held["output_ids"][-1] == 2
    assert held["meta_info"]["finish_reason"] == {"type": "stop", "matched": 2}
    assert len(engine.generate("a", {**everything, "ignore_eos": True})["output_ids"]) == 128


def test_stop_token_ids_stop(engine: Engine) -> None:
    result = engine.generate("a", {"logit_bias": {"9": 50.0}, "stop_token_ids": [9]})
    assert (result["text"], result["output_ids"]) == ("", [9])
    assert result["meta_info"]["finish_reason"] == {"type": "stop", "matched": 9}


@given(data=st.data())
@settings(max_examples=6, deadline=None)
def test_a_stop_string_cuts_the_text_that_would_have_been(
    data: st.DataObject, engine: Engine
) -> None:
    free = engine.generate("They wrote", GREEDY)["text"]
    at = data.draw(st.integers(0, len(free) - 2))
    stop = free[at : at + data.draw(st.integers(1, 4))]
    if "\ufffd" in stop:
        return
    result = engine.generate("They wrote", {**GREEDY, "stop": stop})
    reason = result["meta_info"]["finish_reason"]
    if reason["type"] == "stop":  # unless the length was reached in the same step
        assert result["text"] == free[: free.index(stop)]
        assert reason["matched"] == stop


def test_ids_sent_back_compute_nothing_but_the_new_literal(engine: Engine) -> None:
    segments: list[str | list[int]] = [LONG]
    for _ in range(3):
        result = engine.generate(segments=segments, sampling_params=GREEDY)
        meta = result["meta_info"]
        literal = " And then?"
        new = len(engine.desk.tokenizer.encode(literal))
        segments += [result["output_ids"][: meta["kept_tokens"]], meta["tail_text"] + literal]
        again = engine.generate(segments=segments, sampling_params=GREEDY)["meta_info"]
        # The last generated token has no KV yet: it is computed with the literal.
        assert again["computed_tokens"] <= new + 1
        assert again["cached_tokens"] >= meta["prompt_tokens"] + meta["completion_tokens"] - 1


def test_namespaces_share_nothing(engine: Engine) -> None:
    assert engine.flush_cache()
    engine.generate(LONG, GREEDY, extra_key="a")
    assert engine.generate(LONG, GREEDY, extra_key="b")["meta_info"]["cached_tokens"] == 0
    assert engine.generate(LONG, GREEDY, extra_key="a")["meta_info"]["computed_tokens"] == 1


def test_a_name_can_be_used_again_at_once(engine: Engine) -> None:
    for _ in range(4):
        result = engine.generate("They wrote", {**GREEDY, "stop": "e"}, rid="same")
        assert (
            result["output_ids"]
            == engine.generate("They wrote", {**GREEDY, "stop": "e"})["output_ids"]
        )


def test_a_prefix_that_was_evicted_comes_back_from_the_host(open_engine: Open) -> None:
    engine = open_engine(max_total_tokens=200, host_bytes=8 << 20)
    prompts = [[10 * i + j % 90 for j in range(120)] for i in range(4)]
    once = [engine.generate(input_ids=ids, sampling_params=GREEDY)["output_ids"] for ids in prompts]
    again = [engine.generate(input_ids=ids, sampling_params=GREEDY) for ids in prompts]
    assert [out["output_ids"] for out in again] == once
    assert [out["meta_info"]["cached_tokens"] for out in again] == [119] * 4


def test_flushing_is_refused_while_something_runs(engine: Engine) -> None:
    chunks = engine.generate(LONG, {"max_new_tokens": 1500, "ignore_eos": True}, stream=True)
    next(chunks)
    assert engine.flush_cache() is False
    chunks.close()
    deadline = time.monotonic() + 10
    while not engine.flush_cache():
        assert time.monotonic() < deadline


@pytest.mark.slow
def test_a_failing_pass_ends_its_requests_and_the_engine_goes_on(
    open_engine: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    from radixlm.runtime.engine.runner import Runner
    from radixlm.runtime.errors import EngineError

    engine = open_engine()
    forward = Runner.forward
    passes = 0

    def failing(self: Runner, rows: Any, *others: Any) -> Any:
        nonlocal passes
        passes += 1
        if passes == 3:
            raise RuntimeError("device on fire")
        return forward(self, rows, *others)

    monkeypatch.setattr(Runner, "forward", failing)
    with pytest.raises(EngineError, match="device on fire"):
        engine.generate(PROMPTS, GREEDY)
    assert_idle(engine)
    assert len(engine.generate(LONG, GREEDY)["output_ids"]) == 24


@pytest.mark.slow
def test_a_full_queue_is_said_so(open_engine: Open) -> None:
    from radixlm.runtime.errors import QueueFullError

    engine = open_engine(max_queued_requests=0)
    with pytest.raises(QueueFullError, match="The request queue is full"):
        engine.generate("a", GREEDY)


def test_closing_twice_and_using_a_closed_engine(open_engine: Open) -> None:
    engine = open_engine()
    chunks = engine.generate(LONG, {"max_new_tokens": 1500, "ignore_eos": True}, stream=True)
    next(chunks)
    engine.shutdown()
    engine.close()
    with pytest.raises(EngineClosedError):
        list(chunks)
    for use in (engine.flush_cache, engine.get_server_info, lambda: engine.generate("a")):
        with pytest.raises(EngineClosedError, match="closed"):
            use()
    with pytest.raises(EngineClosedError):
        list(engine.generate("a", stream=True))


@pytest.mark.slow
def test_a_dropped_engine_ends_its_scheduler(tiny_model: str) -> None:
    def schedulers() -> int:
        return sum(thread.name == "radixlm-scheduler" for thread in threading.enumerate())

    before = schedulers()
    engine = Engine(model_path=tiny_model, in_process=True)
    assert schedulers() == before + 1
    del engine
    gc.collect()
    deadline = time.monotonic() + 10
    while schedulers() > before:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_wrong_path_is_named_at_once() -> None:
    started = time.monotonic()
    with pytest.raises(ModelLoadError, match="/no/such/model"):
        Engine(model_path="/no/such/model")
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"eviction_policy": "random"}, "random"),
        ({"context_length": 4096}, "context_length is 4096"),
        ({"tokenizer_path": "/no/such"}, "/no/such"),
    ],
)
def test_settings_that_cannot_be_served_are_said(
    settings: dict[str, Any], message: str, open_engine: Open
) -> None:
    with pytest.raises(ModelLoadError, match=message):
        open_engine(**settings)


def test_a_request_is_checked_before_it_runs(engine: Engine) -> None:
    with pytest.raises(InvalidRequestError, match="nosuch"):
        engine.generate("a", nosuch=1)
    with pytest.raises(InvalidRequestError, match="temprature"):
        engine.generate("a", {"temprature": 1})
