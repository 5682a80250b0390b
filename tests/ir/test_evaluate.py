"""Expressions mean what Python means, and none takes long."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import re
import time
import warnings
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radixlm.ir.errors import FuelError
from radixlm.ir.evaluate import FUNCTIONS, METHOD_NAMES, METHODS, assign, evaluate
from radixlm.ir.expressions import (
    Binary,
    Bind,
    Call,
    Choose,
    Clause,
    Compare,
    Comprehension,
    Const,
    Expression,
    Format,
    Hole,
    Index,
    Items,
    Logic,
    Method,
    Name,
    Read,
    Record,
    Slice,
    Target,
    Unary,
    Unpack,
)
from radixlm.ir.fuel import Fuel, Limits
from radixlm.ir.patterns import check_pattern


async def no_reader(state: Any, node: Read, name: str | None) -> Any:
    raise AssertionError("nothing is read here")


def value_of(
    node: Expression, names: dict[str, Any] | None = None, fuel: Fuel | None = None
) -> Any:
    return asyncio.run(evaluate(node, names or {}, no_reader, fuel or Fuel()))


def const(value: Any) -> Const:
    return Const(value=value)


def call(function: str, *arguments: Any, **keywords: Any) -> Call:
    return Call(
        function=function,
        arguments=tuple(map(lift, arguments)),
        keywords={name: lift(value) for name, value in keywords.items()},
    )


def method(value: Any, name: str, *arguments: Any) -> Method:
    return Method(value=lift(value), name=name, arguments=tuple(map(lift, arguments)))


def binary(left: Any, operator: Any, right: Any) -> Binary:
    return Binary(left=lift(left), operator=operator, right=lift(right))


def lift(value: Any) -> Any:
    """Return the node for a Python value; nodes stay as they are."""
    if isinstance(value, (list, tuple, set)):
        kind: Any = type(value).__name__
        return Items(kind=kind, items=tuple(map(lift, value)))
    if isinstance(value, dict):
        return Record(pairs=tuple((lift(k), lift(v)) for k, v in value.items()))
    return value if not isinstance(value, (str, int, float, type(None))) else const(value)


X, Y, Z = Name(name="x"), Name(name="y"), Name(name="z")


# --- The same as Python --------------------------------------------------------------------------

LISTED = {"zip", "enumerate", "reversed"}  # Python returns iterators


def source(node: Any) -> str:
    """Print a node as Python."""
    match node:
        case Const(value=value):
            return f"({value!r})"
        case Name(name=name):
            return name
        case Items(kind=kind, items=items):
            inner = ", ".join(map(source, items))
            if kind == "list":
                return f"[{inner}]"
            return (
                f"({inner}{',' if items else ''})" if kind == "tuple" else f"{{{inner or '*()'}}}"
            )
        case Record(pairs=pairs):
            return "{" + ", ".join(f"{source(k)}: {source(v)}" for k, v in pairs) + "}"
        case Format(parts=parts):
            return "''.join([" + ", ".join(map(source, parts)) + "])"
        case Hole(value=value, conversion=conversion, spec=spec):
            convert = {"": "", "s": "str", "r": "repr", "a": "ascii"}[conversion]
            text = f"{convert}({source(value)})"
            return f"format({text}, {source(spec)})" if spec else f"format({text})"
        case Unary(operator=operator, operand=operand):
            return f"({operator} {source(operand)})"
        case Binary(operator=operator, left=left, right=right):
            return f"({source(left)} {operator} {source(right)})"
        case Compare(left=left, rest=rest):
            return f"({source(left)}{''.join(f' {op} {source(n)}' for op, n in rest)})"
        case Logic(operator=operator, operands=operands):
            return "(" + f" {operator} ".join(map(source, operands)) + ")"
        case Choose(test=test, then=then, otherwise=otherwise):
            return f"({source(then)} if {source(test)} else {source(otherwise)})"
        case Index(value=value, index=index):
            return f"{source(value)}[{source(index)}]"
        case Slice(value=value, start=start, stop=stop, step=step):
            bounds = ":".join("" if b is None else source(b) for b in (start, stop, step))
            return f"{source(value)}[{bounds}]"
        case Call(function=function):
            text = f"{function}({arguments_of(node)})"
            return f"list({text})" if function in LISTED else text
        case Method(value=value, name=name):
            return f"{source(value)}.{name}({arguments_of(node)})"
        case Comprehension():
            return comprehension_source(node)
    raise AssertionError(node)


def arguments_of(node: Call | Method) -> str:
    keywords = [f"{name}={source(value)}" for name, value in node.keywords.items()]
    return ", ".join([*map(source, node.arguments), *keywords])


def comprehension_source(node: Comprehension) -> str:
    item = source(node.item)
    if node.key is not None:
        item = f"{source(node.key)}: {item}"
    clauses = "".join(
        f" for {target_source(clause.target)} in {source(clause.items)}"
        + "".join(f" if {source(condition)}" for condition in clause.conditions)
        for clause in node.clauses
    )
    opening, closing = {"list": "[]", "generator": "[]", "set": "{}", "dict": "{}"}[node.kind]
    return f"{opening}{item}{clauses}{closing}"


def target_source(target: Target) -> str:
    if isinstance(target, Bind):
        return target.name
    return "(" + "".join(f"{target_source(inner)}, " for inner in target.targets) + ")"


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 40),
    st.sampled_from([0.5, -2.0, 1e300, 2**70, -(10**30)]),
    st.sampled_from(["", "a", "ab", "b c", "x,y,,z", "é", "12", "%s-%d", "[1, 2]", '{"a": 1}']),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.dictionaries(st.sampled_from(["a", "b", 1]), inner, max_size=2),
    ),
    max_leaves=5,
)
PLAIN_CALLS = sorted(set(FUNCTIONS) - {"str"})


def nodes(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    maybe = st.one_of(st.none(), inner)
    few = st.lists(inner, max_size=2).map(tuple)
    operators = ["+", "-", "*", "/", "//", "%", "**", "|", "&", "^", "<<", ">>"]
    comparisons = ["==", "!=", "<", "<=", ">", ">=", "in", "not in"]
    specs = st.sampled_from(["", ">5", "05", ".2f", "x", ",", "10s", "zz"]).map(const)
    hole = st.builds(
        Hole, value=inner, conversion=st.sampled_from(["", "s", "r", "a"]), spec=maybe_of(specs)
    )
    bind = st.sampled_from("xyz").map(lambda name: Bind(name=name))
    target = st.one_of(bind, st.tuples(bind, bind).map(lambda both: Unpack(targets=both)))
    clause = st.builds(Clause, target=target, items=inner, conditions=few)
    clauses = st.lists(clause, min_size=1, max_size=2).map(tuple)
    comparison = st.tuples(st.sampled_from(comparisons), inner)
    return st.one_of(
        st.builds(Items, kind=st.sampled_from(["list", "tuple", "set"]), items=few),
        st.builds(Record, pairs=st.lists(st.tuples(inner, inner), max_size=2).map(tuple)),
        st.builds(Format, parts=st.lists(st.one_of(hole, const_texts()), max_size=3).map(tuple)),
        st.builds(Unary, operator=st.sampled_from(["not", "-", "+", "~"]), operand=inner),
        st.builds(Binary, operator=st.sampled_from(operators), left=inner, right=inner),
        st.builds(
            Compare, left=inner, rest=st.lists(comparison, min_size=1, max_size=2).map(tuple)
        ),
        st.builds(
            Logic,
            operator=st.sampled_from(["and", "or"]),
            operands=st.lists(inner, min_size=2, max_size=3).map(tuple),
        ),
        st.builds(Choose, test=inner, then=inner, otherwise=inner),
        st.builds(Index, value=inner, index=inner),
        st.builds(Slice, value=inner, start=maybe, stop=maybe, step=maybe),
        st.builds(Call, function=st.sampled_from(PLAIN_CALLS), arguments=few),
        st.builds(Method, value=inner, name=st.sampled_from(sorted(METHOD_NAMES)), arguments=few),
        st.builds(
            Comprehension, kind=st.sampled_from(["list", "set"]), item=inner, clauses=clauses
        ),
        st.builds(Comprehension, kind=st.just("dict"), key=inner, item=inner, clauses=clauses),
    )


def maybe_of(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), strategy)


def const_texts() -> st.SearchStrategy[Const]:
    return st.sampled_from(["", "t", "{"]).map(const)


LEAVES = st.one_of(VALUES.map(lift), st.sampled_from([X, Y, Z, Name(name="unbound")]))


def outcome(run: Any) -> tuple[str, Any]:
    try:
        return "value", run()
    except FuelError:
        return "fuel", None
    except NameError:  # Python has UnboundLocalError inside a comprehension
        return "error", NameError
    except Exception as error:
        return "error", type(error)


def python_value(text: str, scope: dict[str, Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of `1 in 2`, `"a"[b]`, which Python sees are wrong
        return eval(text, {**scope, "re": re, "json": json})


@settings(max_examples=150, deadline=None)
@given(st.recursive(LEAVES, nodes, max_leaves=8), st.tuples(VALUES, VALUES, VALUES))
def test_an_expression_gives_what_python_gives(node: Any, values: tuple[Any, ...]) -> None:
    names = dict(zip("xyz", values, strict=True))
    fuel = Fuel(Limits(steps=20_000, value_bytes=5_000))
    ours = outcome(lambda: value_of(node, copy.deepcopy(names), fuel))
    if ours[0] == "fuel":
        return
    text = source(node)
    # The names are globals, as a comprehension sees no others of `eval`.
    scope = copy.deepcopy(names)
    theirs = outcome(lambda: python_value(text, scope))
    assert ours[0] == theirs[0], (text, ours, theirs)
    assert same(ours[1], theirs[1]), (text, ours, theirs)


def same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and (a == b or repr(a) == repr(b))


# --- Names, targets, order -----------------------------------------------------------------------


def test_a_name_that_is_not_bound_is_a_name_error() -> None:
    with pytest.raises(NameError, match="name 'x' is not defined"):
        value_of(X)
    with pytest.raises(NameError, match="name 'open' is not defined"):
        value_of(call("open", "/etc/passwd"))


def test_equal_nodes_that_differ_keep_their_values() -> None:
    assert [repr(value_of(const(value))) for value in (1, True, 1.0)] == ["1", "True", "1.0"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1], r"not enough values to unpack \(expected 2, got 1\)"),
        ("abc", r"too many values to unpack \(expected 2\)"),
        (7, "cannot unpack non-iterable int object"),
    ],
)
def test_a_value_of_the_wrong_shape_is_not_unpacked(value: Any, message: str) -> None:
    target = Unpack(targets=(Bind(name="a"), Bind(name="b")))
    with pytest.raises((ValueError, TypeError), match=message):
        assign(target, value, {})


def test_targets_nest() -> None:
    names: dict[str, Any] = {}
    inner = Unpack(targets=(Bind(name="b"), Bind(name="c")))
    assign(Unpack(targets=(Bind(name="a"), inner)), (1, "23"), names)
    assert names == {"a": 1, "b": "2", "c": "3"}


def test_a_comprehension_does_not_leak_its_targets() -> None:
    names = {"x": [1, 2], "y": 10}
    node = Comprehension(item=binary(X, "+", Y), clauses=(Clause(target=Bind(name="x"), items=X),))
    assert value_of(node, names) == [11, 12]
    assert names == {"x": [1, 2], "y": 10}


def test_logic_stops_at_the_value_that_decides() -> None:
    bad = binary(1, "/", 0)
    assert value_of(Logic(operator="and", operands=(const(0), bad))) == 0
    assert value_of(Logic(operator="or", operands=(const("a"), bad))) == "a"
    assert value_of(Choose(test=const(1), then=const(2), otherwise=bad)) == 2
    chain = Compare(left=const(2), rest=(("<", const(1)), ("<", bad)))
    assert value_of(chain) is False


def test_reads_are_awaited_in_order_and_only_as_far_as_needed() -> None:
    seen: list[Any] = []

    async def read(state: Any, node: Read, name: str | None) -> Any:
        await asyncio.sleep(0)
        seen.append((state, node.what, name))
        return name or node.what

    def at(name: str) -> Read:
        return Read(state=Name(name="s"), name=const(name))

    node = Format(
        parts=(
            Hole(value=at("a")),
            const("-"),
            Hole(value=Read(state=Name(name="s"), what="text")),
            Hole(value=Logic(operator="or", operands=(at("b"), at("never")))),
            Hole(value=Choose(test=at("c"), then=call("len", at("d")), otherwise=at("no"))),
            Hole(value=Compare(left=at("e"), rest=(("==", at("f")), ("==", at("never"))))),
        )
    )
    assert asyncio.run(evaluate(node, {"s": "S"}, read, Fuel())) == "a-textb1False"
    assert [name for _, _, name in seen] == ["a", None, "b", "c", "d", "e", "f"]
    assert seen[1] == ("S", "text", None)


def test_a_comprehension_reads_each_state() -> None:
    async def read(state: Any, node: Read, name: str | None) -> Any:
        return state[name]

    each = Read(state=X, name=Name(name="y"))
    node = Comprehension(
        item=each,
        clauses=(Clause(target=Bind(name="x"), items=Name(name="forks"), conditions=(each,)),),
    )
    names = {"forks": [{"k": 1}, {"k": 0}, {"k": 3}], "y": "k"}
    assert asyncio.run(evaluate(node, names, read, Fuel())) == [1, 3]


# --- What may be called --------------------------------------------------------------------------


class State:
    """What the interpreter has for a state: opaque here."""

    secret = "out of reach"

    def read(self) -> str:
        return self.secret


@pytest.mark.parametrize(
    ("node", "error"),
    [
        (method(X, "read"), AttributeError),
        (method("{0.secret}", "format", X), AttributeError),
        (method("{x.secret}", "format_map", {"x": X}), AttributeError),
        (method("a", "__class__"), AttributeError),
        (method(1, "bit_length"), AttributeError),
        (call("str", X), TypeError),
        (call("getattr", X, "secret"), NameError),
        (Format(parts=(Hole(value=X),)), TypeError),
        (binary("%s", "%", X), TypeError),
        (binary(X, "+", "a"), TypeError),
        (Index(value=X, index=const(0)), TypeError),
        (Compare(left=X, rest=(("<", X),)), TypeError),
        (call("list", X), TypeError),
        (call("sorted", [2, 1], key=const(None)), TypeError),
        (call("json.dumps", [], default=const(None)), TypeError),
    ],
)
def test_nothing_reaches_an_object(node: Expression, error: type[Exception]) -> None:
    with pytest.raises(error):
        value_of(node, {"x": State()})


def test_the_methods_are_those_of_the_types() -> None:
    for kind, methods in METHODS.items():
        assert all(hasattr(kind, name) for name in methods), kind
    assert not METHOD_NAMES & {"format", "format_map", "translate", "encode", "fromkeys"}


def test_a_match_has_its_groups() -> None:
    found = call("re.search", r"(?P<k>\w+)=(\d+)", "see a=12;")
    assert value_of(method(found, "groups")) == ("a", "12")
    assert value_of(method(found, "groupdict")) == {"k": "a"}
    assert value_of(method(found, "span", 2)) == (6, 8)
    assert value_of(Index(value=found, index=const("k"))) == "a"


@pytest.mark.parametrize("pattern", [r"(a)|b", r"\d*", r"(?:,|;)\s*", r"(\w)(\d)?", "x"])
def test_findall_split_and_sub_are_those_of_re(pattern: str) -> None:
    text = "ab, a1;b22 x"
    assert value_of(call("re.findall", pattern, text)) == re.findall(pattern, text)
    assert value_of(call("re.split", pattern, text)) == re.split(pattern, text)
    assert value_of(call("re.split", pattern, text, 2)) == re.split(pattern, text, maxsplit=2)
    assert value_of(call("re.sub", pattern, r"<\g<0>>", text)) == re.sub(pattern, r"<\g<0>>", text)


# --- Bounds --------------------------------------------------------------------------------------

DOUBLED: Any = []
for _ in range(60):
    DOUBLED = [DOUBLED, DOUBLED]
TWIN: Any = []
for _ in range(60):
    TWIN = [TWIN, TWIN]
PAIR: Any = ()
for _ in range(60):
    PAIR = (PAIR, PAIR)
NEST: Any = ()
for _ in range(200_000):
    NEST = (NEST,)
HUGE = 10**10
LONG = "a" * 4_000_000
EVERY = Clause(target=Bind(name="i"), items=call("range", HUGE))

BOMBS: dict[str, Any] = {
    "text times": binary("ab", "*", HUGE),
    "list times": binary(HUGE, "*", [1]),
    "power": binary(3, "**", 10_000_000),
    "product": binary(binary(1, "<<", 8_000_000), "*", binary(1, "<<", 8_000_000)),
    "shift": binary(1, "<<", HUGE),
    "digits": call("str", binary(10, "**", 100_000)),
    "digits in a field": Format(parts=(Hole(value=binary(10, "**", 100_000)),)),
    "printf": binary("%1000000000d", "%", 1),
    "printf precision": binary("%.1000000000f", "%", 1.0),
    "printf star": binary("%*d", "%", (HUGE, 1)),
    "printf again": binary(binary("%(a)s", "*", 1_000), "%", {"a": LONG}),
    "width": Format(parts=(Hole(value=const(1), spec=const("1000000000")),)),
    "precision": Format(parts=(Hole(value=const(1.0), spec=const(".1000000000f")),)),
    "list of range": call("list", call("range", HUGE)),
    "sum of range": call("sum", call("range", HUGE)),
    "max of range": call("max", call("range", HUGE)),
    "float in range": Compare(left=const(0.5), rest=(("in", call("range", HUGE)),)),
    "enumerate": call("enumerate", call("range", HUGE)),
    "zip": call("zip", call("range", HUGE), call("range", HUGE)),
    "rounds": Comprehension(item=const(1), clauses=(EVERY,)),
    "rounds that give nothing": Comprehension(
        item=const(1),
        clauses=(Clause(target=EVERY.target, items=EVERY.items, conditions=(const(0),)),),
    ),
    "join": method(Name(name="long"), "join", call("list", call("range", HUGE))),
    "join long": method(Name(name="long"), "join", method("a" * 1_000, "split", "a")),
    "replace": method(Name(name="long"), "replace", "", "0123456789"),
    "ljust": method("a", "ljust", HUGE),
    "zfill": method("a", "zfill", HUGE),
    "center": method("a", "center", HUGE, "*"),
    "expandtabs": method("\t\t", "expandtabs", HUGE),
    "rfind": method(Name(name="long"), "rfind", binary("b", "+", binary("a", "*", 1_000_000))),
    "strip": method(Name(name="long"), "strip", call("str", Name(name="long"))),
    "repr of doubles": call("repr", Name(name="doubled")),
    "json of doubles": call("json.dumps", Name(name="doubled")),
    "field of doubles": Format(parts=(Hole(value=Name(name="doubled")),)),
    "doubles equal": Compare(left=Name(name="doubled"), rest=(("==", Name(name="twin")),)),
    "doubles in": Compare(left=Name(name="doubled"), rest=(("in", lift([Name(name="twin")])),)),
    "sorted doubles": call("sorted", [Name(name="doubled"), Name(name="twin")]),
    "key of doubles": Index(value=Name(name="record"), index=Name(name="pair")),
    "set of doubles": lift({Name(name="pair")}),
    "set of nest": lift({Name(name="nest")}),
    "long texts": call("max", binary([Name(name="long")], "*", 10_000)),
    "keys that collide": call("dict", Name(name="colliding")),
    "indent": call("json.dumps", [1], indent=const(HUGE)),
    "deep json": call("json.loads", "[" * 100_000),
    "sum of lists": call("sum", binary([[1] * 100], "*", 10_000), lift([])),
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_a_bomb_ends_soon(bomb: Expression) -> None:
    names = {
        "long": LONG,
        "doubled": DOUBLED,
        "twin": TWIN,
        "pair": PAIR,
        "nest": NEST,
        "record": {},
        "colliding": [(i * (2**61 - 1), 1) for i in range(20_000)],  # all hash to 0
    }
    began = time.process_time()
    with pytest.raises((FuelError, ValueError)):
        value_of(bomb, names)
    assert time.process_time() - began < 1.5  # CPU seconds


def test_rounding_to_a_huge_power_of_ten_is_zero() -> None:
    assert value_of(call("round", 5, -HUGE)) == 0
    for number in range(-120, 120, 7):
        for digits in (-3, -2, -1, 0, 1):
            assert value_of(call("round", number, digits)) == round(number, digits)


def test_a_list_that_grows_by_itself_ends() -> None:
    node = Comprehension(
        item=method(X, "append", 1), clauses=(Clause(target=Bind(name="y"), items=X),)
    )
    with pytest.raises(FuelError, match="1000 steps"):
        value_of(node, {"x": [1]}, Fuel(Limits(steps=1_000)))


def test_each_node_and_round_costs_a_step() -> None:
    fuel = Fuel(Limits(steps=100))
    value_of(binary(1, "+", binary(2, "*", 3)), fuel=fuel)
    assert fuel.steps == 95
    value_of(Choose(test=const(1), then=const(2), otherwise=binary(1, "/", 0)), fuel=fuel)
    assert fuel.steps == 92


def test_the_clock_ends_a_run() -> None:
    now = [0.0]
    fuel = Fuel(Limits(seconds=5), now=lambda: now[0])
    fuel.spend(10_000)
    now[0] = 5.1
    with pytest.raises(FuelError, match="5 seconds"):
        fuel.spend(1_001)


def test_an_expression_that_nests_too_deep_is_refused() -> None:
    node: Expression = const(1)
    for _ in range(190):
        node = Unary(operator="-", operand=node)
    assert value_of(node) == 1
    for _ in range(5_000):
        node = Unary(operator="-", operand=node)
    with pytest.raises(FuelError, match="nests deeper"):
        value_of(node)


# --- Patterns ------------------------------------------------------------------------------------

EXPLOSIVE = [
    r"(a+)+$",
    r"(a|a)*$",
    r"(a|aa)+$",
    r"(.*a){20}",
    r"^(\w+\s?)*$",
    r"(a?){30}a{30}",
    r"(x+x+)+y",
    r"([a-z]+)*=",
    r"(?i:(ab|Ac))*$",
    r"(?:[^é]|é)*$|(?:\W|\w|_)*$",
    r"(a*)*",
    r"(a)\1",
    "a" * 1_001,
]
HARMLESS = [
    r"\d+",
    r'"([^"\\]|\\.)*"',
    r"(?P<key>\w+)\s*[:=]\s*(?P<value>.*)",
    r"(\w+,)*\w+",
    r"```(?:json)?\s*(.*?)```",
    r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?",
    r"(?:(?!END).)*END",
    r"Answer:\s*\(?([A-D])\b",
    r"(foo|foobar)+",
    r"\s*\s*\s*x",
]
TEXTS = {
    "one letter": "a" * 20_000,
    "digits": "1" * 20_000,
    "spaces": " " * 20_000,
    "quotes": '"\\' * 10_000,
    "words": "lorem ipsum 12, dolor " * 1_000,
    "commas": "ab," * 7_000,
}


@pytest.mark.parametrize("pattern", EXPLOSIVE)
def test_a_pattern_that_may_explode_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"repeat|pattern"):
        check_pattern(pattern)


@pytest.mark.parametrize("pattern", HARMLESS)
@pytest.mark.parametrize("function", ["search", "fullmatch", "findall"])
def test_the_other_patterns_end_soon_on_any_text(pattern: str, function: str) -> None:
    check_pattern(pattern)
    for name, text in TEXTS.items():
        began = time.process_time()
        with contextlib.suppress(FuelError):
            value_of(call(f"re.{function}", pattern, text))
        assert time.process_time() - began < 1.5, name


@pytest.mark.parametrize("pattern", HARMLESS[:7])
def test_a_pattern_on_an_ordinary_text_costs_little(pattern: str) -> None:
    text = ("The answer: 12.5, or x = 'word'.\n" * 100) + "END"
    fuel = Fuel(Limits(steps=200_000))
    found = value_of(call("re.search", pattern, text), fuel=fuel)
    expected = re.search(pattern, text)
    assert (found and found.span()) == (expected and expected.span())


def test_the_flags_are_those_of_values() -> None:
    assert value_of(call("re.findall", "^a", "A\na", int(re.I | re.M))) == ["A", "a"]
    with pytest.raises(ValueError, match="flags"):
        check_pattern("a", int(re.DEBUG))
