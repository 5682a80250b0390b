import json
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radixlm.ir import run
from radixlm.ir.errors import EXCEPTIONS, ProgramError
from radixlm.ir.expressions import (
    Binary,
    Bind,
    Call,
    Clause,
    Compare,
    Comprehension,
    Const,
    Expression,
    Format,
    Items,
    Logic,
    Method,
    Name,
    Read,
)
from radixlm.ir.nodes import Let, Text
from radixlm.ir.program import Do, Evaluate, Parameter, Program, Return, to_json
from radixlm.ir.text import from_text
from radixlm.ir.verify import Limits, load, verify

from .programs import programs

A, ONE = Name(name="a"), Const(value=1)


def body(*lines: str) -> Program:
    return from_text("\n    ".join(["def f(s, a):", *lines]))


def evaluating(value: Expression) -> Program:
    return Program(name="f", parameters=(Parameter(name="a"),), body=(Evaluate(value=value),))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["break"], r"text:2|f:2: \$\.body\[0\]: break outside of a loop"),
        (["if a:", "    continue"], r"\$\.body\[0\]\.then\[0\]: continue outside"),
        (["for x in a:", "    a", "else:", "    break"], r"otherwise\[0\]: break outside"),
        (["s += x"], r"holes\['text'\]: 'x' is used, but nothing before binds it"),
        (["s += x", "x = 1"], "'x' is used"),
        (["while x:", "    x = 1"], "'x' is used"),
        (["[x for x in a]", "s += x"], "'x' is used"),
        (["y = [x for y in x for x in a]"], "'x' is used"),
        (["join(a)"], "nothing is forked here"),
        (["b = s.fork(2)", "join(a)"], "nothing is forked here"),
        (["join(b)", "b = s.fork(2)"], "'b' is used"),
        (["invoke('g')"], "there is no function 'g'"),
        (["host('search')"], "'search' is not in hosts"),
        (["raise_('SystemExit')"], "'SystemExit' is no known exception"),
        (["s += gen('x', nonsense=a)"], "gen has no field 'nonsense'"),
        (["s += select('x', choices=a, **{'sampling.n': a})"], "select has no field 'sampling.n'"),
    ],
)
def test_what_cannot_run_is_refused_with_its_place(lines: list[str], message: str) -> None:
    with pytest.raises(ProgramError, match=message) as caught:
        verify(body(*lines))
    assert caught.value.hint


@pytest.mark.parametrize(
    "lines",
    [
        ["for x in a:", "    if x:", "        s += y", "    y = 'b'"],
        ["if a:", "    x = 1", "else:", "    s += x"],
        ["while a:", "    with s.role('user'):", "        break"],
        ["b = s.fork(2)", "c = b", "join(c)"],
        ["for (i, x) in a:", "    x = [y for y in i if x]"],
        ["s += a", "raise_('ValueError', a)"],
    ],
)
def test_what_may_run_is_accepted(lines: list[str]) -> None:
    verify(body(*lines))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Call(function="open", arguments=(A,)), "'open' is no known function"),
        (Call(function="max", keywords={"key": A}), "a key for 'max'"),
        (Method(value=A, name="__class__"), "'__class__' is no known method"),
        (Method(value=A, name="format"), "'format' is no known method"),
        (Name(name="a b"), "'a b' is no name"),
        (Name(name="ﬁ"), "is no name"),
        (Name(name="class"), "'class' is no name"),
        (Read(state=A, what="text", name=ONE), "reading text with or without"),
        (Read(state=A), "reading variable with or without"),
        (Compare(left=A, rest=()), "without a second operand"),
        (Logic(operator="and", operands=(A,)), "without a second operand"),
        (Format(parts=(ONE,)), "1 as a literal"),
        (Comprehension(item=A, clauses=()), "no list comprehension"),
        (Const(value=2**63), r"\$\.body\[0\]\.value\.value: this int is not an integer of at most"),
        (Const(value=float("nan")), "not a finite number"),
        (Const(value=float("-inf")), "not a finite number"),
        (Const(value="\ud800"), "not text"),
    ],
)
def test_an_expression_that_cannot_be_is_refused(value: Expression, message: str) -> None:
    with pytest.raises(ProgramError, match=message) as caught:
        verify(evaluating(value))
    assert caught.value.hint


@pytest.mark.parametrize("value", [b"x", {1: 2 + 3j}, [object()], {"a": [10**400]}])
def test_a_constant_that_json_cannot_hold_is_refused(value: Any) -> None:
    with pytest.raises(ProgramError, match=r"\$\.body\[0\]\.statement\.value"):
        verify(Program(name="f", body=(Do(statement=Let(out="x", value=value)),)))


def test_other_versions_and_nested_functions_are_refused() -> None:
    inner = Program(name="g", body=())
    with pytest.raises(ProgramError, match="this is version 2; only 1"):
        verify(Program(name="f", body=(), version=2))
    outer = msgspec.structs.replace(inner, functions={"h": inner})
    with pytest.raises(ProgramError, match=r"\$\.functions\['g'\]"):
        verify(Program(name="f", body=(), functions={"g": outer}))
    with pytest.raises(ProgramError, match="the name 's' twice"):
        verify(Program(name="f", body=(), parameters=(Parameter(name="s"),)))


