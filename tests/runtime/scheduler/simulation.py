"""A scheduler over a model that is a hash: what each slot must hold is known and checked."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor

from radixlm.constrained.grammar import Grammar, Matcher
from radixlm.radix_cache import RadixCache
from radixlm.runtime.config import ScheduleConfig
from radixlm.runtime.engine.distortion import Distortions
from radixlm.runtime.engine.drawn import Drawn
from radixlm.runtime.engine.inputs import Decodes, Row, stand_in
from radixlm.runtime.engine.runner import Runner
from radixlm.runtime.engine.sampler import Sampler
from radixlm.runtime.messages import Finish, Submit, Usage
from radixlm.runtime.request import RequestId, SamplingParams
from radixlm.runtime.scheduler.flight import Flight
from radixlm.runtime.scheduler.forced import Forcing
from radixlm.runtime.scheduler.job import Job
from radixlm.runtime.scheduler.output import News, aborted
from radixlm.runtime.scheduler.pace import Pace
from radixlm.runtime.scheduler.reading import Reader
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
        self.distortions = Distortions(cpu_kernels=False)

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
            state = next_state(state, known[stand_in(token)] if token < 0 else token)
            self.kept[slots[position]] = state
            found.append(state)
        return found


class Anything:
    """A match of a grammar that allows every token."""

    is_finished = False

    def fill(self, mask: Tensor, row: int) -> None:
        mask[row] = -1

    def accept(self, token: int) -> bool:
        return 0 <= token < VOCAB


class Truth:
    """Forces what the model would have said: `runs` tokens after each, by the name of the job."""

    def __init__(self) -> None:
        self.runs: dict[str, int] = {}

    def extend(self, job: Job) -> int:
        """See `Forcing.extend`."""
        count = min(self.runs.get(job.submit.rid, 0), job.max_new - job.generated)
        for token in continuation(job.sequence.tolist(), count):
            job.append(token)
        return count


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
    is_checked: bool = True  # whether the cache's invariants are, after each pass
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
        if not self.columns:
            self.scheduler.settle = lambda job: None  # type: ignore[method-assign]
        self.news = News()
        self.forcing = Truth()
        forcing = cast(Forcing, self.forcing)
        self.reader = Reader(self.scheduler, self.news, Pace(), forcing)
        self.outputs: dict[str, list[int]] = {}
        self.usages: dict[str, Usage] = {}

    def job(self, name: str, wish: Wish) -> Job:
        submit = Submit(
            rid=RequestId(name),
            tokens=list(wish.prompt),
            sampling=SamplingParams(temperature=0),
            seed=0,
            namespace=wish.namespace,
        )
        job = Job.of(submit, max_new=wish.max_new)
        if wish.forced:
            self.forcing.runs[name] = wish.forced
            job.matcher = cast(Matcher, Anything())
            job.grammar = Future()
            job.grammar.set_result(cast(Grammar, job.matcher))
        return job

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
        if self.is_checked:
            self.check()

    def land(self) -> None:
        """Tell the jobs of the pass under way their tokens."""
        flight, self.flight = self.flight, None
        if flight is None:
            return
        self.reader.land(flight)
        self.tell()

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

    def tell(self) -> None:
        """Take what the desk would be told."""
        news = self.news.progress()
        told = [*news.rids, *(delta.rid for delta in news.deltas)]
        assert len(set(told)) == len(told), "one word on each job"
        for rid, token in zip(news.rids, news.tokens, strict=True):
            self.outputs[rid].append(token)
        for delta in news.deltas:
            assert delta.finish is None or delta.finish.type != "abort"
            self.outputs.setdefault(delta.rid, []).extend(delta.tokens)
            if delta.usage is not None:
                assert delta.usage.cached + delta.usage.computed == delta.usage.prompt
                self.usages[delta.rid] = delta.usage

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
        columns = self.scheduler.decoding
        assert len(columns) == plan.decoding
        assert sum(piece.count for piece in slices) + columns.to_compute().sum() <= budget
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
