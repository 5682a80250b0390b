"""Random programs: all that `verify` accepts, with names and texts that are easy to confuse."""

from functools import lru_cache
from typing import Any

from hypothesis import strategies as st

from radixlm.ir import expressions as e
from radixlm.ir import nodes, program
from radixlm.ir.errors import EXCEPTIONS
from radixlm.ir.lowering import FUNCTION_NAMES, METHOD_NAMES, TAKES_KEY
from radixlm.ir.scopes import hole_names

PARAMETERS = ("a", "b", "re", "json", "gen", "name", "café")
NAMES = st.sampled_from([*PARAMETERS, "s"])
TARGETS = st.recursive(
    st.builds(e.Bind, name=st.sampled_from(["a", "x", "s", "len"])),
    lambda inner: st.builds(e.Unpack, targets=st.lists(inner, max_size=3).map(tuple)),
    max_leaves=4,
)
TEXTS = st.text(max_size=6) | st.sampled_from(["{", "}}", "'", '"""', "\\n", "\n", "f'{x}'", ""])
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
CONSTANTS = st.builds(
    e.Const,
    value=st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.integers(-3, 3)
    | FLOATS
    | TEXTS,
)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | FLOATS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)


def tuples(items: st.SearchStrategy[Any], least: int = 0, most: int = 3) -> st.SearchStrategy[Any]:
    return st.lists(items, min_size=least, max_size=most).map(tuple)


