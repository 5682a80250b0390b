"""Python's `ast` expressions into the expressions of a program.

`lower` knows what Python means by an expression and nothing of states, arguments or the client's
functions: a caller gives `special`, which is asked first at every sub-expression. What the small
language cannot say raises `Unsupported`, with the nearest thing that works.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Sequence
from typing import Literal

from .expressions import (
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
    Record,
    Slice,
    Target,
    Unary,
    Unpack,
)

INT_BITS = 64  # of integer constants, sign included: what every reader of JSON can hold

_FUNCTIONS = """
    len int float str bool min max sorted range enumerate zip abs sum round any all list dict set
    tuple reversed repr divmod ord chr json.loads json.dumps re.match re.search re.fullmatch
    re.findall re.sub re.split
"""
FUNCTION_NAMES = frozenset(_FUNCTIONS.split())
"""Functions that a program may call; `evaluate.FUNCTIONS` has their meaning."""

_STR_METHODS = """
    strip lstrip rstrip join split rsplit splitlines replace lower upper title capitalize casefold
    swapcase startswith endswith find rfind index rindex count zfill ljust rjust center isdigit
    isdecimal isnumeric isalpha isalnum isascii isidentifier islower isupper isprintable
    isspace istitle removeprefix removesuffix partition rpartition expandtabs
"""
_LIST_METHODS = "append extend insert remove sort reverse pop copy clear index count"
_DICT_METHODS = "get keys values items update setdefault pop popitem copy clear"
_SET_METHODS = """
    add discard remove pop copy clear update union intersection difference symmetric_difference
    issubset issuperset isdisjoint intersection_update difference_update
    symmetric_difference_update