def test_a_helper_is_checked_and_may_call_itself_and_the_hosts() -> None:
    text = "@hosts('h')\ndef f(s, a):\n    invoke('g', a)\ndef g(s, a):\n    invoke('g', a)\n    "
    verify(from_text(text + "host('h')"))
    with pytest.raises(ProgramError, match=r"\$\.functions\['g'\]\.body\[1\].*'b' is used"):
        verify(from_text(text + "s += b"))


def test_size_and_depth_have_limits() -> None:
    many = Program(name="f", body=(Do(statement=Text(text="")),) * 100)
    verify(many, Limits(max_nodes=500))
    with pytest.raises(ProgramError, match="more than 100 nodes"):
        verify(many, Limits(max_nodes=100))
    with pytest.raises(ProgramError, match="more than 100 nodes"):
        verify(
            Program(name="f", body=(Do(statement=Let(out="x", value=[0] * 200)),)),
            Limits(max_nodes=100),
        )
    deep: Expression = ONE
    for _ in range(20_000):  # far deeper than Python recurses
        deep = Binary(operator="+", left=deep, right=ONE)
    with pytest.raises(ProgramError, match="nested deeper than 64"):
        verify(evaluating(deep))
    while isinstance(deep, Binary):  # or freeing it would recurse
        deep = deep.left


def test_a_program_at_the_depth_limit_can_be_read_printed_and_loaded() -> None:
    deep: Expression = A
    for _ in range(Limits().max_depth - 3):
        deep = Call(function="len", arguments=(deep,))
    program = evaluating(deep)
    verify(program)
    assert load(to_json(program)) == program
    assert from_text(str(program)).body[0] == msgspec.structs.replace(program.body[0], line=2)
    with pytest.raises(ProgramError, match="nested deeper"):
        verify(evaluating(Call(function="len", arguments=(deep,))))


def test_long_names_and_many_clauses_cost_no_more_than_their_length() -> None:
    names = [f"x{i}" for i in range(3_000)]
    clauses = tuple(Clause(target=Bind(name=name), items=A) for name in names)
    verify(evaluating(Comprehension(item=Name(name="x2999"), clauses=clauses)))
    many = Items(items=(A,) * 15_000)
    verify(evaluating(Call(function="max", keywords={"x" * 500_000: many})))


DEPTH = 10_000
NESTED = '{"do":"if","test":{"op":"name","name":"s"},"then":['


@pytest.mark.parametrize(
    "data",
    [
        '{"name":"f","body":[' + NESTED * DEPTH + "]}" * DEPTH + "]}",
        '{"name":"f","body":[' + NESTED * DEPTH,
        "[" * 900_000,
        '{"a":' * DEPTH,
        '{"name":"' + '\\"' * 400_000,
        '"' * 900_000,
        '{"name":"f","body":[' + " " * 2_000_000 + "]}",
        '{"name":"f","body":[{"do":"return","value":{"op":"const","value":' + "9" * 9_000 + "}}]}",
        '{"name":"f","body":[{"do":"return","value":{"op":"const","value":1e999}}]}',
        '{"name":"f","body":[{"do":"exec"}]}',
        '{"name":"f\ud800","body":[]}',
        "",
        "null",
        "NaN",
        b"\xff\xfe\x00",
    ],
)
def test_hostile_json_is_refused(data: str | bytes) -> None:
    with pytest.raises((ProgramError, msgspec.DecodeError)):
        load(data)


@settings(deadline=None)
@given(st.binary() | st.text())
def test_random_data_is_refused(data: str | bytes) -> None:
    with pytest.raises((ProgramError, msgspec.DecodeError)):
        load(data)


@settings(deadline=None, max_examples=25)
@given(programs(), st.integers(0, 2**32))
def test_a_damaged_program_is_refused_or_can_be_printed(program: Program, seed: int) -> None:
    rng = random.Random(seed)
    tree = json.loads(to_json(program))
    for _ in range(rng.randint(1, 3)):
        _damage(tree, rng)
    try:
        again = load(json.dumps(tree))
    except (ProgramError, msgspec.DecodeError):
        return
    assert load(to_json(again)) == again
    assert str(again)


def _damage(tree: Any, rng: random.Random) -> None:
    """Replace one value somewhere in a JSON tree."""
    while True:
        keys: list[Any] = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
        if not keys:
            return
        key = rng.choice(keys)
        if isinstance(tree[key], dict | list) and rng.random() < 0.8:
            tree = tree[key]
            continue
        tree[key] = rng.choice([None, "", "x", 2**80, -1, [], {}, {"op": "name", "name": "if"}])
        return


def test_only_exceptions_that_a_run_knows_are_accepted() -> None:
    assert frozenset(run.EXCEPTIONS) == frozenset(EXCEPTIONS)


def test_the_message_has_the_users_line() -> None:
    program = Program(name="f", file="/x/demo.py", body=(Return(value=A, line=7),))
    with pytest.raises(ProgramError, match=r"^demo.py:7: \$\.body\[0\]\.value: 'a' is used"):
        verify(program)
