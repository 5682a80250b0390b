"""Random programs: the interpreter, with its strands and its loop, against a naive recursion."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from radixlm.ir import loop
from radixlm.ir import program as ir
from radixlm.ir.budget import Budget
from radixlm.ir.errors import UnboundVariableError
from radixlm.ir.expressions import (
    Binary,
    Bind,
    Call,
    Compare,
    Const,
    Expression,
    Format,
    Hole,
    Method,
    Name,
    Read,
    Unpack,
)
from radixlm.ir.machine import Execution
from radixlm.ir.nodes import Gen, Sampling, Select, Text
from radixlm.ir.run import run_program
from radixlm.ir.strand import Listener, Strand
from radixlm.lang.backends.scripted import ScriptedBackend

GENS = ("g0", "g1", "g2")


def answer(prompt: str, gen: Gen) -> str:
    """What the model says: it depends on the whole prompt and on nothing else."""
    return f"<{gen.out}{sum(map(ord, prompt)) % 97}>"


# ---- random programs

INTS: st.SearchStrategy[Expression] = st.recursive(
    st.integers(-3, 9).map(lambda n: Const(value=n))
    | st.sampled_from(("a", "b")).map(lambda name: Name(name=name))
    | st.just(Call(function="len", arguments=(Name(name="xs"),))),
    lambda inner: st.builds(
        Binary, operator=st.sampled_from(("+", "-", "*", "//", "%")), left=inner, right=inner
    ),
    max_leaves=3,
)
READS = st.sampled_from((*GENS, "c")).map(
    lambda name: Read(state=Name(name="s"), name=Const(value=name))
)
TESTS = st.builds(
    lambda left, op, right: Compare(left=left, rest=((op, right),)),
    INTS,
    st.sampled_from(("<", "==", ">=")),
    INTS,
) | st.builds(
    lambda read, text: Compare(left=Const(value=text), rest=(("in", read),)),
    READS,
    st.sampled_from(("1", "5", "p")),
)
TEXTS = st.builds(
    lambda word, value: ir.Do(
        statement=Text(text=""),
        holes={"text": Format(parts=(Const(value=word), Hole(value=value)))},
    ),
    st.sampled_from(("x", "y ", "z\n")),
    INTS | READS,
)
LEAVES: st.SearchStrategy[ir.Block] = (
    TEXTS
    | st.sampled_from(GENS).map(lambda name: ir.Do(statement=Gen(out=name)))
    | st.just(ir.Do(statement=Select(choices=("p", "q"), out="c")))
    | st.builds(
        lambda name, value: ir.Assign(target=Bind(name=name), value=value),
        st.sampled_from(("a", "b")),
        INTS,
    )
    | INTS.map(
        lambda value: ir.Evaluate(
            value=Method(value=Name(name="xs"), name="append", arguments=(value,))
        )
    )
)


def within(inner: st.SearchStrategy[tuple[ir.Block, ...]]) -> st.SearchStrategy[ir.Block]:
    """Statements with bodies."""
    return st.builds(ir.If, test=TESTS, then=inner, otherwise=inner) | st.builds(
        lambda count, body, test, end: ir.For(
            target=Bind(name="b"),
            items=Call(function="range", arguments=(Const(value=count),)),
            body=(*body, ir.If(test=test, then=(end,))),
            otherwise=(ir.Do(statement=Text(text="else")),),
        ),
        st.integers(0, 3),
        inner,
        TESTS,
        st.sampled_from((ir.Break(), ir.Continue())),
    )


@st.composite
def forks(draw: st.DrawFn) -> tuple[ir.Block, ...]:
    """A fork whose branches say their number and generate."""
    count = draw(st.integers(1, 3))
    mode = draw(st.sampled_from(("gather_variable", "concate_and_append")))
    branch = Name(name="branch")
    said = Format(parts=(Const(value="br"), Hole(value=Name(name="i"))))
    return (
        ir.Fork(out="branches", count=Const(value=count)),
        ir.For(
            target=Unpack(targets=(Bind(name="i"), Bind(name="branch"))),
            items=Call(function="enumerate", arguments=(Name(name="branches"),)),
            body=(
                ir.Do(statement=Text(text=""), state=branch, holes={"text": said}),
                ir.Do(statement=Gen(out=draw(st.sampled_from(("g0", "leaf")))), state=branch),
            ),
        ),
        ir.Join(group=Name(name="branches"), mode=mode),
    )


BODIES: st.SearchStrategy[tuple[ir.Block, ...]] = st.recursive(
    st.lists(LEAVES, min_size=1, max_size=4).map(tuple) | forks(),
    lambda inner: st.lists(inner | within(inner).map(lambda one: (one,)), max_size=3).map(
        lambda parts: tuple(step for part in parts for step in part)
    ),
    max_leaves=8,
)
PROGRAMS = st.builds(
    lambda body, value: ir.Program(
        name="f",
        parameters=(ir.Parameter(name="a"), ir.Parameter(name="b"), ir.Parameter(name="xs")),
        body=(*body, ir.Return(value=value)),
    ),
    BODIES,
    INTS,
)


# ---- the reference


@dataclass
class State:
    """A state, naively: everything happens at once and in order."""

    text: str = ""
    variables: dict[str, Any] = field(default_factory=dict[str, Any])
    born: int = 0


COMPUTED: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "//": operator.floordiv,
    "%": operator.mod,
}
COMPARED: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "==": operator.eq,
    ">=": operator.ge,
    "in": lambda a, b: a in b,
}


class Stop(Exception):
    """`break`, `continue` and `return`."""


def value_of(node: Expression, names: dict[str, Any]) -> Any:
    """Evaluate the few expressions that the strategies make."""
    match node:
        case Const(value=value):
            return value
        case Name(name=name):
            return names[name]
        case Read(name=Const(value=str(name))):
            if name not in names["s"].variables:
                raise UnboundVariableError(name, bound=[])
            return names["s"].variables[name]
        case Binary(operator=op, left=left, right=right):
            a, b = value_of(left, names), value_of(right, names)
            return COMPUTED[op](a, b)
        case Compare(left=left, rest=((op, right),)):
            a, b = value_of(left, names), value_of(right, names)
            return COMPARED[op](a, b)
        case Call(function=function, arguments=arguments):
            called = {"len": len, "range": range, "enumerate": enumerate}[function]
            return called(*(value_of(argument, names) for argument in arguments))
        case Format(parts=parts):
            return "".join(
                f"{value_of(part.value, names)}" if isinstance(part, Hole) else str(part.value)
                for part in parts
            )
        case _:
            raise AssertionError(node)


def carry_out(body: tuple[ir.Block, ...], names: dict[str, Any]) -> None:
    """Run statements, one after the other."""
    for step in body:
        match step:
            case ir.Do(statement=statement, state=Name(name=name), holes=holes):
                state: State = names[name]
                match statement:
                    case Text(text=text):
                        state.text += value_of(holes["text"], names) if holes else text
                    case Gen(out=str(out)):
                        state.variables[out] = answer(state.text, statement)
                        state.text += state.variables[out]
                    case Select(choices=choices, out=str(out)):
                        state.variables[out] = choices[0]
                        state.text += choices[0]
                    case _:
                        raise AssertionError(statement)
            case ir.Assign(target=Bind(name=name), value=value):
                names[name] = value_of(value, names)
            case ir.Evaluate(value=Method(arguments=(argument,))):
                names["xs"].append(value_of(argument, names))
            case ir.If(test=test, then=then, otherwise=otherwise):
                carry_out(then if value_of(test, names) else otherwise, names)
            case ir.For():
                loop_over(step, names)
            case ir.Break() | ir.Continue():
                raise Stop(step)
            case ir.Return(value=value):
                raise Stop(step, value_of(value, names))
            case ir.Fork(out=out, count=Const(value=int(count))):
                s: State = names["s"]
                names[out] = [State(s.text, dict(s.variables), len(s.text)) for _ in range(count)]
            case ir.Join(mode=mode):
                join(names["s"], names["branches"], mode)
            case _:
                raise AssertionError(step)


def loop_over(step: ir.For, names: dict[str, Any]) -> None:
    """A `for` with its `else`."""
    for item in value_of(step.items, names):
        targets = [step.target] if isinstance(step.target, Bind) else step.target.targets
        for target, part in zip(targets, [item] if len(targets) == 1 else item, strict=True):
            assert isinstance(target, Bind)
            names[target.name] = part
        try:
            carry_out(step.body, names)
        except Stop as stop:
            if isinstance(stop.args[0], ir.Break):
                return
            if isinstance(stop.args[0], ir.Return):
                raise
    carry_out(step.otherwise, names)


def join(parent: State, branches: list[State], mode: str) -> None:
    """Take the branches' results."""
    if mode == "concate_and_append":
        parent.text += "".join(branch.text[branch.born :] for branch in branches)
        return
    for name in dict.fromkeys(name for branch in branches for name in branch.variables):
        if name not in parent.variables:
            parent.variables[name] = [
                branch.variables[name] for branch in branches if name in branch.variables
            ]