"""
_MATCH_METHODS = "group groups groupdict start end span"
METHOD_NAMES = frozenset(
    " ".join((_STR_METHODS, _LIST_METHODS, _DICT_METHODS, _SET_METHODS, _MATCH_METHODS)).split()
)
"""Methods that a program may call; no `format`, since a format string can reach attributes."""

TAKES_KEY = frozenset({"sorted", "min", "max", "sort"})
"""What takes a `key` in Python: a program has no functions as values, so not here."""


class Unsupported(Exception):
    """Python that a program cannot say.

    Attributes:
        node: the place.
        message: what is in the way.
        remedy: the nearest thing that works.
    """

    def __init__(self, node: ast.AST, message: str, remedy: str | None = None) -> None:
        super().__init__(f"{message}; {remedy}" if remedy else message)
        self.node = node
        self.message = message
        self.remedy = remedy


def lower(node: ast.expr, special: Callable[[ast.expr], Expression | None]) -> Expression:
    """Return the expression of `node`.

    Args:
        special: asked first, at every sub-expression; `None` means the ordinary way.

    Raises:
        Unsupported: the expression language has no such thing.
    """
    return _Lowering(special).expression(node)


def lower_target(node: ast.expr) -> Target:
    """Return the target that `node`, left of `=` or after `for`, binds.

    Raises:
        Unsupported: it is more than names and tuples of them.
    """
    match node:
        case ast.Name(id=name):
            return Bind(name=name)
        case ast.Tuple(elts=elements) | ast.List(elts=elements):
            return Unpack(targets=tuple(map(lower_target, elements)))
        case ast.Starred():
            raise Unsupported(node, "a starred target", "take the rest with a slice: rest = x[1:]")
        case ast.Subscript():
            raise Unsupported(node, "an item as a target here", "bind a name, then store the item")
        case _:
            raise Unsupported(node, "an attribute as a target", "bind a name, or an item of a dict")


UNARY: dict[type[ast.unaryop], Literal["not", "-", "+", "~"]] = {
    ast.Not: "not",
    ast.USub: "-",
    ast.UAdd: "+",
    ast.Invert: "~",
}
_Arithmetic = Literal["+", "-", "*", "/", "//", "%", "**", "|", "&", "^", "<<", ">>"]
BINARY: dict[type[ast.operator], _Arithmetic] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
    ast.BitOr: "|",
    ast.BitAnd: "&",
    ast.BitXor: "^",
    ast.LShift: "<<",
    ast.RShift: ">>",
}
_Comparison = Literal["==", "!=", "<", "<=", ">", ">=", "in", "not in", "is", "is not"]
COMPARE: dict[type[ast.cmpop], _Comparison] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.In: "in",
    ast.NotIn: "not in",
    ast.Is: "is",
    ast.IsNot: "is not",
}
CONVERSIONS: dict[int, Literal["", "s", "r", "a"]] = {
    -1: "",
    ord("s"): "s",
    ord("r"): "r",
    ord("a"): "a",
}

_REMEDIES: dict[type[ast.AST], tuple[str, str]] = {
    ast.Lambda: ("a lambda", "use a comprehension, or call a function of the client"),
    ast.NamedExpr: ("an assignment inside an expression (:=)", "assign in a statement before it"),
    ast.Await: ("await", "leave it out: reading a variable waits for it"),
    ast.Yield: ("yield", "collect the values in a list and return it"),
    ast.YieldFrom: ("yield from", "collect the values in a list and return it"),
    ast.Starred: ("unpacking with *", "join lists with +"),
    ast.Slice: ("a slice among several indices", "index one dimension at a time"),
}


class _Lowering:
    """One conversion; `special` has the first word on every sub-expression."""

    def __init__(self, special: Callable[[ast.expr], Expression | None]) -> None:
        self._special = special

    def expression(self, node: ast.expr) -> Expression:
        found = self._special(node)
        return self._ordinary(node) if found is None else found

    def _ordinary(self, node: ast.expr) -> Expression:
        match node:
            case ast.Constant():
                return constant(node)
            case ast.Name(id=name):
                return Name(name=name)
            case ast.JoinedStr():
                return self._format(node)
            case ast.Subscript():
                return self._subscript(node)
            case ast.Call():
                return self._call(node)
            case ast.Attribute(attr=name):
                raise Unsupported(
                    node, f"reading the attribute {name!r}", "keep values in a dict and use x[...]"
                )
            case ast.List() | ast.Tuple() | ast.Set() | ast.Dict():
                return self._display(node)
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                return self._comprehension(node)
            case _:
                return self._operation(node)

    def _operation(self, node: ast.expr) -> Expression:
        match node:
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float())):
                return self._negative(node)
            case ast.UnaryOp(op=operator, operand=operand):
                return Unary(operator=UNARY[type(operator)], operand=self.expression(operand))
            case ast.BinOp(op=ast.MatMult()):
                raise Unsupported(node, "the operator @", "call a function of the client")
            case ast.BinOp(left=left, op=operator, right=right):
                return Binary(
                    operator=BINARY[type(operator)],
                    left=self.expression(left),
                    right=self.expression(right),
                )
            case ast.BoolOp(op=operator, values=values):
                return Logic(
                    operator="and" if isinstance(operator, ast.And) else "or",
                    operands=self._all(values),
                )
            case ast.Compare(left=left, ops=operators, comparators=values):
                rest: list[tuple[_Comparison, Expression]] = [
                    (COMPARE[type(operator)], value)
                    for operator, value in zip(operators, self._all(values), strict=True)
                ]
                return Compare(left=self.expression(left), rest=tuple(rest))
            case ast.IfExp(test=test, body=then, orelse=otherwise):
                return Choose(
                    test=self.expression(test),
                    then=self.expression(then),
                    otherwise=self.expression(otherwise),
                )
            case _:
                what, remedy = _REMEDIES.get(
                    type(node), (f"a {type(node).__name__}", "call a function of the client")
                )
                raise Unsupported(node, what, remedy)

    def _negative(self, node: ast.UnaryOp) -> Expression:
        """`-5` is a constant, as in JSON; and the least integer has no positive counterpart."""
        operand = node.operand
        asked = self._special(operand)
        if asked is not None:
            return Unary(operator="-", operand=asked)
        assert isinstance(operand, ast.Constant)
        if isinstance(operand.value, bool):
            return Unary(operator="-", operand=Const(value=operand.value))
        return constant(ast.copy_location(ast.Constant(-operand.value), node))  # type: ignore[operator]  # int or float

    def _all(self, nodes: Sequence[ast.expr]) -> tuple[Expression, ...]:
        return tuple(self.expression(node) for node in nodes)

    def _format(self, node: ast.JoinedStr) -> Format:
        return Format(parts=tuple(self._part(part) for part in node.values))

    def _part(self, node: ast.expr) -> Const | Hole:
        match node:
            case ast.Constant():
                return constant(node)
            case ast.FormattedValue(value=value, conversion=conversion, format_spec=spec):
                return Hole(
                    value=self.expression(value),
                    conversion=CONVERSIONS[conversion],
                    spec=None if spec is None else self.expression(spec),
                )
            case _:
                raise Unsupported(node, "this part of an f-string", "give it a name before")

    def _subscript(self, node: ast.Subscript) -> Expression:
        value = self.expression(node.value)
        if not isinstance(node.slice, ast.Slice):
            return Index(value=value, index=self.expression(node.slice))
        bounds = (node.slice.lower, node.slice.upper, node.slice.step)
        start, stop, step = (None if b is None else self.expression(b) for b in bounds)
        return Slice(value=value, start=start, stop=stop, step=step)

    def _display(self, node: ast.List | ast.Tuple | ast.Set | ast.Dict) -> Expression:
        match node:
            case ast.List(elts=elements):
                return Items(kind="list", items=self._all(elements))
            case ast.Tuple(elts=elements):
                return Items(kind="tuple", items=self._all(elements))
            case ast.Set(elts=elements):
                return Items(kind="set", items=self._all(elements))
            case ast.Dict(keys=keys, values=values):
                if None in keys:
                    raise Unsupported(node, "unpacking with **", "merge dicts with |")
                known = [key for key in keys if key is not None]
                return Record(pairs=tuple(zip(self._all(known), self._all(values), strict=True)))

    def _comprehension(
        self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
    ) -> Expression:
        clauses = tuple(self._clause(generator) for generator in node.generators)
        match node:
            case ast.DictComp(key=key, value=value):
                return Comprehension(
                    kind="dict",
                    key=self.expression(key),
                    item=self.expression(value),
                    clauses=clauses,
                )
            case ast.ListComp(elt=item):
                return Comprehension(kind="list", item=self.expression(item), clauses=clauses)
            case ast.SetComp(elt=item):
                return Comprehension(kind="set", item=self.expression(item), clauses=clauses)
            case ast.GeneratorExp(elt=item):
                return Comprehension(kind="generator", item=self.expression(item), clauses=clauses)

    def _clause(self, node: ast.comprehension) -> Clause:
        if node.is_async:
            raise Unsupported(node.iter, "async for", "write for: reading a variable waits for it")
        return Clause(
            target=lower_target(node.target),
            items=self.expression(node.iter),
            conditions=self._all(node.ifs),
        )

    def _call(self, node: ast.Call) -> Expression:
        match node.func:
            case ast.Name(id=name) if name in FUNCTION_NAMES:
                return self._function(node, name)
            case ast.Attribute(value=ast.Name(id=module), attr=name) if (
                f"{module}.{name}" in FUNCTION_NAMES
            ):
                return self._function(node, f"{module}.{name}")
            case ast.Attribute(value=value, attr=name) if name in METHOD_NAMES:
                arguments, keywords = self.arguments(node, name)
                return Method(
                    value=self.expression(value),
                    name=name,
                    arguments=arguments,
                    keywords=keywords,
                )
            case ast.Attribute(attr="format"):
                raise Unsupported(node, "str.format", "use an f-string")
            case ast.Attribute(attr=name):
                raise Unsupported(
                    node,
                    f"the method {name!r}",
                    "use a common method of str, list, dict or set, or a function of the client",
                )
            case ast.Name(id="isinstance" | "type"):
                raise Unsupported(node, "asking for a type", "compare values, or convert: str(x)")
            case ast.Name(id="map" | "filter"):
                raise Unsupported(node, "map and filter", "use a comprehension")
            case ast.Name(id=name):
                raise Unsupported(
                    node, f"a call of {name!r}", f"use one of: {', '.join(sorted(FUNCTION_NAMES))}"
                )
            case _:
                raise Unsupported(node, "a call of a computed function", "call functions by name")

    def _function(self, node: ast.Call, name: str) -> Call:
        arguments, keywords = self.arguments(node, name)
        return Call(function=name, arguments=arguments, keywords=keywords)

    def arguments(
        self, node: ast.Call, name: str
    ) -> tuple[tuple[Expression, ...], dict[str, Expression]]:
        """Return what a call of `name` gives, by place and by keyword."""
        keywords: dict[str, Expression] = {}
        for keyword in node.keywords:
            if keyword.arg is None:
                raise Unsupported(keyword.value, "unpacking with **", "write the arguments out")
            if keyword.arg in keywords:
                raise Unsupported(keyword.value, f"{keyword.arg!r} twice", "give it once")
            if keyword.arg == "key" and name in TAKES_KEY:
                raise Unsupported(
                    keyword.value,
                    f"a key function for {name!r}",
                    "put the key first: [x for _, x in sorted([(len(x), x) for x in xs])]",
                )
            keywords[keyword.arg] = self.expression(keyword.value)
        return self._all(node.args), keywords


def constant(node: ast.Constant) -> Const:
    """Return the constant of `node`.

    Raises:
        Unsupported: JSON cannot hold it.
    """
    match node.value:
        case None | bool():
            return Const(value=node.value)
        case int() as value if not -(2 ** (INT_BITS - 1)) <= value < 2 ** (INT_BITS - 1):
            raise Unsupported(node, f"an integer beyond {INT_BITS} bits", 'int("...") makes one')
        case float() as value if not math.isfinite(value):
            raise Unsupported(node, "an infinite number", 'float("inf") makes one')
        case str() as value if any("\ud800" <= character <= "\udfff" for character in value):
            raise Unsupported(node, "half a surrogate pair", "write the whole character")
        case int() | float() | str() as value:
            return Const(value=value)
        case bytes():
            raise Unsupported(node, "bytes", "use a str")
        case complex():
            raise Unsupported(node, "a complex number", "use floats")
        case _:
            raise Unsupported(node, "an ellipsis", "use None")
