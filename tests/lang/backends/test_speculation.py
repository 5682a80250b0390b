"""Speculation on completion models: fewer calls, the same text."""

from __future__ import annotations

import time
from typing import Any

import pytest

import radixlm as rl
from radixlm.ir.errors import BackendError
from radixlm.ir.machine import Emit
from radixlm.ir.nodes import Gen
from radixlm.lang.backends.service import Answer, TextBackend
from radixlm.lang.backends.talk import Talk

WRITES = " Ann\nAge: 31\nCity: Rome\nEnd of it."


class Service(TextBackend):
    """A completion model that always goes on with the same text, and notes what it was asked."""

    def __init__(self, writes: str = WRITES) -> None:
        super().__init__("m", is_chat_model=False)
        self.writes = writes
        self.asked: list[Gen] = []

    async def ask(self, talk: Talk, gen: Gen, emit: Emit | None) -> list[Answer]:
        self.asked.append(gen)
        rest = self.writes[len(talk.text.partition("Name:")[2]) :]
        for stop in gen.sampling.stop or ():
            rest = rest.partition(stop)[0]
        answers = [Answer(rest, {"finish_reason": {"type": "stop", "matched": None}})]
        if emit is not None:
            emit(rest, answers[0].meta)
        return answers * (gen.sampling.n or 1)

    async def aclose(self) -> None: ...

    def failure(self, error: Exception) -> BackendError | None:
        return None


def profile(s: rl.ProgramState) -> None:
    s += "Name:" + rl.gen("name", stop="\n")
    s += "\nAge:" + rl.gen("age", stop="\n")
    s += "\nCity:" + rl.gen("city", stop="\n")


def short(s: rl.ProgramState) -> None:
    s += "Name:" + rl.gen("name", stop="\n", max_tokens=8)
    s += "\nAge:" + rl.gen("age", stop="\n", max_tokens=8)


@pytest.mark.parametrize("compiled", [True, False])
def test_one_call_serves_all_gens_that_the_model_wrote_ahead(compiled: bool) -> None:
    plain, ahead = Service(), Service()
    expected = rl.function(short).run(backend=plain)
    state = rl.function(short, num_api_spec_tokens=64).run(backend=ahead, compiled=compiled)
    assert state.text() == expected.text()
    assert [state[name] for name in ("name", "age")] == [" Ann", " 31"]
    assert state.get_meta_info("age")["finish_reason"] == {"type": "stop", "matched": "\n"}
    assert (len(plain.asked), len(ahead.asked)) == (2, 1)
    sampling = ahead.asked[0].sampling
    assert (sampling.max_new_tokens, sampling.stop) == (64, ())


def test_a_literal_that_was_not_guessed_drops_the_guess() -> None:
    @rl.function(num_api_spec_tokens=64)
    def other(s: rl.ProgramState) -> None:
        s += "Name:" + rl.gen("name", stop="\n")
        s += "\nJob:" + rl.gen("job", stop="\n")

    service = Service()
    assert other.run(backend=service).error() is None
    assert len(service.asked) == 2


def test_branches_share_the_guess() -> None:
    @rl.function(num_api_spec_tokens=64)
    def forked(s: rl.ProgramState) -> None:
        s += "Name:" + rl.gen("name", stop="\n")
        forks = s.fork(2)
        forks += "\nAge:" + rl.gen("age", stop="\n")
        forks.join()

    service = Service()
    assert forked.run(backend=service)["age"] == [" 31", " 31"]
    assert len(service.asked) == 1
    until = time.monotonic() + 5  # the end is told before the last sequence is let go
    while service._talks and time.monotonic() < until:
        time.sleep(0.01)
    assert service._talks == {}


@pytest.mark.parametrize(
    "options", [{"n": 2}, {"regex": "a"}, {"return_logprob": True}, {"stop_regex": "b"}]
)
def test_gens_that_ask_for_more_are_asked_for_on_their_own(options: dict[str, Any]) -> None:
    service = Service()

    @rl.function(num_api_spec_tokens=64)
    def asks(s: rl.ProgramState) -> None:
        s += "Name:" + rl.gen("name", stop="\n", **options)

    asks.run(backend=service).sync()
    assert service.asked[0].sampling.stop == ("\n",)


def test_without_it_and_on_other_backends_nothing_changes() -> None:
    service = Service()
    rl.function(profile).run(backend=service).sync()
    assert len(service.asked) == 3
    bound = rl.function(num_api_spec_tokens=8)(profile).bind()
    assert bound.num_api_spec_tokens == 8
    scripted = rl.ScriptedBackend(["a", "b", "c"])
    assert bound.run(backend=scripted)["city"] == "c"
    assert len(scripted.calls) == 3
