"""The scheduler over a model that is a hash: every request gets exactly its tokens."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radixlm.runtime.engine.inputs import Decodes, Row
from radixlm.runtime.messages import LogprobRequest, Submit, Usage
from radixlm.runtime.request import RequestId, SamplingParams
from radixlm.runtime.scheduler.job import Job
from radixlm.runtime.scheduler.output import finish_of

from .simulation import VOCAB, Simulation, Wish, continuation


@st.composite
def crowds(draw: st.DrawFn) -> tuple[list[Wish], dict[str, Any]]:
    """Requests that share prefixes, and a pool that holds the largest alone but rarely all."""
    stems = draw(st.lists(st.lists(st.integers(0, 3), max_size=20), min_size=1, max_size=3))
    wishes = [
        Wish(
            prompt=(
                *draw(st.sampled_from(stems)),
                *draw(st.lists(st.integers(0, 3), min_size=1, max_size=12)),
            ),
            max_new=draw(st.integers(0, 25)),
            forced=draw(st.sampled_from([0, 0, 0, 1, 9])),
            arrives=draw(st.integers(0, 20)),
            leaves=draw(st.one_of(st.none(), st.none(), st.integers(0, 40))),
            namespace=draw(st.sampled_from(["", "", "tenant"])),
        )
        for _ in range(draw(st.integers(1, 9)))
    ]
    page_size = draw(st.sampled_from([1, 1, 2, 4]))
    largest = max(len(wish.prompt) + wish.max_new for wish in wishes)
    pages = -(-largest // page_size) + draw(st.integers(0, 30))
    return wishes, {
        "pool": pages * page_size,
        "page_size": page_size,
        "chunk": draw(st.sampled_from([-1, 1, 3, 8, 64])),
        "max_running": draw(st.integers(1, 9)),
        "enabled": draw(st.sampled_from([True, True, True, False])),
        "host_slots": draw(st.sampled_from([0, 0, 8, 64])) * page_size,
        "columns": draw(st.sampled_from([True, True, False])),
        "overlap": draw(st.booleans()),
    }


@given(crowds())
@settings(max_examples=40, deadline=None)
def test_every_request_gets_exactly_its_tokens_and_nothing_leaks(
    crowd: tuple[list[Wish], dict[str, Any]],
) -> None:
    wishes, limits = crowd
    simulation = Simulation(**limits)
    simulation.run(wishes)
    for index, wish in enumerate(wishes):
        truth = continuation(wish.prompt, wish.max_new)
        found = simulation.outputs.get(f"r{index}", [])
        assert found == truth if wish.leaves is None else found == truth[: len(found)]
    assert simulation.cache.usage().leased == 0
    simulation.cache.flush()
    assert simulation.cache.usage().free == limits["pool"]


def test_a_pool_for_two_of_five_retracts_and_still_finishes_all() -> None:
    wishes = [Wish(prompt=(index, 1, 2, 3), max_new=40) for index in range(5)]
    simulation = Simulation(pool=100)
    simulation.run(wishes)
    assert [simulation.outputs[f"r{i}"] for i in range(5)] == [
        continuation(wish.prompt, 40) for wish in wishes
    ]
    assert sum(usage.retractions for usage in simulation.usages.values()) > 0


def test_decoding_goes_on_while_a_long_prompt_is_cut_in_chunks() -> None:
    simulation = Simulation(pool=200, chunk=4)
    simulation.scheduler.add(simulation.job("short", Wish((1,), 50)))
    simulation.turn()
    simulation.scheduler.add(simulation.job("long", Wish(tuple(range(30)), 1)))
    for _ in range(9):
        before = len(simulation.outputs["short"])
        simulation.turn()
        assert len(simulation.outputs["short"]) == before + 1


def test_forced_runs_go_on_while_a_long_prompt_is_cut_in_chunks() -> None:
    simulation = Simulation(pool=200, chunk=8, columns=False)
    simulation.scheduler.add(simulation.job("forced", Wish((1,), 90, forced=3)))
    simulation.turn()
    simulation.scheduler.add(simulation.job("long", Wish(tuple(range(40)), 1)))
    for _ in range(9):
        simulation.scheduler.stepping.reverse()  # whoever was admitted first
        before = len(simulation.outputs["forced"])
        simulation.turn()
        assert len(simulation.outputs["forced"]) == before + 4


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize(("chunk", "runs_in_columns"), [(64, True), (8, False)])
def test_constrained_jobs_decode_in_columns_with_the_runs_that_fit_into_a_pass(
    overlap: bool, chunk: int, runs_in_columns: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulation = Simulation(pool=400, chunk=chunk, overlap=overlap)
    wishes = [Wish((index, 1), 60, forced=forced) for index, forced in enumerate((9, 0, 9, 2))]
    for index, wish in enumerate(wishes):
        simulation.scheduler.add(simulation.job(f"r{index}", wish))
    passes: list[list[int]] = []  # the columns' part of each: how many tokens of each job
    inputs = simulation.scheduler.decoding.inputs

    def noted() -> tuple[Decodes, list[Row]]:
        passes.append(simulation.scheduler.decoding.to_compute().tolist())
        return inputs()

    monkeypatch.setattr(simulation.scheduler.decoding, "inputs", noted)
    while simulation.scheduler.has_work or simulation.flight is not None:
        simulation.turn()
    assert max(map(len, passes)) >= (len(wishes) if runs_in_columns else 2)
    assert (max(map(max, passes)) >= 9) == runs_in_columns
    for index, wish in enumerate(wishes):
        assert simulation.outputs[f"r{index}"] == continuation(wish.prompt, 60)


def test_more_decoding_than_the_budget_leaves_one_token_to_a_prompt() -> None:
    simulation = Simulation(pool=200, chunk=1)
    for name in "abc":
        simulation.scheduler.add(simulation.job(name, Wish((ord(name) % VOCAB, 7), 30)))
    for _ in range(12):
        simulation.turn()
    assert all(simulation.outputs[name] for name in "abc")


def test_the_same_prompt_again_computes_its_last_token_only() -> None:
    simulation = Simulation(pool=100)
    prompt = tuple(range(20))
    simulation.run([Wish(prompt, 3)])
    assert simulation.usages["r0"] == Usage(prompt=20, cached=0, computed=20)
    simulation.run([Wish(prompt, 3)])
    assert simulation.usages["r0"] == Usage(prompt=20, cached=19, computed=1)


def test_requests_that_arrive_together_share_what_the_first_has_computed() -> None:
    simulation = Simulation(pool=100, chunk=8)
    simulation.run([Wish((*range(16), 20 + i), 2) for i in range(3)])
    assert [simulation.usages[f"r{i}"].cached for i in range(3)] == [0, 16, 16]


def test_what_two_prompts_share_is_computed_once_even_when_both_fit_in_a_pass() -> None:
    simulation = Simulation(pool=200, chunk=100)
    simulation.run([Wish((*range(16), 20 + i), 2) for i in range(4)])
    assert [simulation.usages[f"r{i}"].cached for i in range(4)] == [0, 16, 16, 16]


def test_a_few_shared_tokens_are_not_worth_waiting_for() -> None:
    simulation = Simulation(pool=200, chunk=100)
    simulation.run([Wish((*range(7), 20 + i), 2) for i in range(3)])
    assert simulation.step == 2
    assert [simulation.usages[f"r{i}"].cached for i in range(3)] == [0, 0, 0]


def test_whoever_waits_for_a_prefix_keeps_nobody_else_waiting() -> None:
    simulation = Simulation(pool=200, chunk=100)
    shared = tuple(range(20))
    wishes = [Wish((*shared, 30), 1), Wish((*shared, 31), 1), Wish(tuple(range(40, 49)), 1)]
    for index, wish in enumerate(wishes):
        simulation.scheduler.add(simulation.job(f"r{index}", wish))
    simulation.turn()
    assert simulation.outputs.keys() == {"r0", "r2"}


def test_a_prefix_that_its_first_owner_never_computes_is_computed_by_the_next() -> None:
    simulation = Simulation(pool=200, chunk=8)
    first, second = (simulation.job(n, Wish((*range(30), i), 1)) for i, n in enumerate("ab"))
    simulation.scheduler.add(first)
    simulation.scheduler.add(second)
    simulation.turn()
    assert second.lease is None
    simulation.scheduler.end(first)
    simulation.turn()
    assert second.computed == 16


def test_another_namespace_shares_nothing() -> None:
    simulation = Simulation(pool=100)
    simulation.run([Wish(tuple(range(10)), 1)])
    simulation.run([Wish(tuple(range(10)), 1, namespace="other")])
    assert simulation.usages["r0"].cached == 0


@pytest.mark.parametrize("start", [0, 5, 9])
def test_scoring_from_a_position_uses_no_cached_token_beyond_it(start: int) -> None:
    simulation = Simulation(pool=100)
    simulation.run([Wish(tuple(range(10)), 1)])
    job = simulation.job("scored", Wish(tuple(range(10)), 1))
    job.submit = replace_submit(job.submit, start)
    simulation.scheduler.add(job)
    simulation.turn()
    assert job.cached == min(start, 9)


def replace_submit(submit: Submit, start: int) -> Submit:
    import msgspec

    return msgspec.structs.replace(submit, logprobs=LogprobRequest(start=start))


def test_a_retracted_prompt_forgets_the_scores_that_it_will_get_again() -> None:
    simulation = Simulation(pool=100)
    job = simulation.job("scored", Wish(tuple(range(10)), 1))
    job.submit = replace_submit(job.submit, 0)
    job.input_logprobs = [None, -1.0]
    job.forget_prompt_logprobs()
    assert job.input_logprobs is None
    scores = [None, *[-1.0] * 9]
    job.input_logprobs = list(scores)
    job.forget_prompt_logprobs()
    assert job.input_logprobs == scores


def test_waiting_jobs_start_in_the_order_of_their_arrival() -> None:
    simulation = Simulation(pool=100, max_running=1)
    simulation.run([Wish((i, 1), 2) for i in range(5)])
    assert list(simulation.outputs) == [f"r{i}" for i in range(5)]


def test_a_job_with_no_limit_to_speak_of_holds_little_memory() -> None:
    submit = Submit(rid=RequestId("r"), tokens=[1, 2], sampling=SamplingParams(), seed=0)
    job = Job.of(submit, max_new=1 << 40)
    assert job.tokens.nbytes < 1000
    for token in range(1000):
        job.append(token)
    assert job.sequence.tolist() == [1, 2, *range(1000)]
    assert len(job.tokens) < 4000


@pytest.mark.parametrize(
    ("generated", "token", "stop_ids", "expected"),
    [
        (3, 7, (7,), ("length", None)),  # the limit wins over the stop token
        (2, 7, (7,), ("stop", 7)),
        (2, 8, (7,), None),
        (3, 8, (), ("length", None)),
    ],
)
def test_what_ends_a_job(
    generated: int, token: int, stop_ids: tuple[int, ...], expected: tuple[str, int | None] | None
) -> None:
    submit = Submit(
        rid=RequestId("r"), tokens=[1], sampling=SamplingParams(), seed=0, stop_ids=stop_ids
    )
    job = Job.of(submit, max_new=3)
    for _ in range(generated):
        job.append(token)
    finish = finish_of(job)
    assert (finish and (finish.type, finish.matched)) == expected


def test_a_job_that_pins_leave_no_room_for_is_not_planned() -> None:
    simulation = Simulation(pool=40)
    simulation.run([Wish(tuple(range(20)), 1)])
    simulation.cache.pin("system", np.arange(20, dtype=np.int32))
    simulation.scheduler.add(simulation.job("large", Wish(tuple(range(100, 130)), 1)))
    assert not simulation.scheduler.plan()
    simulation.cache.unpin("system")
    assert simulation.scheduler.plan()


def test_what_was_evicted_to_the_host_comes_back_instead_of_being_computed() -> None:
    simulation = Simulation(pool=40, host_slots=100)
    first = Wish(tuple(range(30)), 2)
    simulation.run([first])
    simulation.run([Wish(tuple(range(100, 135)), 2)])
    assert simulation.cache.match_length(np.arange(30, dtype=np.int32)) < 10
    simulation.run([first])
    assert simulation.usages["r0"] == Usage(prompt=30, cached=29, computed=1)
    assert simulation.outputs["r0"][-2:] == continuation(first.prompt, 2)
