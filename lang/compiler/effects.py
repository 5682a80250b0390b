"""Calls that do something: taken out of expressions, in the order in which Python makes them.

`f"{search(q)} {s['x']}"` becomes a step that calls `search` and binds a temporary, then the rest. A
part that comes before such a call and could see what it does is bound to a temporary too.
"""

from __future__ import annotations

import ast
import copy
import inspect
import operator
from abc import abstractmethod
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import msgspec

from ...ir import program as ir
from ...ir.expressions import (
    Bind,
    Const,
    Expression,
    Items,
    Method,
    Name,
    Target,
)
from ...ir.lowering import Unsupported, lower_target
from ..errors import CompileError
from .forms import negated, parts, renamed
from .frame import Frame, Kind
from .nested import settings_of
from .ownership import own_nodes
from .scope import is_plain, unbound
from .source import read_source
from .values import EFFECTS, Callee, Values

_COMPREHENSIONS = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
NOT_SAMPLING = frozenset({"stream", "backend", "use_thread", "compiled"})


class Effects(Values):
    """Adds the steps that calls need to `steps`."""

    @abstractmethod
    def body(self, statements: list[ast.stmt]) -> tuple[ir.Block, ...]:
        """Compile statements in the current frame."""

    @abstractmethod
    def invoked(self, node: ast.Call, function: Any, settings: dict[str, Any]) -> str:
        """Compile another program, for a run with some settings, and return its name."""

    @abstractmethod
    def known(self, node: ast.expr) -> Any:
        """The value of an expression that no run can change, or `MISSING`."""

    def plain(self, node: ast.expr) -> ast.expr:
        """Return `node` with names for the results of its effects, which go to `steps`."""
        if not self.has_effect(node):
            return node
        match node:
            case ast.BoolOp(op=op, values=[first, *rest]) if any(map(self.has_effect, rest)):
                return self._logic(node, isinstance(op, ast.And), first, rest)
            case ast.IfExp(test=test, body=then, orelse=otherwise):
                return self._choice(node, test, then, otherwise)
            case ast.ListComp():
                return self._loop(node)
            case ast.SetComp() | ast.DictComp() | ast.GeneratorExp() | ast.Lambda():
                raise Unsupported(node, "a call of the client in here", "write a for statement")
            case ast.Compare(comparators=[_, *later]) if any(map(self.has_effect, later)):
                raise Unsupported(node, "a call inside a chain of comparisons", "split it with and")
            case ast.Call() if self.callee(node) in EFFECTS:
                return self.bound(self.effect(self._without(node)), node)
            case _:
                return self._without(node)

    def full(self, node: ast.expr) -> Expression:
        """The value of an expression, its effects taken out."""
        return self.value(self.plain(node))

    def has_effect(self, node: ast.AST) -> bool:
        """Whether a call somewhere in an expression does something."""
        if isinstance(node, ast.Call) and self.callee(node) in EFFECTS:
            return True
        if isinstance(node, _COMPREHENSIONS):
            names = {
                n.id: Kind.VALUE
                for g in node.generators
                for n in ast.walk(g.target)
                if isinstance(n, ast.Name)
            }
            with self.frame.inner(names):
                return any(map(self.has_effect, ast.iter_child_nodes(node)))
        return any(map(self.has_effect, ast.iter_child_nodes(node)))

    def spilled(self, node: ast.expr) -> ast.expr:
        """A name for the value of `node` at this point, unless nothing can change it."""
        if isinstance(node, ast.Constant | ast.Name | ast.Slice) or self.path(node) is not None:
            return node
        if isinstance(node, ast.FormattedValue):
            text = self.spilled(ast.copy_location(ast.JoinedStr([node]), node))
            return ast.copy_location(ast.FormattedValue(text, -1, None), node)
        out = self.temporary(node, Kind.VALUE)
        self.add(ir.Assign(target=Bind(name=out), value=self.value(node)))
        return ast.copy_location(ast.Name(out, ast.Load()), node)

    def temporary(self, node: ast.AST, kind: Kind) -> str:
        """A new local name."""
        out = self.unit.names.temporary()
        self.frame.declare(node, out, kind)
        return out

    def add(self, step: ir.Block) -> None:
        """Add a step, with the line that is being compiled."""
        if isinstance(step, ir.HostCall):
            self.unit.host_lines.setdefault(self.line, step.function)
        self.steps.append(msgspec.structs.replace(step, line=self.line))

    @contextmanager
    def collected(self) -> Generator[list[ir.Block]]:
        """Steps that are added inside go to the list that this gives."""
        before, self.steps = self.steps, []
        try:
            yield self.steps
        finally:
            self.steps = before

    # ---- evaluation order

    def _without(self, node: ast.expr) -> ast.expr:
        """Take the effects out of the parts of `node`, in the order of evaluation."""
        pieces = parts(node)
        last = max((i for i, (_, p) in enumerate(pieces) if self.has_effect(p)), default=-1)
        replaced = copy.copy(node)
        for index, (put, part) in enumerate(pieces):
            if index <= last:
                part = self.plain(part)
                states = self.kind_of(part) is not Kind.VALUE
                is_callee = isinstance(node, ast.Call) and part is node.func
                if index < last and not states and not is_callee:
                    part = self.spilled(part)
            replaced = put(replaced, part)
        return replaced

    def _logic(
        self, node: ast.BoolOp, is_and: bool, first: ast.expr, rest: list[ast.expr]
    ) -> ast.expr:
        out = self.temporary(node, Kind.VALUE)
        self.add(ir.Assign(target=Bind(name=out), value=self.full(first)))
        remaining = (
            rest[0] if len(rest) == 1 else ast.copy_location(ast.BoolOp(node.op, rest), node)
        )
        with self.collected() as then:
            self.add(ir.Assign(target=Bind(name=out), value=self.full(remaining)))
        test: Expression = Name(name=out)
        test = test if is_and else negated(test)
        self.add(ir.If(test=test, then=tuple(then)))
        return ast.copy_location(ast.Name(out, ast.Load()), node)

    def _choice(
        self, node: ast.IfExp, test: ast.expr, then: ast.expr, otherwise: ast.expr
    ) -> ast.expr:
        out = self.temporary(node, Kind.VALUE)
        condition = self.full(test)
        bodies: list[tuple[ir.Block, ...]] = []
        for branch in (then, otherwise):
            with self.collected() as steps:
                self.add(ir.Assign(target=Bind(name=out), value=self.full(branch)))
            bodies.append(tuple(steps))
        self.add(ir.If(test=condition, then=bodies[0], otherwise=bodies[1]))
        return ast.copy_location(ast.Name(out, ast.Load()), node)

    def _loop(self, node: ast.ListComp) -> ast.expr:
        """`[f(x) for x in xs]` as a loop that appends; its names are temporaries."""
        out = self.unit.names.temporary()
        self.add(ir.Assign(target=Bind(name=out), value=Items()))
        kind = self._appending(node, list(node.generators), {}, out)
        self.frame.declare(node, out, Kind.VALUE if kind is Kind.VALUE else Kind.RESULTS)
        return ast.copy_location(ast.Name(out, ast.Load()), node)

    def _appending(
        self,
        node: ast.ListComp,
        clauses: list[ast.comprehension],
        names: dict[str, str],
        out: str,
    ) -> Kind:
        if not clauses:
            item = self.plain(_renamed(node.elt, names))
            kind = self.kind_of(item)
            self.add(
                ir.Evaluate(
                    value=Method(
                        value=Name(name=out), name="append", arguments=(self.operand(item),)
                    )
                )
            )
            return kind
        clause = clauses[0]
        items = self.plain(_renamed(clause.iter, names))
        shape = self.items_shape(items)
        for name, held in self.shapes(clause.target, shape):
            names = {**names, name: self.temporary(clause.target, held)}
        with self.collected() as body:
            conditions = [_renamed(condition, names) for condition in clause.ifs]
            for condition in conditions:
                test = self.full(condition)
                self.add(ir.If(test=negated(test), then=(ir.Continue(),)))
            kind = self._appending(node, clauses[1:], names, out)
        target = lower_target(_renamed(clause.target, names))
        self.add(ir.For(target=target, items=self.operand(items), body=tuple(body)))
        return kind

    # ---- the calls themselves

    def bound(
        self, made: tuple[Callable[[Target | None], ir.Block | None], Kind], node: ast.expr
    ) -> ast.expr:
        """Add the step of an effect, its result bound to a temporary, whose name is returned."""
        make, kind = made
        out = self.temporary(node, kind)
        step = make(Bind(name=out))
        if step is not None:
            self.add(step)
        return ast.copy_location(ast.Name(out, ast.Load()), node)

    def effect(self, node: ast.expr) -> tuple[Callable[[Target | None], ir.Block | None], Kind]:
        """How to make the step of a call whose arguments are plain, and what it binds."""
        assert isinstance(node, ast.Call)
        callee = self.callee(node)
        if callee is Callee.FORK:
            return self._fork(node)
        if callee is Callee.HELPER:
            return self._inlined(node)
        if callee is Callee.PROGRAM:
            return self._invoke(node)
        arguments, keywords = self._arguments(node)
        function = self._host(node)
        return (
            lambda out: ir.HostCall(
                function=function, arguments=arguments, keywords=keywords, out=out
            )
        ), Kind.VALUE

    def _arguments(self, node: ast.Call) -> tuple[tuple[Expression, ...], dict[str, Expression]]:
        if any(isinstance(a, ast.Starred) for a in node.args) or any(
            k.arg is None for k in node.keywords
        ):
            raise Unsupported(node, "unpacking with * or ** in a call", "write the arguments out")
        keywords = {k.arg: self.value(k.value) for k in node.keywords if k.arg is not None}
        return tuple(map(self.value, node.args)), keywords

    def _host(self, node: ast.Call) -> str:
        path = self.path(node.func)
        assert path is not None
        found = self.found(node.func)
        world, scope = self.unit.session.world, self.frame.scope
        owner = world.find(scope, path[:-1]) if len(path) > 1 else None
        if (
            callable(found)
            and not isinstance(found, staticmethod | classmethod)
            and (owner is None or isinstance(owner, type(ast)))
        ):
            return self.unit.session.host(".".join(path), (found,), found)
        root = scope.find(path[:1])

        def late(*args: Any, **kwargs: Any) -> Any:
            return operator.attrgetter(".".join(path[1:]))(root)(*args, **kwargs)

        assert isinstance(node.func, ast.Attribute)  # a name alone was resolved above
        key = (root, *path[1:], unbound(owner, node.func.attr))
        return self.unit.session.host(".".join(path), key, late)

    def _fork(self, node: ast.Call) -> tuple[Callable[[Target | None], ir.Block | None], Kind]:
        assert isinstance(node.func, ast.Attribute)
        state = self.state(node.func.value)
        named = {keyword.arg: keyword.value for keyword in node.keywords}
        size = node.args[0] if node.args else named.get("size")
        count = Const(value=1) if size is None else self.value(size)
        if len(node.args) > 2 or set(named) - {"size", "position_ids_offset"}:
            raise Unsupported(node, "these arguments of fork()", "give it the number of branches")

        def make(out: Target | None) -> ir.Block:
            name = out.name if isinstance(out, Bind) else self.unit.names.temporary()
            return ir.Fork(out=name, count=count, state=state)

        return make, Kind.GROUP

    def _invoke(self, node: ast.Call) -> tuple[Callable[[Target | None], ir.Block | None], Kind]:
        from ..function import Function

        found = self.found(node.func)
        if not isinstance(found, Function):
            path = self.path(node.func)
            assert path is not None
            found = self.unit.session.world.find(self.frame.scope, path[:-1])
        settings = settings_of(found)
        given = {k.arg: k.value for k in node.keywords if k.arg in settings}
        for name, value in given.items():
            settings[name] = self.known(value)
            if name in NOT_SAMPLING or not is_plain(settings[name]):
                raise Unsupported(
                    value, f"{name!r} in a call of a program", "give each gen its settings"
                )
        keywords_left = [k for k in node.keywords if k.arg not in settings]
        arguments, keywords = self._arguments(
            ast.copy_location(ast.Call(node.func, node.args, keywords_left), node)
        )
        try:
            found.signature.bind(None, *arguments, **{**found.bound, **keywords})
        except TypeError as error:
            raise Unsupported(node, f"{found.__name__}(): {error}", "see its def") from None
        name = self.invoked(node, found, settings)
        bound = {key: self.constant(node, value) for key, value in found.bound.items()}
        return (
            lambda out: ir.Invoke(
                function=name, arguments=arguments, keywords={**bound, **keywords}, out=out
            )
        ), Kind.STATE

    # ---- plain functions that are given a state

    def _inlined(self, node: ast.Call) -> tuple[Callable[[Target | None], ir.Block | None], Kind]:
        """The body of a function that is given a state, as statements of this program."""
        result = self.inline(node)
        value: Expression = Const(value=None)
        kind = Kind.VALUE
        if result is not None:
            with self.within(result[0]):
                plain = self.plain(result[1])
                kind = self.kind_of(plain)
                value = self.operand(plain)
        return (lambda out: None if out is None else ir.Assign(target=out, value=value)), kind

    def inline(self, node: ast.Call) -> tuple[Frame, ast.expr] | None:
        """Add the steps of a function's body; return its frame and what it returns.

        Raises:
            Unsupported: it has no source, several exits, or calls itself.
        """
        func, written = self.found(node.func), ast.unparse(node.func)
        if getattr(func, "__code__", None) is None:
            raise Unsupported(
                node,
                f"{written}(), which makes expressions or gets a state",
                "use a plain function",
            )
        if func in self.unit.inlining:
            raise Unsupported(
                node, f"{written}(), which calls itself with a state", "use @function"
            )
        try:
            source = read_source(func)
        except CompileError as error:
            raise Unsupported(node, f"{written}(): {error}", "write it in a file") from None
        body = list(source.tree.body)
        last = body[-1]
        returned = last.value if isinstance(last, ast.Return) else None
        if isinstance(last, ast.Return):
            body.pop()
        if any(_returns(statement) for statement in body):
            raise Unsupported(
                node, f"{written}() returns from its middle", "let it return at its end only"
            )
        here = source.file == self.frame.source.file
        line = self.frame.line or (0 if here else self.line)
        frame = Frame(source, func, rename=self.unit.names, line=line)
        self._bind_arguments(node, func, frame)
        self.unit.inlining.append(func)
        try:
            with self.within(frame):
                self.steps.extend(self.body(body))
        finally:
            self.unit.inlining.pop()
        return None if returned is None else (frame, returned)

    @contextmanager
    def within(self, frame: Frame) -> Generator[None]:
        """Compile in another frame."""
        before, self.frame = self.frame, frame
        try:
            yield
        finally:
            self.frame = before

    def _bind_arguments(self, node: ast.Call, func: Callable[..., Any], frame: Frame) -> None:
        signature = inspect.signature(func)
        if any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in signature.parameters.values()):
            raise Unsupported(node, "a helper with *args or **kwargs", "name its arguments")
        keywords = {k.arg: k.value for k in node.keywords if k.arg is not None}
        if len(keywords) < len(node.keywords) or any(isinstance(a, ast.Starred) for a in node.args):
            raise Unsupported(node, "unpacking with * or ** in a call", "write the arguments out")
        try:
            given = signature.bind(*node.args, **keywords).arguments
        except TypeError as error:
            raise Unsupported(node, f"{ast.unparse(node.func)}(): {error}", "see its def") from None
        for name, parameter in signature.parameters.items():
            if name in given:
                kind, value = self.kind_of(given[name]), self.operand(given[name])
            else:
                kind, value = Kind.VALUE, self.constant(node, parameter.default)
            frame.declare(node, name, kind)
            self.add(ir.Assign(target=Bind(name=frame.name(name)), value=value))


def _renamed(node: ast.expr, names: dict[str, str]) -> ast.expr:
    return renamed(node, lambda name: names.get(name, name))


def _returns(statement: ast.stmt) -> bool:
    return any(isinstance(n, ast.Return) for n in (statement, *own_nodes(statement)))
