"""The scheduler's loop: receive, plan a pass, compute, sample, tell the desk.

The forward pass does not need the grammars' masks, only sampling does. So on an accelerator tokens
are handled and masks filled while the next forward runs. No exception of a request leaves a step:
the requests of a pass that fails are ended with the reason, and the loop turns on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ...constrained.compiler import GrammarCompiler
from ...constrained.errors import GrammarError
from ...radix_cache import RadixCache
from ...radix_cache.kv import carry_out
from ..config import EngineConfig
from ..engine.runner import Runner
from ..ipc import SchedulerEnd
from ..messages import (
    Abort,
    Answer,
    Ask,
    Browse,
    Close,
    Drop,
    Flush,
    Forget,
    Hold,
    Pin,
    Save,
    Show,
    State,
    Submit,
    ToScheduler,
    Unpin,
)
from . import pins, pooling
from .closing import begin
from .disk import Disk
from .flight import Flight, jobs_in
from .forced import Forcing
from .job import Job
from .output import News, aborted, finish_of, refused
from .pace import Pace
from .reading import Reader
from .schedule import Plan, Scheduler

logger = logging.getLogger(__name__)

IDLE_MS = 500  # an idle loop shows that it lives this often
COMPILING_MS = 2  # how often a waiting loop looks for finished grammars


class Loop:
    """One scheduler with its runner, until `Close`."""

    def __init__(
        self,
        config: EngineConfig,
        runner: Runner,
        compiler: GrammarCompiler,
        end: SchedulerEnd,
        forcing: Forcing | None = None,
    ) -> None:
        """Make the cache, restored if it was saved.

        Args:
            config: of the engine.
            runner: of the model.
            compiler: of grammars for the model's vocabulary.
            end: of the wire to the desk.
            forcing: appends what grammars force; None: all of it is sampled.
        """
        self._config = config
        self._runner = runner
        self._compiler = compiler
        self._end = end
        cache = RadixCache(
            runner.num_slots,
            policy=config.cache.eviction_policy,
            enabled=not config.cache.disable_radix_cache,
            page_size=config.cache.page_size,
            host_slots=0 if runner.host_pool is None else runner.host_pool.num_slots,
        )
        self.scheduler = Scheduler(cache, config.schedule)
        self._disk = Disk.of(config, runner)
        if self._disk is not None:
            self._disk.restore(cache)
        self._flight: Flight | None = None  # the pass whose tokens are not read yet
        self._overlaps = runner.is_asynchronous and not config.schedule.disable_overlap_schedule
        self._compiling: list[Job] = []  # jobs whose grammar is not ready
        self._news = News()
        self._pace = Pace()
        self._reader = Reader(self.scheduler, self._news, self._pace, forcing)
        self._steps = 0
        self._reported_at = 0.0
        self._closed = False

    def run(self) -> None:
        """Turn until the desk says `Close`."""
        while not self._closed:
            self.turn()
        if self._disk is not None:
            self._disk.save_at_end(self.scheduler.cache)

    def turn(self) -> None:
        """Receive, compute one pass if there is work, and report."""
        for message in self._end.receive(self._patience_ms()):
            self._handle(message)
        self._collect_grammars()
        if self._has_work:
            self._step()
        self._report()

    def _report(self) -> None:
        """Send what happened; when nothing did, an empty message now and then as a sign of life."""
        now = time.monotonic()
        if self._news or now - self._reported_at >= IDLE_MS / 1000:
            self._end.send(self._news.progress())
            self._reported_at = now

    @property
    def _has_work(self) -> bool:
        return self._flight is not None or self.scheduler.has_work

    def _patience_ms(self) -> int:
        if self._has_work or self._news:
            return 0
        return COMPILING_MS if self._compiling else IDLE_MS

    def _handle(self, message: ToScheduler) -> None:
        match message:
            case Submit():
                self._submit(message)
            case Show(image=image):
                self._runner.show(image)
            case Forget(digest=digest):
                self._runner.forget(digest)
            case Abort(rid=rid, quiet=quiet):
                job = self.scheduler.find(rid)
                job = job or next((j for j in self._compiling if j.submit.rid == rid), None)
                if job is not None:
                    self._drop(job, None if quiet else "the request was aborted", 499)
            case Flush(call=call):
                idle = not self._has_work and not self._compiling
                if idle:
                    self.scheduler.cache.flush()
                self._end.send(Answer(call=call, done=idle))
            case Hold():
                pins.hold(self.scheduler.cache, message)
            case Drop():
                pins.drop(self.scheduler.cache, message)
            case Pin():
                self._end.send(pins.pin(self.scheduler.cache, message))
            case Unpin():
                self._end.send(pins.unpin(self.scheduler.cache, message))
            case Save():
                assert self._disk is not None, "the desk asks no other"
                self._end.send(self._disk.answer(self.scheduler.cache, message))
            case Ask(call=call):
                pinned = pins.listed(self.scheduler.cache)
                self._end.send(Answer(call=call, state=self._state(), pins=pinned))
            case Browse(call=call, max_nodes=nodes, max_tokens=tokens):
                listed = self.scheduler.cache.list_nodes(max_nodes=nodes, max_tokens=tokens)
                self._end.send(Answer(call=call, nodes=listed))
            case Close():
                self._closed = True

    def _submit(self, submit: Submit) -> None:
        room = min(self._runner.context_length, self.scheduler.cache.usage().pool)
        room -= len(submit.tokens)
        wanted = submit.sampling.max_new_tokens
        job = Job.of(submit, max_new=room if wanted is None else min(wanted, room))
        if self._num_waiting >= self._config.schedule.max_queued_requests:
            self._send_away(job, "The request queue is full.")
            return
        try:
            spec = submit.sampling.grammar()
        except GrammarError as error:
            self._news.deltas.append(refused(job, error))
            return
        if spec is None:
            self.scheduler.add(job)
        else:
            job.grammar = self._compiler.submit(spec)
            self._compiling.append(job)

    @property
    def _num_waiting(self) -> int:
        return len(self.scheduler.waiting) + len(self._compiling)

    def _send_away(self, job: Job, reason: str) -> None:
        """Refuse a job for now, and say when it is worth another try."""
        wait_s = self._pace.wait_s(self._num_waiting)
        self._news.deltas.append(aborted(job, reason, 503, retry_after_s=wait_s))

    def _collect_grammars(self) -> None:
        """Queue the jobs whose grammar is ready; the others keep nobody waiting."""
        still: list[Job] = []
        for job in self._compiling:
            assert job.grammar is not None
            if not job.grammar.done():
                still.append(job)
            elif isinstance(error := job.grammar.exception(), GrammarError):
                if error.retryable:
                    self._send_away(job, str(error))
                else:
                    self._news.deltas.append(refused(job, error))
            elif error is not None:
                failed = f"compiling the grammar failed: {error}"
                self._news.deltas.append(aborted(job, failed, 500))
            elif not (grammar := job.grammar.result()).completion.is_ready(job.max_new):
                still.append(job)
            else:
                try:
                    begin(job, grammar)
                except GrammarError as too_little:
                    self._news.deltas.append(refused(job, too_little))
                    continue
                if job.submit.wants_contract or not grammar.contract.is_enforced:
                    job.contract = grammar.contract
                if self._reader.force(job):
                    job.due = finish_of(job)
                self.scheduler.add(job)
        self._compiling = still

    def _drop(self, job: Job, message: str | None, status: int) -> None:
        if job not in self._compiling:
            self._reader.drop(job, message, status)
            return
        self._compiling.remove(job)
        assert job.grammar is not None
        self._compiler.abandon(job.grammar)
        if message is not None:
            self._news.deltas.append(aborted(job, message, status))

    def _step(self) -> None:
        """Launch a pass, and read the tokens of the one before; see `flight.py` for the order."""
        if self.scheduler.may_retract:
            self._land()
        plan = self.scheduler.plan()
        if plan:
            flight = self._launch(plan)
            self._land()
            if flight is not None:
                with self._failing(flight.jobs):
                    flight.draw()
                    self._flight = flight
            if not self._overlaps:
                self._land()
        elif self._flight is not None:
            self._land()
        elif self.scheduler.has_work:
            self._refuse_stuck()
            return
        self._steps += 1
        self._pace.measure(self._reader.generated)
        if self._config.check_invariants:
            self.scheduler.cache.check()

    @contextmanager
    def _failing(self, jobs: Sequence[Job]) -> Iterator[None]:
        """Let an exception end these jobs: a request must never stop the loop."""
        try:
            yield
        except Exception as error:
            logger.exception("a pass failed")
            for job in [job for job in jobs if job.finish is None]:
                self._drop(job, f"the engine failed on this request: {error}", 500)

    def _refuse_stuck(self) -> None:
        """End the job whose turn it is: nothing runs that could make room for it."""
        job = next(self.scheduler.waiting.candidates())
        usage = self.scheduler.cache.usage()
        self._drop(
            job,
            f"The request needs {job.count} slots of the KV pool's {usage.pool}, and pinned "
            f"prefixes hold {usage.pinned}; unpin some, or send a shorter prompt.",
            503,
        )

    def _launch(self, plan: Plan) -> Flight | None:
        """Start a pass; None when that failed, or nothing of it is to be sampled."""
        columns = self.scheduler.decoding
        with self._failing(jobs_in(plan, columns)):
            self._move_pages()
            rest, pooled = pooling.part(plan)
            if pooled:
                self._pool(pooled)
            if rest:
                before = None if self._flight is None else self._flight.drawn
                flight = Flight(rest, columns, self._runner, before)
                self.scheduler.commit(rest)
                return flight
        return None

    def _pool(self, plan: Plan) -> None:
        """Compute a pass for hidden states and end the jobs whose prompt it completes."""
        ended = pooling.pool(self._runner, plan.slices)
        self.scheduler.commit(plan)
        for job in ended:
            self._reader.tell(job)

    def _move_pages(self) -> None:
        """Copy what was evicted to the host, and what comes back, before slots are written."""
        host = self.scheduler.cache.host
        if host is not None and self._runner.host_pool is not None:
            orders = host.plan()
            carry_out(orders, self._runner.pool, self._runner.host_pool)
            host.apply(orders)

    def _land(self) -> None:
        """Give the jobs of the pass under way, if there is one, their tokens."""
        flight, self._flight = self._flight, None
        if flight is not None:
            with self._failing(flight.jobs):
                self._reader.land(flight)

    def _state(self) -> State:
        usage = self.scheduler.cache.usage()
        return State(
            pool=usage.pool,
            free=usage.free,
            cached=usage.cached,
            leased=usage.leased,
            pinned=usage.pinned,
            running=len(self.scheduler.stepping) + len(self.scheduler.decoding),
            waiting=self._num_waiting,
            steps=self._steps,
            generated_tokens=self._reader.generated,
            forced_tokens=self._reader.forced,
            prompt_tokens=self._reader.prompt,
            cached_tokens=self._reader.cached,
            grammars=self._compiler.counts(),
            last_throughput=self._pace.tokens_a_second,
            retry_after_s=self._pace.wait_s(self._num_waiting),
        )
