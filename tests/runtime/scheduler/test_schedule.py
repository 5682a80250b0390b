"""The scheduler over a model that is a hash: what each slot must hold is known and checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from radixlm.radix_cache import RadixCache
from radixlm.runtime.config import ScheduleConfig
from radixlm.runtime.engine.drawn import Drawn
from radixlm.runtime.engine.inputs import Decodes, Row, unread
from radixlm.runtime.engine.runner import Runner
from radixlm.runtime.engine.sampler import Sampler
from radixlm.runtime.messages import Finish, LogprobRequest, Submit, Usage
from radixlm.runtime.request import RequestId, SamplingParams
from radixlm.runtime.scheduler.flight import Flight
from radixlm.runtime.scheduler.job import Job
from radixlm.runtime.scheduler.output import aborted, delta_of, finish_of
from radixlm.runtime.scheduler.schedule import Plan, Scheduler

VOCAB = 50


def next_state(state: int, token: int) -> int:
    return (state * 1_000_003 + token + 1) % ((1 << 61) - 1)


def continuation(prompt: Sequence[int], count: int) -> list[int]:
    """What the hash model says after `prompt`: the truth that the scheduler must reproduce."""
    state, found = 0, list[int]()
    for token in prompt:
        state = next_state(state, token)
    for _ in range(count):
        found.append(state % VOCAB)
        state = next_state(state, found[-1])
    return found


@dataclass(frozen=True)
class Wish:
    """One request of a simulation."""

    prompt: tuple[int, ...]
    max_new: int
    forced: int = 0  # tokens that are appended after each sampled one
    arrives: int = 0  # step
    leaves: int | None = None  # the step of its abort
    namespace: str = ""


class HashModel:
    """A runner whose model is the hash: logits that know one token, slots in a dict.

    As on a device, an input that the host has not read is taken from what was drawn.
    """

    def __init__(self) -> None:
        self.kept: dict[int, int] = {}  # slot -> state after its token
        self.sampler = Sampler(cpu_kernels=False)

    def forward(
        self, rows: Sequence[Row], decodes: Decodes | None = None, drawn: Drawn | None = None
    ) -> Tensor:
        """See `Runner.forward`."""
        known = [] if drawn is None else drawn.tokens.tolist()
        states: list[int] = []
        if decodes is not None:
            for token, length, slots in zip(
                decodes.tokens.tolist(), decodes.lengths.tolist(), decodes.slots(), strict=True
            ):
                assert len(slots) == length
                states += self._compute([token], length - 1, slots.tolist(), known)
        for row in rows:
            new = self._compute(row.tokens.tolist(), row.start, row.slots.tolist(), known)
            states += new[row.logits_from :]
        logits = torch.zeros(len(states), VOCAB)
        logits[torch.arange(len(states)), [state % VOCAB for state in states]] = 1
        return logits

    def _compute(
        self, tokens: list[int], start: int, slots: list[int], known: list[int]
    ) -> list[int]:
        """Read what earlier passes wrote, and write what this one computes."""
        found: list[int] = []
        for position, token in enumerate(tokens, start):
            state = self.kept[slots[position - 1]] if position else 0
            state = next_state(state, known[unread(token)] if token < 0 else token)
            self.kept[slots[position]] = state
            found.append(state)
        return found


@dataclass
class Simulation:
    """Drives a scheduler as the loop does, with a dict for the pool's tensors."""

    pool: int
    page_size: int = 1
    chunk: int = 8
    max_running: int = 8
    enabled: bool = True
    columns: bool = True  # whether plain jobs go there
    overlap: bool = False  # whether a pass is launched before the one before is read
    host_slots: int = 0
    host: dict[int, int] = field(default_factory=dict[int, int])  # the same, in host memory
    model: HashModel = field(default_factory=HashModel)
    flight: Flight | None = None
    step: int = 0

    def __post_init__(self) -> None:
        self.cache = RadixCache(
            self.pool,
            page_size=self.page_size,
            enabled=self.enabled,
            host_slots=self.host_slots,
        )
        config = ScheduleConfig(
            chunked_prefill_size=self.chunk, max_running_requests=self.max_running
        )
        self.scheduler = Scheduler(self.cache, config)
        self.outputs: dict[str, list[int]] = {}
        self.forced: dict[str, int] = {}
        self.usages: dict[str, Usage] = {}

    def job(self, name: str, wish: Wish) -> Job:
        submit = Submit(
            rid=RequestId(name),
            tokens=list(wish.prompt),
            sampling=SamplingParams(temperature=0),
            seed=0,
            namespace=wish.namespace,
        )
        self.forced[name] = wish.forced
        return Job.of(submit, max_new=wish.max_new)

    def turn(self) -> None:
        """One pass, checked from all sides."""
        if self.scheduler.may_retract:
            self.land()
        plan = self.scheduler.plan()
        if not plan and (self.flight is not None or not self.scheduler.has_work):
            self.land()
            return
        self.check_plan(plan)
        self.move_pages()
        self.check_slots(plan)
        before = None if self.flight is None else self.flight.drawn
        runner = cast(Runner, self.model)
        flight = Flight(plan, self.scheduler.decoding, runner, before)
        self.scheduler.commit(plan)
        self.land()
        flight.draw()
        self.flight = flight
        if not self.overlap:
            self.land()
        self.check()

    def land(self) -> None:
        """Tell the jobs of the pass under way their tokens."""
        flight, self.flight = self.flight, None
        if flight is None:
            return
        tokens = flight.read()
        if len(self.scheduler.decoding):
            self.append(tokens)
        for job in self.scheduler.unread():
            job.read(int(tokens[job.unread]))
            self.force(job)
            self.tell(job)
            if job.finish is None and self.columns and job.to_compute <= 1:
                self.scheduler.settle(job)
        for job in flight.prompts:
            if job.finish is None:
                self.tell(job)

    def force(self, job: Job) -> None:
        """Append what the model would have said."""
        forced = min(self.forced.get(job.submit.rid, 0), job.max_new - job.generated)
        for token in continuation(job.sequence.tolist(), forced):
            job.append(token)

    def move_pages(self) -> None:
        if self.cache.host is None:
            return
        orders = self.cache.host.plan()
        for order in orders:
            for device, host in zip(order.device.tolist(), order.host.tolist(), strict=True):
                if order.to_host:
                    self.host[host] = self.model.kept[device]
                else:
                    self.model.kept[device] = self.host[host]
        self.cache.host.apply(orders)

    def tell(self, job: Job) -> None:
        job.finish = finish_of(job)
        if job.finish is not None:
            self.scheduler.end(job)
        delta = delta_of(job)
        self.outputs.setdefault(job.submit.rid, []).extend(delta.tokens)
        assert delta.usage is not None
        assert delta.usage.cached + delta.usage.computed == delta.usage.prompt
        self.usages[job.submit.rid] = delta.usage

    def append(self, tokens: NDArray[np.int64]) -> None:
        columns = self.scheduler.decoding
        rids = list(columns.rids)
        new, ending = columns.read(tokens)
        gone = columns.leave(ending, ended=True)
        for row, (rid, token) in enumerate(zip(rids, new.tolist(), strict=True)):
            if row not in ending and token >= 0:
                self.outputs[rid].append(token)
        for job in gone:
            self.tell(job)

    def check_slots(self, plan: Plan) -> None:
        """Each slot that a slice builds on holds the state of the tokens before it."""
        for piece in plan.slices:
            job, state = piece.job, 0
            assert job.lease is not None
            for position in range(job.computed):
                state = next_state(state, int(job.tokens[position]))
                kept = self.model.kept[int(job.lease.slots[position])]
                assert kept == state, "a slot holds another prefix"

    def check_plan(self, plan: Plan) -> None:
        assert plan, "there was work"
        slices = plan.slices
        decoding = sum(piece.count == 1 and piece.samples for piece in slices) + plan.decoding
        budget = max(self.chunk, decoding + 1) if self.chunk > 0 else 1 << 62
        assert sum(piece.count for piece in slices) + plan.decoding <= budget
        assert len({id(piece.job) for piece in slices}) == len(slices)
        assert len(slices) + plan.decoding <= self.max_running
        assert all(1 <= piece.count <= piece.job.to_compute for piece in slices)

    def check(self) -> None:
        self.cache.check()
        usage = self.cache.usage()
        assert usage.free + usage.cached + usage.leased == usage.pool
        assert len(self.scheduler.running) <= self.max_running

    def run(self, wishes: Sequence[Wish], *, max_steps: int = 20_000) -> None:
        """Let the wishes arrive, run and leave; return when nothing is left to do."""
        todo = {f"r{index}": wish for index, wish in enumerate(wishes)}
        while todo or self.scheduler.has_work or self.flight is not None:
            for name, wish in list(todo.items()):
                if wish.arrives <= self.step:
                    self.scheduler.add(self.job(name, todo.pop(name)))
            for index, wish in enumerate(wishes):
                job = self.scheduler.find(RequestId(f"r{index}"))
                if job is not None and wish.leaves is not None and wish.leaves <= self.step:
                    job.finish = Finish(type="abort")
                    self.scheduler.end(job)
                    usage = aborted(job, "", 499).usage
                    assert usage is not None
                    assert usage.computed >= 0
                    self.check()
            if self.scheduler.has_work or self.flight is not None:
                self.turn()
            self.step += 1
            assert self.step < max_steps, "somebody starves"


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
