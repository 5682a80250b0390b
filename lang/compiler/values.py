"""Expressions of a function that compute values: states, constants and the fixed functions."""

from __future__ import annotations

import ast
import builtins
import json
import re
from enum import Enum, auto
from typing import Any, Literal, NoReturn

from ...ir import program as ir
from ...ir.expressions import (
    Call,
    Expression,
    Index,
    Name,
    Read,
    Target,
    Unary,
)
from ...ir.lowering import FUNCTION_NAMES, Unsupported, constant, lower, lower_target
from .forms import data, fold, renamed
from .frame import Frame, Kind, Unit
from .ownership import MUTATORS, Owner, target_names
from .scope import MISSING, Path, is_plain, unbound
from .words import WORDS, makes_expressions

READERS: dict[str, Literal["variable", "meta", "text", "messages"]] = {
    "get_var": "variable",
    "get_meta_info": "meta",
    "text": "text",
    "messages": "messages",
}
_MODULES = {"json": json, "re": re}
_PURE: dict[int, str] = {
    id(
        getattr(_MODULES[n.partition(".")[0]], n.partition(".")[2])
        if "." in n
        else getattr(builtins, n)
    ): n
    for n in FUNCTION_NAMES
}
_TAKES_STATES = frozenset({"len", "enumerate", "zip"})
Shape = Kind | tuple["Shape", ...]


class Callee(Enum):
    """What a call calls."""

    WORD = auto()  # gen, select, a role
    PURE = auto()  # a function that programs have themselves
    HOST = auto()  # one that the client calls
    PROGRAM = auto()  # another @function
    HELPER = auto()  # a plain function that is given a state
    BUILDER = auto()  # a plain function that makes expressions
    FORK = auto()  # s.fork(n)
    METHOD = auto()  # of a value or a state


EFFECTS = frozenset({Callee.HOST, Callee.PROGRAM, Callee.HELPER, Callee.FORK})


