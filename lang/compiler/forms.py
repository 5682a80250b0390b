"""Small rewritings: of the expressions of a program, and of Python's trees."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, cast

from ...ir.expressions import (
    Binary,
    Const,
    Expression,
    Format,
    Hole,
    Items,
    Record,
    Unary,
)
from ...ir.lowering import constant

Part = tuple[Callable[[ast.expr, ast.expr], ast.expr], ast.expr]  # how to replace it, and it


def fold(node: Expression) -> Expression:
    """Join texts that are next to each other."""
    match node:
        case Binary(operator="+", left=left, right=right):
            left, right = fold(left), fold(right)
            if (
                isinstance(left, Const)
                and isinstance(right, Const)
                and (isinstance(left.value, str) and isinstance(right.value, str))
            ):
                return Const(value=left.value + right.value)
            return Binary(operator="+", left=left, right=right)
        case Format(parts=parts):
            return _folded(parts)
        case _:
            return node


def _folded(parts: Sequence[Const | Hole]) -> Expression:
    joined: list[Const | Hole] = []
    for part in parts:
        if isinstance(part, Hole) and part.spec is None and part.conversion in ("", "s"):
            inner = part.value
            if isinstance(inner, Const) and isinstance(inner.value, str):
                part = inner
        last = joined[-1] if joined else None
        if isinstance(part, Const) and isinstance(last, Const):
            joined[-1] = Const(value=f"{last.value}{part.value}")
        else:
            joined.append(part)
    if not joined:
        return Const(value="")
    only = joined[0]
    return only if len(joined) == 1 and isinstance(only, Const) else Format(parts=tuple(joined))


def data(node: ast.AST, value: Any) -> Expression:
    """Write a plain value as an expression."""
    match value:
        case list() | tuple() | set():
            kind: Literal["list", "tuple", "set"] = (
                "list"
                if isinstance(value, list)
                else "tuple"
                if isinstance(value, tuple)
                else "set"
            )
            held = cast("Iterable[Any]", value)
            items = sorted(held, key=repr) if kind == "set" else held
            return Items(kind=kind, items=tuple(data(node, item) for item in items))
        case dict():
            pairs = cast("dict[object, object]", value).items()
            return Record(pairs=tuple((data(node, k), data(node, v)) for k, v in pairs))
        case _:
            return constant(ast.Constant(value, lineno=getattr(node, "lineno", 0), col_offset=0))


def negated(test: Expression) -> Expression:
    """`not test`."""
    match test:
        case Unary(operator="not", operand=operand):
            return operand
        case _:
            return Unary(operator="not", operand=test)


def renamed(node: ast.expr, name: Callable[[str], str]) -> ast.expr:
    """A copy of `node` with other names."""
    changed: ast.expr = _Renamed(name).visit(copy.deepcopy(node))
    return changed


class _Renamed(ast.NodeTransformer):
    def __init__(self, name: Callable[[str], str]) -> None:
        self._name = name

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.copy_location(ast.Name(self._name(node.id), node.ctx), node)


def parts(node: ast.expr) -> list[Part]:
    """The parts of an expression in the order of evaluation, each with how to replace it."""
    fields = list(ast.iter_fields(node))
    if isinstance(node, ast.Dict):
        return [
            pair
            for i in range(len(node.values))
            for pair in (_part(node, "keys", i), _part(node, "values", i))
            if pair[1] is not None
        ]
    found: list[Part] = []
    for name, value in fields:
        if isinstance(value, ast.expr):
            found.append(_part(node, name, None))
        elif isinstance(value, list):
            found += [
                _part(node, name, i)
                for i, v in enumerate(cast("list[object]", value))
                if isinstance(v, ast.expr | ast.keyword)
            ]
    return found


def _part(node: ast.expr, name: str, index: int | None) -> tuple[Callable[[Any, Any], Any], Any]:
    current = getattr(node, name) if index is None else getattr(node, name)[index]
    if isinstance(current, ast.keyword):
        current = current.value

    def put(into: Any, value: Any) -> Any:
        changed = copy.copy(into)
        if index is None:
            setattr(changed, name, value)
            return changed
        items = list(getattr(changed, name))
        old = items[index]
        items[index] = ast.keyword(old.arg, value) if isinstance(old, ast.keyword) else value
        setattr(changed, name, items)
        return changed

    return put, current