def naive(program: ir.Program, arguments: dict[str, Any]) -> tuple[Any, ...]:
    """Run a program by plain recursion."""
    state = State()
    names: dict[str, Any] = {"s": state, **arguments}
    try:
        carry_out(program.body, names)
    except Stop as stop:
        return stop.args[1], state.text, state.variables
    except Exception as error:
        return (type(error).__name__,)
    raise AssertionError("a program ends with a return")


def interpreted(program: ir.Program, arguments: dict[str, Any]) -> tuple[Any, ...]:
    """Run a program on the interpreter."""
    backend = ScriptedBackend(answer)

    async def main() -> tuple[Any, ...]:
        async def start(_: Listener | None) -> Execution:
            return await Execution.start(backend, defaults=Sampling())

        strand = Strand(start, loop=asyncio.get_running_loop())
        try:
            value = await run_program(program, arguments, strand, start, fuel=Budget())
        except Exception as error:
            await asyncio.wrap_future(strand.done)
            return (type(error).__name__,)
        await asyncio.wrap_future(strand.done)
        assert strand.error is None
        execution = await strand.settled()
        assert execution is not None
        return value, execution.text, execution.variables

    result = loop.wait(main())
    assert not backend.alive
    return result


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(PROGRAMS, st.integers(-2, 5), st.integers(-2, 5), st.lists(st.integers(0, 3), max_size=2))
def test_the_interpreter_does_what_a_naive_recursion_does(
    program: ir.Program, a: int, b: int, xs: list[int]
) -> None:
    expected = naive(program, {"a": a, "b": b, "xs": list(xs)})
    assert interpreted(program, {"a": a, "b": b, "xs": list(xs)}) == expected