def _calls(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    def call(name: str, kind: str) -> st.SearchStrategy[Any]:
        keywords = st.sampled_from(
            ["default", "x", "reverse", *([] if name in TAKES_KEY else ["key"])]
        )
        shared = {
            "arguments": tuples(inner),
            "keywords": st.dictionaries(keywords, inner, max_size=2),
        }
        if kind == "function":
            return st.builds(e.Call, function=st.just(name), **shared)
        return st.builds(e.Method, name=st.just(name), value=inner, **shared)

    functions = st.sampled_from(sorted(FUNCTION_NAMES)).flatmap(lambda n: call(n, "function"))
    methods = st.sampled_from([*sorted(METHOD_NAMES), "split", "split"])
    return functions | methods.flatmap(lambda n: call(n, "method"))


def _formats(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    literals = st.builds(e.Const, value=TEXTS)

    def format_of(spec: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        conversions = st.sampled_from(["", "s", "r", "a"])
        hole = st.builds(e.Hole, value=inner, conversion=conversions, spec=spec)
        return st.builds(e.Format, parts=tuples(literals | hole))

    return format_of(st.none() | format_of(st.none()) | inner)


def _operations(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    binary = st.sampled_from(["+", "-", "*", "/", "//", "%", "**", "|", "&", "^", "<<", ">>"])
    compare = st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "in", "not in", "is", "is not"])
    return st.one_of(
        st.builds(e.Unary, operator=st.sampled_from(["not", "-", "+", "~"]), operand=inner),
        st.builds(e.Binary, operator=binary, left=inner, right=inner),
        st.builds(e.Compare, left=inner, rest=tuples(st.tuples(compare, inner), 1)),
        st.builds(e.Logic, operator=st.sampled_from(["and", "or"]), operands=tuples(inner, 2)),
        st.builds(e.Choose, test=inner, then=inner, otherwise=inner),
        st.builds(e.Index, value=inner, index=inner),
        st.builds(
            e.Slice, value=inner, start=st.none() | inner, stop=st.none() | inner, step=inner
        ),
    )


def _displays(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    clauses = tuples(
        st.builds(e.Clause, target=TARGETS, items=inner, conditions=tuples(inner, most=2)), 1, 2
    )
    kinds = st.sampled_from(["list", "set", "generator"])
    return st.one_of(
        st.builds(e.Items, kind=st.sampled_from(["list", "tuple", "set"]), items=tuples(inner)),
        st.builds(e.Record, pairs=tuples(st.tuples(inner, inner))),
        st.builds(e.Comprehension, kind=kinds, item=inner, clauses=clauses),
        st.builds(e.Comprehension, kind=st.just("dict"), item=inner, key=inner, clauses=clauses),
    )


def _reads(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    named = st.sampled_from(["variable", "meta", "bound"])
    plain = st.sampled_from(["text", "messages", "value"])
    states = inner | st.just(e.Name(name="s"))
    return st.builds(e.Read, state=states, what=named, name=inner) | st.builds(
        e.Read, state=states, what=plain
    )


EXPRESSIONS = st.recursive(
    CONSTANTS | st.builds(e.Name, name=NAMES),
    lambda inner: (
        _calls(inner) | _formats(inner) | _operations(inner) | _displays(inner) | _reads(inner)
    ),
    max_leaves=6,
)

SAMPLINGS = st.builds(
    nodes.Sampling,
    max_new_tokens=st.none() | st.integers(0, 99),
    stop=st.none() | tuples(TEXTS),
    temperature=st.none() | FLOATS | st.integers(0, 2),
    ignore_eos=st.none() | st.booleans(),
)
OUTS = TEXTS | st.sampled_from(["x", "answer"])
STATEMENTS = st.one_of(
    st.builds(nodes.Text, text=TEXTS),
    st.builds(nodes.RoleBegin, role=TEXTS),
    st.builds(nodes.RoleEnd, role=TEXTS),
    st.builds(
        nodes.Gen,
        out=st.none() | OUTS,
        sampling=SAMPLINGS,
        regex=st.none() | TEXTS,
        json_schema=st.none() | TEXTS,
        logprobs=st.none()
        | st.builds(nodes.Logprobs, top=st.none() | st.integers(0, 5), with_text=st.booleans()),
    ),
    st.builds(nodes.Select, choices=tuples(TEXTS), out=st.none() | OUTS),
    st.builds(nodes.Let, out=OUTS, value=JSON_VALUES),
    st.builds(nodes.ScopeBegin, out=OUTS),
    st.builds(nodes.ScopeEnd, out=OUTS),
    st.builds(nodes.Pin, name=TEXTS, ttl_s=st.none() | FLOATS),
)
LINES = st.integers(0, 999)


def _do(statement: nodes.Stmt) -> st.SearchStrategy[Any]:
    holes = st.dictionaries(st.sampled_from(sorted(hole_names(statement))), EXPRESSIONS, max_size=2)
    states = st.just(e.Name(name="s")) | EXPRESSIONS
    return st.builds(
        program.Do, statement=st.just(statement), holes=holes, state=states, line=LINES
    )


@lru_cache
def _leaves(in_loop: bool, forked: bool) -> st.SearchStrategy[Any]:
    """Statements without a body."""
    outs = st.none() | TARGETS
    called = {"arguments": tuples(EXPRESSIONS), "out": outs, "line": LINES}
    keywords = st.dictionaries(st.sampled_from(["x", "out"]), EXPRESSIONS, max_size=1)
    modes = st.sampled_from(["gather_variable", "concate_and_append"])
    leaves = [
        STATEMENTS.flatmap(_do),
        STATEMENTS.flatmap(_do),
        st.builds(program.Assign, target=TARGETS, value=EXPRESSIONS, line=LINES),
        st.builds(program.Store, container=EXPRESSIONS, index=EXPRESSIONS, value=EXPRESSIONS),
        st.builds(program.Evaluate, value=EXPRESSIONS),
        st.builds(program.Return, value=EXPRESSIONS),
        st.builds(program.Fork, out=st.just("more"), count=EXPRESSIONS, state=EXPRESSIONS),
        st.builds(program.Invoke, function=st.just("other key"), keywords=keywords, **called),
        st.builds(program.HostCall, function=st.just("search"), keywords=keywords, **called),
        st.builds(
            program.Raise,
            exception=st.sampled_from(sorted(EXCEPTIONS)),
            message=EXPRESSIONS | st.builds(e.Const, value=TEXTS),
        ),
    ]
    if in_loop:
        leaves += [st.builds(program.Break), st.builds(program.Continue, line=LINES)]
    if forked:
        groups = st.just(e.Name(name="branches"))
        leaves.append(st.builds(program.Join, group=groups, mode=modes))
    return st.one_of(leaves)


@lru_cache
def blocks(depth: int, in_loop: bool, forked: bool) -> st.SearchStrategy[Any]:
    """Bodies: up to three statements, nested `depth` levels."""
    leaves = _leaves(in_loop, forked)
    if not depth:
        return tuples(leaves)
    inner, looped = blocks(depth - 1, in_loop, forked), blocks(depth - 1, True, forked)
    begins = st.builds(nodes.RoleBegin, role=TEXTS) | st.builds(nodes.ScopeBegin, out=OUTS)
    compound = st.one_of(
        st.builds(program.If, test=EXPRESSIONS, then=inner, otherwise=inner, line=LINES),
        st.builds(
            program.For, target=TARGETS, items=EXPRESSIONS, body=looped, otherwise=inner, line=LINES
        ),
        st.builds(program.While, test=EXPRESSIONS, body=looped, otherwise=inner, line=LINES),
        st.builds(
            program.Within,
            begin=begins,
            body=inner,
            state=st.just(e.Name(name="s")) | EXPRESSIONS,
            name=st.none() | EXPRESSIONS,
            line=LINES,
        ),
    )
    return tuples(leaves | compound)


@st.composite
def _functions(draw: st.DrawFn, name: str) -> program.Program:
    forked = draw(st.booleans())
    fork = program.Fork(out="branches", count=e.Const(value=2), line=1)
    body = draw(blocks(draw(st.integers(0, 2)), False, forked))
    defaults = st.none() | CONSTANTS
    return program.Program(
        name=name,
        parameters=tuple(program.Parameter(name=p, default=draw(defaults)) for p in PARAMETERS),
        body=((fork,) if forked else ()) + body,
        hosts=("search", "a b"),
        file=draw(st.sampled_from(["", "demo.py"])),
    )


@st.composite
def programs(draw: st.DrawFn) -> program.Program:
    """Programs that `verify` accepts, a helper program among them."""
    main = draw(_functions("main"))
    other = draw(_functions(draw(st.sampled_from(["other", "main"]))))
    return program.Program(
        name=main.name,
        parameters=main.parameters,
        body=main.body,
        hosts=main.hosts,
        file=main.file,
        functions={"other key": other},
    )
