"""Whose a value is, and what sort: decides when changing it in place is safe.

A program works on copies of its arguments and of the constants around it, so a change in place
that the caller could see must not be compiled.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import Literal

_MUTATORS = """
    append extend insert remove sort reverse pop clear update setdefault popitem add discard
    intersection_update difference_update symmetric_difference_update
"""
MUTATORS = frozenset(_MUTATORS.split())
_ITEM_METHODS = frozenset({"get", "pop", "values", "items", "setdefault", "popitem"})
_TEXTS = """
    strip lstrip rstrip join replace lower upper title capitalize casefold swapcase zfill ljust
    rjust center removeprefix removesuffix expandtabs
"""
_TEXT_METHODS = frozenset(_TEXTS.split())
_LIST_METHODS = frozenset({"split", "rsplit", "splitlines"})
_NUMBER_METHODS = frozenset({"count", "find", "index", "rfind", "rindex"})
_CONTAINERS = frozenset(["list", "sorted", "dict", "set", "tuple", "reversed", "enumerate", "zip"])
_NUMBERS = frozenset(["len", "int", "float", "round", "sum", "abs", "ord", "bool"])

Shape = Literal["text", "number", "list"]


class Owner(IntEnum):
    """How near a value is to something that others see."""

    OWN = 0  # made here
    HOLDS = 1  # made here, but its items may be others'
    FOREIGN = 2  # may be an argument or a constant itself


def own_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node below `tree`, but not those of functions and classes defined inside."""
    pending = list(ast.iter_child_nodes(tree))
    while pending:
        node = pending.pop(0)
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            pending.extend(ast.iter_child_nodes(node))


def target_names(target: ast.AST) -> list[str]:
    """The names that a target binds."""
    return [
        n.id for n in ast.walk(target) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    ]


class Ownership:
    """What is known about the local names of one function, whatever path it takes."""

    def __init__(self, body: list[ast.stmt], arguments: Iterable[str], local: set[str]) -> None:
        self._local = local
        self._owners: dict[str, Owner] = dict.fromkeys(arguments, Owner.FOREIGN)
        self._shapes: dict[str, set[Shape | None]] = {name: {None} for name in arguments}
        bindings = [pair for statement in body for pair in _bindings(statement)]
        for target, value, is_item in bindings:
            if isinstance(target, ast.Name) and not is_item:
                self._shapes.setdefault(target.id, set()).add(self.shape(value))
            else:
                for name in target_names(target):
                    self._shapes.setdefault(name, set()).add(None)
        changed = True
        while changed:
            changed = False
            for target, value, is_item in bindings:
                owner = self.owner(value)
                if (is_item or not isinstance(target, ast.Name)) and owner >= Owner.HOLDS:
                    owner = Owner.FOREIGN
                for name in target_names(target):
                    if owner > self._owners.get(name, Owner.OWN):
                        self._owners[name] = owner
                        changed = True

    def owner(self, node: ast.expr) -> Owner:
        """How near the value of `node` is to something that others see."""
        match node:
            case ast.Name(id=name):
                return self._owners.get(name, Owner.OWN if name in self._local else Owner.FOREIGN)
            case ast.Subscript(value=value, slice=index):
                if self.owner(value) == Owner.OWN:
                    return Owner.OWN
                return Owner.HOLDS if isinstance(index, ast.Slice) else Owner.FOREIGN
            case ast.Attribute():
                return Owner.FOREIGN
            case ast.IfExp(body=then, orelse=otherwise):
                return max(self.owner(then), self.owner(otherwise))
            case ast.BoolOp(values=values):
                return max(map(self.owner, values))
            case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
                return self._holding(items)
            case ast.Dict(values=values):
                return self._holding(values)
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                return self._holding([generator.iter for generator in node.generators])
            case ast.BinOp(left=left, right=right):
                return self._holding([left, right])
            case ast.Call():
                return self._call_owner(node)
            case _:
                return Owner.OWN

    def _holding(self, parts: Iterable[ast.expr]) -> Owner:
        return Owner.HOLDS if any(map(self.owner, parts)) else Owner.OWN

    def _call_owner(self, node: ast.Call) -> Owner:
        match node.func:
            case ast.Attribute(value=value, attr=name) if name in _ITEM_METHODS | {"copy"}:
                if self.owner(value) == Owner.OWN:
                    return Owner.OWN
                return Owner.HOLDS if name == "copy" else Owner.FOREIGN
            case ast.Name(id=name) if name in _CONTAINERS:
                return self._holding(node.args)
            case ast.Name(id="min" | "max"):
                return Owner.FOREIGN if self._holding(node.args) else Owner.OWN
            case _:
                return Owner.OWN

    def shape(self, node: ast.expr) -> Shape | None:
        """The sort of value, where it shows."""
        match node:
            case ast.Constant(value=str()) | ast.JoinedStr():
                return "text"
            case ast.Constant(value=int() | float()) | ast.Compare() | ast.UnaryOp():
                return "number"
            case ast.List() | ast.ListComp():
                return "list"
            case ast.Name(id=name):
                shapes = self._shapes.get(name, {None})
                return next(iter(shapes)) if len(shapes) == 1 else None
            case ast.BinOp(left=left, right=right):
                return self.shape(left) or self.shape(right)
            case ast.Call(func=ast.Name(id=name)):
                if name in _NUMBERS:
                    return "number"
                return {"str": "text", "repr": "text", "list": "list", "sorted": "list"}.get(name)  # type: ignore[return-value]  # literals
            case ast.Call(func=ast.Attribute(attr=name)):
                if name in _TEXT_METHODS:
                    return "text"
                if name in _LIST_METHODS:
                    return "list"
                return "number" if name in _NUMBER_METHODS else None
            case _:
                return None


def _bindings(statement: ast.stmt) -> Iterator[tuple[ast.expr, ast.expr, bool]]:
    """Yield (target, value, whether the target gets an item of the value)."""
    for node in (statement, *own_nodes(statement)):
        match node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    yield target, value, False
            case ast.AnnAssign(target=target, value=value) if value is not None:
                yield target, value, False
            case ast.For(target=target, iter=items) | ast.comprehension(target=target, iter=items):
                yield target, items, True
            case ast.With(items=items):
                for item in items:
                    if item.optional_vars is not None:
                        yield item.optional_vars, item.context_expr, False
            case _:
                pass
