"""Races of strands: whatever ends one, whoever waits for it is answered."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from radixlm.ir import loop
from radixlm.ir.machine import Execution
from radixlm.ir.nodes import NOWHERE, Gen, Let, Sampling, Text
from radixlm.ir.strand import Listener, Start, Strand
from radixlm.lang.backends.scripted import ScriptedBackend
from radixlm.lang.errors import BackendError, ProgramEndedError


def on(backend: ScriptedBackend) -> Start:
    async def start(listener: Listener | None) -> Execution:
        return await Execution.start(backend, defaults=Sampling(), listener=listener)

    return start


def never_started() -> tuple[Start, threading.Event]:
    begun = threading.Event()

    async def start(_: Listener | None) -> Execution:
        begun.set()
        await loop.asyncio.Event().wait()
        raise AssertionError

    return start, begun


def test_cancelling_before_the_first_step_answers_every_reader() -> None:
    for _ in range(50):  # the task may or may not have begun
        strand = Strand(on(ScriptedBackend()))
        strand.execute(Let(out="x", value=1), NOWHERE)
        strand.cancel(LookupError("no"))
        assert strand.wait() is None or strand.error is not None
        assert isinstance(strand.variables["x"].exception(10), LookupError | None)


def test_cancelling_while_it_starts_answers_every_reader() -> None:
    start, begun = never_started()
    strand = Strand(start)
    strand.execute(Let(out="x", value=1), NOWHERE)
    assert begun.wait(10)
    strand.cancel(LookupError("no"))
    assert isinstance(strand.variables["x"].exception(10), LookupError)
    assert strand.wait() is None


def test_an_interrupt_cancels_too_and_reads_as_ended() -> None:
    start, _ = never_started()
    strand = Strand(start)
    strand.execute(Let(out="x", value=1), NOWHERE)
    strand.cancel(KeyboardInterrupt())
    with pytest.raises(ProgramEndedError, match="cancelled"):
        strand.read("x")


def test_cancelling_a_branch_that_waits_for_its_fork_leaves_its_siblings() -> None:
    backend = ScriptedBackend(["1"], held=["x"])
    parent = Strand(on(backend))
    parent.execute(Gen(out="x"), NOWHERE)
    one, two = parent.fork(2)
    two.execute(Let(out="y", value=2), NOWHERE)
    one.cancel(LookupError("no"))
    backend.let_go()
    assert two.read("y") == 2
    assert parent.error is None
    parent.end()
    parent.done.result(10)


def test_cancelling_while_it_joins_leaves_the_branches() -> None:
    backend = ScriptedBackend(["1"], held=["x"])
    parent = Strand(on(backend))
    branches = parent.fork(1)
    branches[0].execute(Gen(out="x"), NOWHERE)
    joined = threading.Event()
    parent.execute(Let(out="before", value=0), NOWHERE)
    parent.join(branches, "gather_variable")
    parent.variables["before"].add_done_callback(lambda _: joined.set())
    assert joined.wait(10)
    parent.cancel(LookupError("no"))
    assert isinstance(parent.variables["x"].exception(10), LookupError)
    backend.let_go()
    assert branches[0].read("x") == "1"
    branches[0].done.result(10)


def test_ending_and_cancelling_may_be_said_again_and_after_the_end() -> None:
    backend = ScriptedBackend()
    strand = Strand(on(backend))
    strand.execute(Let(out="x", value=1), NOWHERE)
    strand.end()
    strand.end()
    strand.done.result(10)
    strand.cancel(LookupError("late"))
    assert strand.error is None
    assert strand.read("x") == 1
    assert strand.wait() is not None
    assert backend.alive == {}


def test_ending_closes_the_branches_at_once() -> None:
    parent = Strand(on(ScriptedBackend()))
    branch = parent.fork(1)[0]
    grandchild = branch.fork(1)[0]
    grandchild.execute(Let(out="x", value=1), NOWHERE)
    parent.end()
    with pytest.raises(ProgramEndedError):
        grandchild.execute(Text(text="late"), NOWHERE)
    assert grandchild.read("x") == 1  # what came before the end still runs
    for strand in (parent, branch, grandchild):
        strand.done.result(10)


def test_a_start_that_fails_answers_what_comes_before_and_after() -> None:
    async def start(_: Listener | None) -> Execution:
        raise BackendError("down")

    strand = Strand(start)
    strand.execute(Let(out="x", value=1), NOWHERE)
    assert strand.wait() is None
    strand.execute(Let(out="y", value=1), NOWHERE)
    for name in ("x", "y"):
        with pytest.raises(BackendError):
            strand.read(name)
    strand.end()
    strand.done.result(10)


@pytest.mark.parametrize("stop", [Strand.end, lambda strand: strand.cancel(LookupError("no"))])
def test_every_statement_that_was_accepted_is_answered(stop: Callable[[Strand], Any]) -> None:
    for _ in range(20):
        strand = Strand(on(ScriptedBackend()))
        barrier = threading.Barrier(4)

        def write(prefix: int, strand: Strand = strand, barrier: Any = barrier) -> None:
            barrier.wait()
            for number in range(20):
                try:
                    strand.execute(Let(out=f"{prefix}.{number}", value=number), NOWHERE)
                except ProgramEndedError:
                    return

        def read(strand: Strand = strand, barrier: Any = barrier) -> None:
            barrier.wait()
            for _ in range(5):
                strand.wait()

        with ThreadPoolExecutor(4) as pool:
            running = [pool.submit(write, 1), pool.submit(write, 2), pool.submit(read)]
            barrier.wait()
            stop(strand)
            for task in running:
                task.result(20)
        strand.done.result(10)
        for future in list(strand.variables.values()):
            future.exception(10)


def test_a_reader_that_comes_before_the_variable_sees_its_pieces() -> None:
    backend = ScriptedBackend(["a b"])
    strand = Strand(on(backend), streams=True)
    got: list[str] = []
    reader = threading.Thread(
        target=lambda: got.extend(piece.text for piece in loop.iterate(strand.pieces("x")))
    )
    reader.start()
    strand.execute(Text(text="Q"), NOWHERE)
    strand.execute(Gen(out="x"), NOWHERE)
    reader.join(10)  # it ends with its variable although the strand goes on
    assert got == ["a", " b"]
    strand.end()
