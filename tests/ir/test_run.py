"""The interpreter of compiled programs, on scripted answers."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from radixlm.ir import loop
from radixlm.ir.budget import Budget
from radixlm.ir.errors import FuelError, UnboundVariableError
from radixlm.ir.fuel import Limits
from radixlm.ir.machine import Execution
from radixlm.ir.nodes import Gen, Sampling
from radixlm.ir.run import Host, run_program
from radixlm.ir.strand import Listener, Strand
from radixlm.ir.text import from_text
from radixlm.lang.backends.scripted import ScriptedBackend


class Ran:
    """What a run left."""

    def __init__(self, execution: Execution | None, value: Any, error: Exception | None) -> None:
        self.text = "" if execution is None else execution.text
        self.value, self.error = value, error


def run(
    source: str,
    arguments: dict[str, Any] | None = None,
    answers: Any = (),
    *,
    host: Host | None = None,
    limits: Limits | None = None,
    backend: ScriptedBackend | None = None,
) -> Ran:
    """Run a program in text form."""
    used = backend or ScriptedBackend(answers)

    async def main() -> Ran:
        async def start(_: Listener | None) -> Execution:
            return await Execution.start(used, defaults=Sampling(), meter=meter)

        fuel = Budget(limits)

        def meter(meta: dict[str, Any]) -> None:
            fuel.generated(meta.get("completion_tokens", 0))

        strand = Strand(start, loop=asyncio.get_running_loop())
        value, error = None, None
        try:
            value = await run_program(
                from_text(source), arguments or {}, strand, start, fuel=fuel, host=host
            )
        except Exception as raised:
            error = raised
        execution = await strand.settled()
        return Ran(execution, value, error or strand.error)

    return loop.wait(main())


def test_statements_and_values() -> None:
    ran = run(
        """
def f(s, names, n=2):
    found = []
    for i, name in enumerate(names):
        s += f"{i}: {name} "
        s += gen("x")
        found.append(s["x"])
    while n > 0:
        n = n - 1
        if n == 1:
            continue
        s += "!"
    return found
""",
        {"names": ["q", "r"]},
        ["a", "b"],
    )
    assert ran.value == ["a", "b"]
    assert ran.text == "0: q a1: r b!"


def test_branches_go_on_beside_each_other() -> None:
    held = ScriptedBackend(lambda prompt, gen: f"<{prompt}>", held=("x",))

    def let_go() -> None:
        deadline = time.monotonic() + 10
        while len(held.calls) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        both.append(len(held.calls) == 2)  # before either may end
        held.let_go("x")

    both: list[bool] = []
    thread = threading.Thread(target=let_go)
    thread.start()
    ran = run(
        """
def f(s):
    s += "A"
    branches = s.fork(2)
    for i, b in enumerate(branches):
        b += f"{i}"
        b += gen("x")
    join(branches)
    return s["x"]
""",
        backend=held,
    )
    thread.join()
    assert both == [True]
    assert ran.value == ["<A0>", "<A1>"]


def test_a_host_call_waits_for_the_client() -> None:
    calls: list[Any] = []

    async def host(name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        calls.append((name, args, kwargs))
        return 7

    source = """
def f(s):
    s += gen("x")
    y = host("add", s["x"], by=2)
    s += str(y)
"""
    ran = run(source, answers=["a"], host=host)
    assert ran.text == "a7"
    assert calls == [("add", ["a"], {"by": 2})]
    assert isinstance(run(source, answers=["a"]).error, RuntimeError)


def test_an_error_names_the_line_and_leaves_what_was_there() -> None:
    ran = run("def f(s):\n    s += 'a'\n    s += s['missing']\n")
    assert isinstance(ran.error, UnboundVariableError)
    ran = run("def f(s, n):\n    s += str(1 / n)\n", {"n": 0})
    assert isinstance(ran.error, ZeroDivisionError)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "missing a required argument: 'a'"),
        ({"a": 1, "c": 2}, "unexpected keyword argument 'c'"),
    ],
)
def test_arguments_are_checked(arguments: dict[str, Any], message: str) -> None:
    error = run("def f(s, a, b=1):\n    pass\n", arguments).error
    assert isinstance(error, TypeError)
    assert message in str(error)


BOMBS: dict[str, Callable[[], tuple[str, Limits]]] = {
    "steps": lambda: ("while True:\n        pass", Limits(steps=10_000)),
    "text": lambda: (
        "while True:\n        s += 'x' * 1000",
        Limits(value_bytes=10_000),
    ),
    "forks": lambda: ("while True:\n        b = s.fork(9)", Limits(forks=100)),
    "tokens": lambda: ("while True:\n        s += gen('x')\n        y = s['x']", Limits(tokens=5)),
    "seconds": lambda: ("while True:\n        y = 1", Limits(seconds=0.2, steps=10**12)),
    "nesting": lambda: ("t = invoke('f')", Limits(nesting=5)),
}


@pytest.mark.parametrize("bound", BOMBS)
def test_every_bound_holds(bound: str) -> None:
    body, limits = BOMBS[bound]()
    source = f"def f(s):\n    {body}\n"
    if bound == "nesting":
        source = f"def main(s):\n    {body}\n\ndef f(s):\n    {body}\n"

    def answer(prompt: str, gen: Gen) -> str:
        return "one two three"

    ran = run(source, answers=answer, limits=limits)
    assert isinstance(ran.error, FuelError)