class Values:
    """Lowers the expressions of one frame at a time."""

    def __init__(self, unit: Unit, frame: Frame) -> None:
        self.unit = unit
        self.frame = frame
        self.steps: list[ir.Block] = []
        self.line: int = 0
        self._plain: set[int] = set()  # nodes that `_special` has let through to the ordinary way

    def value(self, node: ast.expr) -> Expression:
        """The expression of a value.

        Raises:
            Unsupported: a program cannot say it.
        """
        return fold(lower(node, self._special))

    def operand(self, node: ast.expr) -> Expression:
        """The expression of a value or of states."""
        return self.value(node) if self.kind_of(node) is Kind.VALUE else self.state(node)

    def state(self, node: ast.expr) -> Expression:
        """The expression of a state, or of several."""
        match node:
            case ast.Name(id=name):
                return Name(name=self.frame.name(name))
            case ast.Subscript(value=value, slice=index):
                return Index(value=self.state(value), index=self.value(index))
            case _:
                raise Unsupported(node, "a state from such an expression", "give it a name before")

    def kind_of(self, node: ast.expr) -> Kind:
        """What an expression is."""
        match node:
            case ast.Name(id=name):
                return self.frame.kind(name) or Kind.VALUE
            case ast.Subscript(value=value, slice=index) if not isinstance(index, ast.Slice):
                several = self.kind_of(value) in (Kind.GROUP, Kind.RESULTS)
                return Kind.STATE if several else Kind.VALUE
            case _:
                return Kind.VALUE

    # ---- names outside the function

    def path(self, node: ast.expr) -> Path | None:
        """`a.b.c` as a path, where `a` is no local name."""
        match node:
            case ast.Name(id=name):
                return None if self.frame.is_local(name) else (name,)
            case ast.Attribute(value=value, attr=name):
                owner = self.path(value)
                return None if owner is None else (*owner, name)
            case _:
                return None

    def found(self, node: ast.expr) -> Any:
        """The object outside the function that an expression names, or `MISSING`."""
        path = self.path(node)
        if path is None:
            return MISSING
        return self.unit.session.world.find(self.frame.scope, path)

    def _outside(self, node: ast.expr) -> Expression:
        path, found = self.path(node), self.found(node)
        written = ast.unparse(node)
        if found is MISSING:
            raise Unsupported(node, f"{written!r} is not known yet", "define it before the program")
        if path is None or not is_plain(found):
            raise Unsupported(
                node,
                f"{written!r}, a {type(found).__name__}, as a value",
                "pass it as an argument, or use text, numbers, lists and dicts",
            )
        if not isinstance(found, list | tuple | dict | set):
            return constant(ast.copy_location(ast.Constant(found), node))
        key = (id(self.frame.scope), path)
        if key not in self.unit.constants:
            name = self.unit.constants[key] = self.unit.names.unique("_".join(path))
            value = data(node, found)
            self.unit.prologue.append(ir.Assign(target=lower_target(ast.Name(name)), value=value))
        return Name(name=self.unit.constants[key])

    def callee(self, node: ast.Call) -> Callee:
        """What a call calls.

        Raises:
            Unsupported: nobody can tell before the program runs.
        """
        match node.func:
            case ast.Attribute(value=value, attr="fork") if self.kind_of(value) is Kind.STATE:
                return Callee.FORK
            case ast.Name(id=name) if self.frame.is_local(name):
                raise Unsupported(
                    node, f"a call of {name!r}, which only a run knows", "call a function by name"
                )
            case ast.Name() | ast.Attribute():
                pass
            case _:
                raise Unsupported(node, "a call of a computed function", "call functions by name")
        path = self.path(node.func)
        if path is None:
            return Callee.METHOD
        found = self.found(node.func)
        owner = self.unit.session.world.find(self.frame.scope, path[:-1]) if path[1:] else MISSING
        return self._callee(node, path, found, owner)

    def _callee(self, node: ast.Call, path: Path, found: Any, owner: Any) -> Callee:
        from ..function import Function

        *_, name = path
        if id(found) in WORDS:
            return Callee.WORD
        if id(found) in _PURE:
            return Callee.PURE
        if isinstance(found, Function):
            return Callee.PROGRAM
        if isinstance(owner, Function) and name == "run":
            return Callee.PROGRAM
        if isinstance(owner, Function):
            raise Unsupported(node, f"{'.'.join(path)}()", "call the program, or its run()")
        if is_plain(owner):
            return Callee.METHOD
        if found is MISSING and owner is MISSING:
            raise Unsupported(node, f"{'.'.join(path)!r} is not known yet", "define it before")
        if owner is MISSING and not callable(found):
            raise Unsupported(node, f"a call of {name!r}, which is no function", "see what it is")
        if any(self.kind_of(a) is not Kind.VALUE for a in _given(node)):
            return Callee.HELPER
        function = found if found is not MISSING else unbound(owner, name)
        return Callee.BUILDER if makes_expressions(function) else Callee.HOST

    # ---- what lowering asks at every sub-expression

    def _special(self, node: ast.expr) -> Expression | None:
        if id(node) in self._plain:
            return None
        match node:
            case ast.Name(id=name):
                return self._name(node, name)
            case ast.Attribute(value=value, attr=name):
                return self._attribute(node, value, name)
            case ast.Subscript(value=value, slice=index):
                return self._item(node, value, index)
            case ast.Compare(left=left, ops=[operator], comparators=[right]) if (
                self.kind_of(right) is Kind.STATE
            ):
                return self._bound(node, left, operator, right)
            case ast.Call():
                return self._call(node)
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                return self._comprehension(node)
            case _:
                return None

    def _name(self, node: ast.expr, name: str) -> Expression:
        kind = self.frame.kind(name)
        if kind is None:
            return self._outside(node)
        if kind is not Kind.VALUE:
            raise Unsupported(node, f"{name!r}, {kind.value}, as a value", "read its variables")
        return Name(name=self.frame.name(name))

    def _attribute(self, node: ast.expr, value: ast.expr, name: str) -> Expression | None:
        if self.kind_of(value) is Kind.STATE and name == "ret_value":
            return Read(state=self.state(value), what="value")
        return None if self.path(node) is None else self._outside(node)

    def _item(self, node: ast.Subscript, value: ast.expr, index: ast.expr) -> Expression | None:
        match self.kind_of(value):
            case Kind.STATE:
                return Read(state=self.state(value), name=self.value(index))
            case Kind.GROUP | Kind.RESULTS:
                raise Unsupported(node, "a state as a value", "read its variables")
            case Kind.VALUE:
                return None

    def _bound(
        self, node: ast.expr, left: ast.expr, operator: ast.cmpop, right: ast.expr
    ) -> Expression:
        if not isinstance(operator, ast.In | ast.NotIn):
            raise Unsupported(node, "comparing states", "compare what they have read")
        bound = Read(state=self.state(right), what="bound", name=self.value(left))
        return bound if isinstance(operator, ast.In) else Unary(operator="not", operand=bound)

    def _call(self, node: ast.Call) -> Expression | None:
        match self.callee(node):
            case Callee.PURE:
                return self._pure(node, _PURE[id(self.found(node.func))])
            case Callee.METHOD:
                assert isinstance(node.func, ast.Attribute)
                return self._method(node, node.func.value, node.func.attr)
            case Callee.WORD | Callee.BUILDER:
                written = ast.unparse(node.func)
                raise Unsupported(
                    node,
                    f"{written}(...) as a value",
                    f"append it where it is made: s += {written}(...)",
                )
            case _:
                raise Unsupported(
                    node,
                    f"a call of {ast.unparse(node.func)}() that may not happen, or happen often",
                    "assign its result in a statement before, or use if and for statements",
                )

    def _pure(self, node: ast.Call, name: str) -> Expression:
        """By the name that programs know, whatever the function is called here."""
        if name in _TAKES_STATES and any(self.kind_of(a) is not Kind.VALUE for a in node.args):
            keywords = {k.arg: self.value(k.value) for k in node.keywords if k.arg is not None}
            arguments = tuple(map(self.operand, node.args))
            return Call(function=name, arguments=arguments, keywords=keywords)
        known = ast.copy_location(ast.Call(_dotted(name), node.args, node.keywords), node)
        self._plain.add(id(known))
        try:
            return lower(known, self._special)
        finally:
            self._plain.discard(id(known))

    def _method(self, node: ast.Call, value: ast.expr, name: str) -> Expression | None:
        if self.kind_of(value) is not Kind.VALUE:
            return self._read(node, value, name)
        if name in MUTATORS and self.frame.ownership.owner(value) is Owner.FOREIGN:
            self.refuse_change(node, value)
        return None

    def _read(self, node: ast.Call, value: ast.expr, name: str) -> Expression:
        if self.kind_of(value) is not Kind.STATE or name not in READERS:
            raise Unsupported(
                node, f"{ast.unparse(node.func)}() in a compiled program", "leave it to the caller"
            )
        given = [*node.args, *(keyword.value for keyword in node.keywords)]
        if len(given) != (name in ("get_var", "get_meta_info")):
            raise Unsupported(node, f"{name}() with {len(given)} arguments", "see its signature")
        key = self.value(given[0]) if given else None
        return Read(state=self.state(value), what=READERS[name], name=key)

    def refuse_change(self, node: ast.AST, value: ast.expr) -> NoReturn:
        """Say that a change in place would not be seen by whoever owns the value."""
        raise Unsupported(
            node,
            f"changing {ast.unparse(value)!r} in place, which may be an argument or a global",
            "change a copy: x = list(x) or x = dict(x)",
        )

    def _comprehension(
        self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
    ) -> Expression:
        names: dict[str, Kind] = {}
        for generator in node.generators:
            with self.frame.inner(names):
                shape = self.items_shape(generator.iter)
            names.update(self.shapes(generator.target, shape))
        self._plain.add(id(node))
        try:
            with self.frame.inner(names):
                return lower(node, self._iterating)
        finally:
            self._plain.discard(id(node))

    def _iterating(self, node: ast.expr) -> Expression | None:
        """In a comprehension a group may stand by itself, after `in`."""
        several = isinstance(node, ast.Name) and self.kind_of(node) in (Kind.GROUP, Kind.RESULTS)
        return self.state(node) if several else self._special(node)

    # ---- kinds of targets

    def items_shape(self, node: ast.expr) -> Shape:
        """What the items are that iterating over `node` gives."""
        if self.kind_of(node) in (Kind.GROUP, Kind.RESULTS):
            return Kind.STATE
        if isinstance(node, ast.Call) and node.args:
            function = _PURE.get(id(self.found(node.func)))
            if function == "enumerate":
                return (Kind.VALUE, self.items_shape(node.args[0]))
            if function == "zip":
                return tuple(map(self.items_shape, node.args))
        return Kind.VALUE

    def shapes(self, target: ast.expr, shape: Shape) -> list[tuple[str, Kind]]:
        """The kinds of the names in a target."""
        match target, shape:
            case ast.Name(id=name), Kind():
                return [(name, shape)]
            case ((ast.Tuple(elts=parts) | ast.List(elts=parts)), tuple()) if len(parts) == len(
                shape
            ):
                return [
                    pair
                    for part, inner in zip(parts, shape, strict=True)
                    for pair in self.shapes(part, inner)
                ]
            case _:
                if shape is Kind.VALUE or not _has_state(shape):
                    return [(name, Kind.VALUE) for name in target_names(target)]
                raise Unsupported(target, "a state inside a value", "give each state a name")

    def target(self, node: ast.expr, shape: Shape = Kind.VALUE) -> Target:
        """A target, its names declared."""
        for name, kind in self.shapes(node, shape):
            self.frame.declare(node, name, kind)
        return lower_target(renamed(node, self.frame.name))

    def constant(self, node: ast.AST, value: Any) -> Expression:
        """A value that is known now."""
        if not is_plain(value):
            raise Unsupported(
                node, f"a {type(value).__name__} as a value", "use text, numbers, lists and dicts"
            )
        return data(node, value)


def _has_state(shape: Shape) -> bool:
    return any(map(_has_state, shape)) if isinstance(shape, tuple) else shape is not Kind.VALUE


def _given(node: ast.Call) -> list[ast.expr]:
    return [*node.args, *(keyword.value for keyword in node.keywords)]


def _dotted(name: str) -> ast.expr:
    module, _, attribute = name.rpartition(".")
    return ast.Attribute(ast.Name(module), attribute) if module else ast.Name(name)
