"""`s.pin`: what a program has so far stays in the cache, under a name, after its end."""

from __future__ import annotations

import linecache
import time
from collections.abc import Iterator
from typing import Any

import pytest

import radixlm as rl
from radixlm.ir.nodes import Pin
from radixlm.ir.program import Do, from_json, to_json
from radixlm.ir.text_parse import from_text
from radixlm.ir.verify import verify

RULES = "These rules hold for every question that is asked here, today and tomorrow. "


@pytest.fixture(scope="module")
def engine() -> Iterator[rl.Engine]:
    with rl.Engine(in_process=True, check_invariants=True, max_total_tokens=2400) as made:
        yield made


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    with rl.Runtime(max_total_tokens=2400) as runtime:
        yield runtime


@rl.function
def keeps(s: Any, name: str, seconds: float | None = None) -> None:
    s += RULES
    s.pin(name, ttl_s=seconds)
    s += "Go on:" + rl.gen("answer", max_tokens=4)


@rl.function
def asks(s: Any) -> None:
    s += RULES + "And now?" + rl.gen("answer", max_tokens=4)


@pytest.fixture(
    params=[0, 1, *(pytest.param(which, marks=pytest.mark.slow) for which in (2, 3))],
    ids=["eager", "compiled", "eager-server", "compiled-server"],
)
def place(request: pytest.FixtureRequest) -> tuple[Any, bool]:
    backend = request.getfixturevalue("engine" if request.param < 2 else "server")
    return backend, request.param % 2 == 1


def cached(backend: Any) -> int:
    state = asks.run(backend=backend, temperature=0)
    count: int = state.get_meta_info("answer")["cached_tokens"]
    return count


def test_what_was_pinned_stays_after_the_program_until_it_is_unpinned(
    place: tuple[Any, bool],
) -> None:
    backend, compiled = place
    assert rl.pins(backend) == []
    state = keeps.run("rules", backend=backend, compiled=compiled, temperature=0)
    assert state.error() is None
    (pin,) = rl.pins(backend)
    assert (pin["name"], pin["ttl_left_s"], pin["namespace"]) == ("rules", None, "")
    assert 0 < pin["num_tokens"] < state.get_meta_info("answer")["prompt_tokens"]
    assert rl.flush_cache(backend)
    assert cached(backend) >= pin["num_tokens"] - 1
    rl.unpin("rules", backend)
    assert rl.pins(backend) == []
    assert rl.flush_cache(backend)
    assert cached(backend) == 0


def test_a_pin_with_a_time_ends_by_itself(place: tuple[Any, bool]) -> None:
    backend, compiled = place
    keeps.run("brief", 0.6, backend=backend, compiled=compiled, temperature=0).sync()
    deadline = time.monotonic() + 10
    while rl.pins(backend):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_same_name_again_replaces_the_pin(place: tuple[Any, bool]) -> None:
    backend, compiled = place
    for _ in range(2):
        keeps.run("again", backend=backend, compiled=compiled, temperature=0).sync()
    assert [pin["name"] for pin in rl.pins(backend)] == ["again"]
    rl.unpin("again", backend)


def test_a_pin_changes_no_token_of_the_program(engine: rl.Engine) -> None:
    @rl.function
    def bare(s: Any) -> None:
        s += RULES
        s += "Go on:" + rl.gen("answer", max_tokens=4)

    with_pin = keeps.run("x", backend=engine, temperature=0)
    without = bare.run(backend=engine, temperature=0)
    for key in ("output_ids", "prompt_tokens"):
        assert with_pin.get_meta_info("answer")[key] == without.get_meta_info("answer")[key]
    rl.unpin("x", engine)


def test_more_than_the_quota_stops_the_program_and_says_so(place: tuple[Any, bool]) -> None:
    backend, compiled = place

    @rl.function
    def floods(s: Any, text: str) -> None:
        s += text
        s.pin("flood")

    state = floods.run("word " * 1500, backend=backend, compiled=compiled)
    error = state.error()
    assert isinstance(error, rl.BackendError)
    assert "unpin another" in str(error)
    assert rl.pins(backend) == []


@pytest.mark.parametrize("backend", ["engine", pytest.param("server", marks=pytest.mark.slow)])
def test_unpinning_what_is_not_pinned_is_an_error(
    backend: str, request: pytest.FixtureRequest
) -> None:
    with pytest.raises(rl.BackendError, match="nothing is pinned as 'no/such name'"):
        rl.unpin("no/such name", request.getfixturevalue(backend))


def test_the_double_notes_what_was_pinned() -> None:
    backend = rl.ScriptedBackend(["yes"])
    assert keeps.run("rules", backend=backend).error() is None
    assert backend.pinned == {"rules": RULES}


class Service:
    """What a service without a cache of ours has: every verb but `pin`."""

    def __init__(self, inner: rl.ScriptedBackend) -> None:
        for verb in ("role_format", "open", "extend", "generate", "score", "fork", "hold"):
            setattr(self, verb, getattr(inner, verb))
        self.release = inner.release

    async def ready(self) -> Any:
        return self


def test_a_service_without_a_cache_ignores_pins() -> None:
    backend = Service(rl.ScriptedBackend(["yes"]))
    state = keeps.run("rules", backend=backend)
    assert (state.error(), state["answer"]) == (None, "yes")
    assert rl.pins(backend) == []
    rl.unpin("rules", backend)


def test_a_pin_compiles_and_is_written_and_read_back() -> None:
    program = keeps.compile().program
    assert program is not None
    pins = [
        step for step in program.body if isinstance(step, Do) and isinstance(step.statement, Pin)
    ]
    assert len(pins) == 1
    assert set(pins[0].holes) == {"name", "ttl_s"}
    assert "s += pin(name=name, ttl_s=seconds)" in str(program)
    assert from_text(str(program)).hash() == program.hash()
    assert from_json(to_json(program)) == program
    verify(program)


@pytest.mark.parametrize("arguments", ["", "1, 2, 3", "'a', other=1"])
def test_wrong_arguments_do_not_compile(arguments: str) -> None:
    namespace: dict[str, Any] = {}
    source = f"def body(s):\n    s += 'x'\n    s.pin({arguments})\n"
    file = f"<pins {arguments}>"
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)
    exec(compile(source, file, "exec"), namespace)
    reasons = rl.function(namespace["body"]).compile().reasons
    assert any("arguments of pin()" in str(reason) for reason in reasons)
