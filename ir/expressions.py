"""Expressions of a compiled program: a small language of values, each node its own wire form.

Values are those of JSON, tuples and sets besides, the states of a program and of its forks, and the
match objects of `re`. Every function that can be called is on a fixed list (`evaluate.FUNCTIONS`,
`evaluate.METHODS`); nothing here reaches Python's own objects. Reading a variable of a state waits
for it; nothing else does.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class Node(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="op", tag=str.lower
):
    """Root of the expressions. Compared by value; `{"op": "name", ...}` on the wire."""


class Const(Node, frozen=True, kw_only=True):
    """A constant."""

    value: bool | int | float | str | None


class Name(Node, frozen=True, kw_only=True):
    """An argument or a local variable, states included: `s` is the program's own."""

    name: str


class Read(Node, frozen=True, kw_only=True):
    """What a state knows: waits for it.

    `variable` (`s["x"]`), `meta` (`s.get_meta_info("x")`) and `bound` (`"x" in s`, which does not
    wait) need a `name`; `text`, `messages` and `value` (what a called program returned) do not.
    """

    state: Expression
    what: Literal["variable", "meta", "bound", "text", "messages", "value"] = "variable"
    name: Expression | None = None


class Items(Node, frozen=True, kw_only=True):
    """A list, a tuple or a set."""

    kind: Literal["list", "tuple", "set"] = "list"
    items: tuple[Expression, ...] = ()


class Record(Node, frozen=True, kw_only=True):
    """A dict, as pairs of key and value."""

    pairs: tuple[tuple[Expression, Expression], ...] = ()


class Hole(Node, frozen=True, kw_only=True):
    """One replacement field of an f-string: `{value!conversion:spec}`."""

    value: Expression
    conversion: Literal["", "s", "r", "a"] = ""
    spec: Expression | None = None


class Format(Node, frozen=True, kw_only=True):
    """An f-string: constants and holes."""

    parts: tuple[Const | Hole, ...]


class Unary(Node, frozen=True, kw_only=True):
    """`not x`, `-x`, `+x`, `~x`."""

    operator: Literal["not", "-", "+", "~"]
    operand: Expression


class Binary(Node, frozen=True, kw_only=True):
    """Arithmetic on two values, with Python's meaning."""

    operator: Literal["+", "-", "*", "/", "//", "%", "**", "|", "&", "^", "<<", ">>"]
    left: Expression
    right: Expression


class Compare(Node, frozen=True, kw_only=True):
    """A chain of comparisons; each value is evaluated once, and only as far as needed."""

    left: Expression
    rest: tuple[
        tuple[
            Literal["==", "!=", "<", "<=", ">", ">=", "in", "not in", "is", "is not"], Expression
        ],
        ...,
    ]


class Logic(Node, frozen=True, kw_only=True):
    """`a and b and c`, `a or b`: stops at the first value that decides, and is that value."""

    operator: Literal["and", "or"]
    operands: tuple[Expression, ...]


class Choose(Node, frozen=True, kw_only=True):
    """`then if test else otherwise`."""

    test: Expression
    then: Expression
    otherwise: Expression


class Index(Node, frozen=True, kw_only=True):
    """`value[index]`."""

    value: Expression
    index: Expression


class Slice(Node, frozen=True, kw_only=True):
    """`value[start:stop:step]`."""

    value: Expression
    start: Expression | None = None
    stop: Expression | None = None
    step: Expression | None = None


class Call(Node, frozen=True, kw_only=True):
    """A function of `evaluate.FUNCTIONS` by name: `len`, `json.loads`, `re.search` …"""

    function: str
    arguments: tuple[Expression, ...] = ()
    keywords: dict[str, Expression] = {}


class Method(Node, frozen=True, kw_only=True):
    """A method of `evaluate.METHODS` for the type that the value turns out to have."""

    value: Expression
    name: str
    arguments: tuple[Expression, ...] = ()
    keywords: dict[str, Expression] = {}


class Bind(Node, frozen=True, kw_only=True):
    """A target that is one name."""

    name: str


class Unpack(Node, frozen=True, kw_only=True):
    """A target that takes a value apart: `a, (b, c)`."""

    targets: tuple[Bind | Unpack, ...]


class Clause(Node, frozen=True, kw_only=True):
    """`for target in items if condition if condition`."""

    target: Bind | Unpack
    items: Expression
    conditions: tuple[Expression, ...] = ()


class Comprehension(Node, frozen=True, kw_only=True):
    """A list, set, dict (with `key`) or generator, which is evaluated to a list."""

    kind: Literal["list", "set", "dict", "generator"] = "list"
    item: Expression
    key: Expression | None = None
    clauses: tuple[Clause, ...]


Target = Bind | Unpack
Expression = (
    Const
    | Name
    | Read
    | Items
    | Record
    | Format
    | Unary
    | Binary
    | Compare
    | Logic
    | Choose
    | Index
    | Slice
    | Call
    | Method
    | Comprehension
)
