import ast
from collections.abc import Mapping

import pytest

from radixlm.ir import functions, methods
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
    Hole,
    Index,
    Items,
    Method,
    Name,
    Read,
    Record,
    Slice,
    Target,
    Unary,
    Unpack,
)
from radixlm.ir.lowering import (
    FUNCTION_NAMES,
    METHOD_NAMES,
    Unsupported,
    lower,
    lower_target,
)

A, B, X, ONE = Name(name="a"), Name(name="b"), Name(name="x"), Const(value=1)


def parse(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def plain(text: str) -> Expression:
    return lower(parse(text), lambda node: None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.5", Const(value=1.5)),
        ("-5", Const(value=-5)),
        ("-9223372036854775808", Const(value=-(2**63))),
        ("-True", Unary(operator="-", operand=Const(value=True))),
        ("-a", Unary(operator="-", operand=A)),
        ("not a", Unary(operator="not", operand=A)),
        ("(a, 1)", Items(kind="tuple", items=(A, ONE))),
        ("{a}", Items(kind="set", items=(A,))),
        ("{a: 1}", Record(pairs=((A, ONE),))),
        ("a ** b", Binary(operator="**", left=A, right=B)),
        ("1 < a not in b", Compare(left=ONE, rest=(("<", A), ("not in", B)))),
        ("a[1]", Index(value=A, index=ONE)),
        ("a[b, 1]", Index(value=A, index=Items(kind="tuple", items=(B, ONE)))),
        ("a[1:]", Slice(value=A, start=ONE)),
        ("a[::b]", Slice(value=A, step=B)),
        ("len(a)", Call(function="len", arguments=(A,))),
        ("sorted(a, reverse=b)", Call(function="sorted", arguments=(A,), keywords={"reverse": B})),
        ("re.findall(a, b)", Call(function="re.findall", arguments=(A, B))),
        ("a.split(b)", Method(value=A, name="split", arguments=(B,))),
        ("f''", Format(parts=())),
        (
            "f'x{a!r:>{b}}'",
            Format(
                parts=(
                    Const(value="x"),
                    Hole(
                        value=A,
                        conversion="r",
                        spec=Format(parts=(Const(value=">"), Hole(value=B))),
                    ),
                )
            ),
        ),
        (
            "{x: a for x in b if x}",
            Comprehension(
                kind="dict",
                key=X,
                item=A,
                clauses=(Clause(target=Bind(name="x"), items=B, conditions=(X,)),),
            ),
        ),
    ],
)
def test_an_expression_becomes_its_node(text: str, expected: Expression) -> None:
    assert plain(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lambda: 1", "a lambda; use a comprehension"),
        ("(x := 1)", ":="),
        ("await x", "await; leave it out"),
        ("(yield)", "yield"),
        ("x.y", "attribute 'y'"),
        ("[*a]", r"unpacking with \*"),
        ("len(*a)", r"unpacking with \*"),
        ("{**a}", r"merge dicts with \|"),
        ("dict(**a)", r"unpacking with \*\*"),
        ("dict(a=1, a=2)", "'a' twice"),
        ("sorted(a, key=lambda x: -x)", "a key function for 'sorted'"),
        ("a.sort(key=len)", "a key function for 'sort'"),
        ("a @ b", "the operator @"),
        ("a[1:2, 3]", "a slice among several indices"),
        ("9223372036854775808", "beyond 64 bits"),
        ("-9223372036854775809", "beyond 64 bits"),
        ("1e999", "infinite"),
        ("'\\ud800'", "surrogate"),
        ("1j", "complex"),
        ("b'x'", "bytes"),
        ("...", "ellipsis"),
        ("print(a)", "a call of 'print'; use one of: abs, all"),
        ("isinstance(a, b)", "asking for a type"),
        ("map(a, b)", "use a comprehension"),
        ("'{}'.format(a)", "use an f-string"),
        ("a.encode()", "the method 'encode'"),
        ("a(b)(b)", "computed function"),
        ("[x async for x in a]", "async for"),
        ("[x for x.y in a]", "an attribute as a target"),
        ("[x for x[0] in a]", "an item as a target"),
        ("[x for x, *y in a]", "a starred target"),
    ],
)
def test_what_a_program_cannot_say_is_refused_with_a_remedy(text: str, message: str) -> None:
    with pytest.raises(Unsupported, match=message) as caught:
        plain(text)
    assert caught.value.remedy
    assert isinstance(caught.value.node, ast.AST)


def test_the_caller_is_asked_first_about_every_part() -> None:
    asked: list[str] = []

    def special(node: ast.expr) -> Expression | None:
        asked.append(ast.unparse(node))
        match node:
            case ast.Subscript(value=ast.Name(id="s")):
                return Read(state=Name(name="s"), name=Const(value="x"))
            case ast.Constant(value=7):
                return X
        return None

    assert lower(parse("s['x'] + -7"), special) == Binary(
        operator="+",
        left=Read(state=Name(name="s"), name=Const(value="x")),
        right=Unary(operator="-", operand=X),
    )
    assert asked == ["s['x'] + -7", "s['x']", "-7", "7"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", Bind(name="a")),
        ("a, (b,)", Unpack(targets=(Bind(name="a"), Unpack(targets=(Bind(name="b"),))))),
        ("[]", Unpack(targets=())),
    ],
)
def test_a_target_becomes_its_node(text: str, expected: Target) -> None:
    assert lower_target(parse(text)) == expected


def test_every_name_has_a_meaning_and_every_meaning_a_name() -> None:
    tables: Mapping[type, Mapping[str, object]] = methods.METHODS
    assert frozenset(functions.FUNCTIONS) == FUNCTION_NAMES
    assert frozenset(name for table in tables.values() for name in table) == METHOD_NAMES
