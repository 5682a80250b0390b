"""Streams of a program: text as it comes, for readers in threads and on loops."""

import asyncio
import threading
from typing import Any

import pytest

import radixlm as rl

from .test_state import run

Backend = rl.ScriptedBackend


def two(s: rl.ProgramState) -> None:
    s += "Q: " + rl.gen("x") + "; "
    s += rl.select("y", ["yes"]) + rl.gen("z")


ANSWERS = ["one two", " three"]
PIECES = ["Q: ", "one", " two", "; ", "yes", " three"]


@pytest.mark.parametrize(
    ("name", "pieces"),
    [(None, PIECES), ("x", ["one", " two"]), ("y", ["yes"]), ("z", [" three"]), ("none", [""])],
)
def test_streamed_pieces_come_whole_or_per_variable(name: str | None, pieces: list[str]) -> None:
    async def read(state: rl.ProgramState) -> list[str]:
        return [piece async for piece in state.text_async_iter(name)]

    state = run(two, Backend(ANSWERS), stream=True)
    assert list(state.text_iter(name)) == pieces
    assert list(state.text_iter(name)) == pieces  # it can be read again
    assert asyncio.run(read(run(two, Backend(ANSWERS), stream=True))) == pieces


@pytest.mark.parametrize(
    ("name", "whole"), [(None, "Q: one two; yes three"), ("x", "one two"), ("y", "yes")]
)
def test_without_streaming_everything_comes_in_one_piece(name: str | None, whole: str) -> None:
    async def read(state: rl.ProgramState) -> list[Any]:
        return [pair async for pair in state.text_async_iter(name, return_meta_data=True)]

    state = run(two, Backend(ANSWERS))
    assert list(state.text_iter(name)) == [whole]
    assert asyncio.run(read(state)) == [(whole, state.get_meta_info(name) if name else None)]


def test_pieces_come_with_their_meta_information() -> None:
    async def read(state: rl.ProgramState) -> list[tuple[str, int]]:
        pairs = state.text_async_iter("x", return_meta_data=True)
        return [(text, meta["completion_tokens"]) async for text, meta in pairs]

    state = run(two, Backend(ANSWERS), stream=True)
    assert asyncio.run(read(state)) == [("one", 1), (" two", 2)]


def test_a_stream_gives_text_while_the_program_still_runs() -> None:
    backend = Backend(ANSWERS, held=["z"])
    state = run(two, backend, stream=True)
    pieces = state.text_iter()
    assert [next(pieces) for _ in range(5)] == PIECES[:5]
    assert list(state.text_iter("x")) == ["one", " two"]  # ends with its variable
    backend.let_go()
    assert list(pieces) == PIECES[5:]


def test_leaving_a_stream_early_leaves_the_program_running() -> None:
    state = run(two, Backend(ANSWERS), stream=True)
    for piece in state.text_iter():
        assert piece == "Q: "
        break
    assert list(state.text_iter()) == PIECES
    assert state["z"] == " three"


def test_a_stream_ends_with_the_error_after_the_text_that_came() -> None:
    state = run(two, Backend(["one two", rl.BackendError("down")]), stream=True)
    pieces: list[str] = []
    with pytest.raises(rl.BackendError, match="down"):
        pieces.extend(iter(state.text_iter()))
    assert list(state.text_iter("x")) == ["one", " two"]  # what was finished stays good
    with pytest.raises(rl.BackendError, match="down"):
        list(state.text_iter("z"))
    assert state.text() == "Q: one two; yes"


def test_a_body_that_raises_in_a_stream_is_not_lost() -> None:
    def body(s: rl.ProgramState) -> None:
        s += "Q"
        raise LookupError("no")

    state = run(body, stream=True)
    with pytest.raises(LookupError, match="no"):
        list(state.text_iter())
    assert isinstance(state.error(), LookupError)
    assert not hasattr(state, "ret_value")


def test_branches_of_a_streaming_program_stream_too() -> None:
    ready = threading.Event()
    forked: list[Any] = []

    def body(s: rl.ProgramState) -> None:
        s += "Q "
        forks = s.fork(2)
        forks += lambda index: f"{index} " + rl.gen("x")
        forked.append(forks)
        ready.set()
        forks.join("concate_and_append")

    state = run(body, Backend(lambda prompt, gen: "a b"), stream=True)
    assert list(state.text_iter()) == ["Q ", "0 a b1 a b"]
    assert ready.wait(10)
    assert list(forked[0][1].text_iter()) == ["Q ", "1 ", "a", " b"]
    assert list(forked[0][1].text_iter("x")) == ["a", " b"]


def test_many_readers_in_threads_and_loops_get_the_same_pieces() -> None:
    backend = Backend(ANSWERS, held=["x", "z"])
    state = run(two, backend, stream=True)

    async def read() -> list[str]:
        return [piece async for piece in state.text_async_iter()]

    async def main() -> list[list[str]]:
        threads = [asyncio.to_thread(lambda: list(state.text_iter())) for _ in range(3)]
        readers = asyncio.gather(read(), read(), *threads)
        backend.let_go()
        return await readers

    assert asyncio.run(main()) == [PIECES] * 5


@pytest.mark.parametrize("compiled", [False, True])
def test_a_stream_may_be_read_before_its_body_got_there(compiled: bool) -> None:
    @rl.function
    def slow(s: Any) -> None:
        s += "a" + rl.gen("first")
        if s["first"] == "go":
            s += rl.gen("second")

    backend = rl.ScriptedBackend(["go", "on"], held=["first"])
    state = slow.run(backend=backend, stream=True, compiled=compiled)
    threading.Timer(0.05, backend.let_go).start()
    assert state["second"] == "on"
    with pytest.raises(rl.UnboundVariableError):
        state["third"]
