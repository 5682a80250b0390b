"""Statements of a function, each as steps of the program."""

from __future__ import annotations

import ast
from typing import Any

from ...ir import program as ir
from ...ir.expressions import (
    Bind,
    Call,
    Compare,
    Const,
    Expression,
    Index,
    Method,
    Name,
    Read,
)
from ...ir.holes import fill
from ...ir.lowering import Unsupported
from ...ir.nodes import JoinMode, Pin, RoleBegin, ScopeBegin, Span, Stmt
from ..errors import CompileError
from .forms import negated
from .frame import Kind
from .mix import Emit, Mixes, Piece
from .ownership import Owner, own_nodes
from .values import EFFECTS, Callee

ROLE_METHODS = frozenset({"system", "user", "assistant"})
_WHOLE_MODES = ("gather_variable", "concate_and_append")
_REFUSED: dict[type[ast.stmt], tuple[str, str]] = {
    ast.Try: ("try", "let errors pass, and look at s.error() after the run"),
    ast.FunctionDef: ("a function inside the program", "define it at the top of the module"),
    ast.AsyncFunctionDef: ("a function inside the program", "define it at the top of the module"),
    ast.ClassDef: ("a class inside the program", "define it at the top of the module"),
    ast.Delete: ("del", "leave the name alone, or use d.pop(key)"),
    ast.Import: ("import inside the program", "import at the top of the module"),
    ast.ImportFrom: ("import inside the program", "import at the top of the module"),
    ast.Global: ("global", "return the value, or keep it in a variable of the state"),
    ast.Nonlocal: ("nonlocal", "return the value, or keep it in a variable of the state"),
    ast.AsyncFor: ("async for", "write for: reading a variable waits for it"),
    ast.AsyncWith: ("async with", "write with"),
    ast.Match: ("match", "use if and elif"),
}


class Statements(Mixes):
    """Compiles statements; what cannot be said is noted, and the rest goes on."""

    def body(self, statements: list[ast.stmt]) -> tuple[ir.Block, ...]:
        """Compile statements in the current frame."""
        with self.collected() as steps:
            for statement in statements:
                line, self.line = self.line, self.frame.line or statement.lineno
                try:
                    self._statement(statement)
                except Unsupported as error:
                    self.problem(error)
                finally:
                    self.line = line
        return tuple(steps)

    def problem(self, error: Unsupported) -> None:
        """Note why the function cannot be compiled."""
        line = self.frame.line or getattr(error.node, "lineno", 0) or self.line
        file = self.frame.source.file if not self.frame.line else ""
        span = Span(file or self.unit.file, line)
        self.unit.problems.append(CompileError(error.message, span=span, hint=error.remedy))

    def _statement(self, node: ast.stmt) -> None:
        match node:
            case ast.Expr(value=value):
                self._expression(value)
            case ast.Assign(targets=targets, value=value):
                self._assign(targets, value)
            case ast.AnnAssign(target=target, value=value):
                if value is not None:
                    self._assign([target], value)
            case ast.AugAssign():
                self._augmented(node)
            case ast.If(test=test, body=then, orelse=otherwise):
                decided = self.decided(test)
                if decided is not None:
                    self.steps.extend(self.body(then if decided else otherwise))
                    return
                condition = self.full(test)
                self.add(
                    ir.If(test=condition, then=self.body(then), otherwise=self.body(otherwise))
                )
            case ast.For():
                self._for(node)
            case ast.While():
                self._while(node)
            case ast.With():
                self._with(node.items, node.body)
            case _:
                self._simple(node)

    def _simple(self, node: ast.stmt) -> None:
        match node:
            case ast.Break():
                self.add(ir.Break())
            case ast.Continue():
                self.add(ir.Continue())
            case ast.Pass():
                pass
            case ast.Return(value=None):
                self.add(ir.Return())
            case ast.Return(value=ast.expr() as value):
                self.add(ir.Return(value=self.operand(self.plain(value))))
            case ast.Assert() if not __debug__:
                pass  # as Python leaves it out under -O
            case ast.Assert(test=test, msg=message):
                condition = self.full(test)
                with self.collected() as failing:
                    text = Const(value="") if message is None else self.full(message)
                    self.add(ir.Raise(exception="AssertionError", message=text))
                self.add(ir.If(test=negated(condition), then=tuple(failing)))
            case ast.Raise():
                self._raise(node)
            case _:
                what, remedy = _REFUSED.get(
                    type(node), (f"a {type(node).__name__} statement", "call a plain function")
                )
                raise Unsupported(node, what, remedy)

    def _raise(self, node: ast.Raise) -> None:
        from ...ir.errors import EXCEPTIONS

        error: ast.expr | None = node.exc
        arguments: list[ast.expr] = []
        if isinstance(error, ast.Call) and not error.keywords:
            arguments, error = error.args, error.func
        plain_cause = node.cause is None or self.known(node.cause) is None
        found = None if error is None else self.found(error)
        name = getattr(found, "__name__", "")
        is_known = name in EXCEPTIONS and EXCEPTIONS[name] is found
        if not is_known or not plain_cause or len(arguments) > 1:
            raise Unsupported(
                node,
                "raising this",
                f"raise one of {', '.join(sorted(EXCEPTIONS))}, with one message",
            )
        message = self.full(arguments[0]) if arguments else Const(value="")
        self.add(ir.Raise(exception=name, message=message))

    # ---- expressions as statements

    def _expression(self, node: ast.expr) -> None:
        if isinstance(node, ast.Constant):
            return
        if isinstance(node, ast.Call):
            if self.callee(node) in EFFECTS:
                step = self.effect(self._without(node))[0](None)
                if step is not None:
                    self.add(step)
                return
            if isinstance(node.func, ast.Attribute) and self._method_statement(node, node.func):
                return
        self.add(ir.Evaluate(value=self.full(node)))

    def _method_statement(self, node: ast.Call, function: ast.Attribute) -> bool:
        """Add the step of a method of a state or a group, if it is one that changes it."""
        kind, name = self.kind_of(function.value), function.attr
        given = {keyword.arg: keyword.value for keyword in node.keywords}
        if kind is Kind.GROUP and name == "join":
            mode = node.args[0] if node.args else given.get("mode")
            self.add(ir.Join(group=self.state(function.value), mode=self._join_mode(node, mode)))
            return True
        if kind is not Kind.STATE:
            return False
        if name == "set_var":
            words = dict(zip(("name", "value"), node.args, strict=False)) | given
            if set(words) != {"name", "value"}:
                raise Unsupported(node, "these arguments of set_var()", "give it name and value")
            self._store(function.value, words["name"], words["value"])
        elif name in ROLE_METHODS:
            content = node.args[0] if node.args else given.get("content")
            if content is not None and self.known(content) is not None:
                state = self.state(function.value)
                self.emit(state, self.turn(name, content, chained=True))
        elif name == "pin":
            pair = zip(("name", "ttl_s"), node.args, strict=False)
            words = {**dict[str | None, ast.expr](pair), **given}
            if "name" not in words or set(words) - {"name", "ttl_s"} or len(node.args) > 2:
                raise Unsupported(node, "these arguments of pin()", "give it name and ttl_s")
            self._pin(function.value, words)
        elif name == "sync":
            self.add(ir.Evaluate(value=Read(state=self.state(function.value), what="text")))
        else:
            return False
        return True

    def _pin(self, state: ast.expr, words: dict[str | None, ast.expr]) -> None:
        values = {str(word): self.full(value) for word, value in words.items()}
        known = {word: value.value for word, value in values.items() if isinstance(value, Const)}
        statement: Stmt = Pin(name="")
        try:
            statement = fill(statement, known)
        except (TypeError, ValueError):
            known = {}  # the run says so, where the statement stands
        holes = {word: value for word, value in values.items() if word not in known}
        self.emit(self.state(state), [Emit(statement, holes)])

    def _join_mode(self, node: ast.Call, mode: ast.expr | None) -> JoinMode:
        known: Any = "gather_variable" if mode is None else self.known(mode)
        if known not in _WHOLE_MODES:
            raise Unsupported(node, "this join mode", f"use one of {', '.join(_WHOLE_MODES)}")
        whole: JoinMode = known
        return whole

    # ---- assignments

    def _assign(self, targets: list[ast.expr], value: ast.expr) -> None:
        if (
            len(targets) == 1
            and isinstance(value, ast.Call)
            and self._assign_call(targets[0], value)
        ):
            return
        plain = self.plain(value)
        if len(targets) > 1 or any(map(self.has_effect, targets)):
            plain = self._once(plain)
        for target in targets:
            self._bind(target, plain)

    def _assign_call(self, target: ast.expr, value: ast.Call) -> bool:
        """Bind the result of an effect at once, where it needs no temporary."""
        callee = self.callee(value)
        if callee not in EFFECTS:
            return False
        if not isinstance(target, ast.Name) and (
            callee is not Callee.HOST or not isinstance(target, ast.Tuple)
        ):
            return False
        make, kind = self.effect(self._without(value))
        step = make(self.target(target, kind))
        assert step is not None
        self.add(step)
        return True

    def _once(self, node: ast.expr) -> ast.expr:
        """A name for a value that is used several times."""
        if isinstance(node, ast.Constant | ast.Name):
            return node
        kind = self.kind_of(node)
        out = self.temporary(node, kind)
        self.add(ir.Assign(target=Bind(name=out), value=self.operand(node)))
        return ast.copy_location(ast.Name(out, ast.Load()), node)

    def _bind(self, target: ast.expr, value: ast.expr) -> None:
        kind = self.kind_of(value)
        match target:
            case ast.Subscript(value=container, slice=index):
                self._store(container, index, value)
            case ast.Tuple(elts=parts) if kind in (Kind.GROUP, Kind.RESULTS):
                bound = self.target(target, (Kind.STATE,) * len(parts))
                self.add(ir.Assign(target=bound, value=self.state(value)))
            case _:
                source = self.operand(value)
                self.add(ir.Assign(target=self.target(target, kind), value=source))

    def _store(self, container: ast.expr, index: ast.expr, value: ast.expr) -> None:
        value = self.plain(value)
        if self.has_effect(container) or self.has_effect(index):
            value = self.spilled(value)
        stored = self.value(value)
        container, index = self.plain(container), self.plain(index)
        if isinstance(index, ast.Slice):
            raise Unsupported(index, "assigning to a slice", "build a new list with +")
        kind = self.kind_of(container)
        if kind is Kind.GROUP or kind is Kind.RESULTS:
            raise Unsupported(
                container, "replacing the states of a fork", "append: forks[i] += ..."
            )
        if kind is Kind.VALUE and self.frame.ownership.owner(container) is Owner.FOREIGN:
            self.refuse_change(container, container)
        place = self.operand(container)
        self.add(ir.Store(container=place, index=self.value(index), value=stored))

    def _augmented(self, node: ast.AugAssign) -> None:
        kind = self.kind_of(node.target)
        if kind is Kind.VALUE:
            self._change(node)
        elif not isinstance(node.op, ast.Add):
            raise Unsupported(node, "this operator on a state", "append with +=")
        elif kind is Kind.GROUP and isinstance(node.value, ast.List | ast.Tuple):
            self._append_each(node.target, node.value)
        else:
            self.append(self._place(node.target), node.value)

    def _place(self, target: ast.expr) -> Expression:
        """The state that is appended to, found before what is appended is computed."""
        return self.state(self._without(target) if isinstance(target, ast.Subscript) else target)

    def _append_each(self, target: ast.expr, items: ast.List | ast.Tuple) -> None:
        """`forks += [a, b]`: an item to each branch."""
        group = self.state(target)
        rows: list[list[Piece]] = [self.row(item, among=True) for item in items.elts]
        count = Call(function="len", arguments=(group,))
        test = Compare(left=count, rest=(("!=", Const(value=len(rows))),))
        message = Const(value=f"{len(rows)} items for a fork of another number of branches")
        self.add(ir.If(test=test, then=(ir.Raise(exception="ValueError", message=message),)))
        for index, row in enumerate(rows):
            self.emit(Index(value=group, index=Const(value=index)), row)

    def _change(self, node: ast.AugAssign) -> None:
        """`x += y` on a value: a new value, except that lists are extended where they are."""
        ownership = self.frame.ownership
        load = _loaded(node.target)
        shape = ownership.shape(load) or ownership.shape(node.value)
        if isinstance(load, ast.Name) and not self.frame.is_local(load.id):
            self.refuse_change(node, load)
        is_state = isinstance(load, ast.Subscript) and self.kind_of(load.value) is Kind.STATE
        if shape is None and not is_state:
            raise Unsupported(
                node,
                f"{ast.unparse(node)!r}, which would change a list in place",
                f"write {ast.unparse(load)} = {ast.unparse(_combined(load, node))}",
            )
        if shape == "list" and isinstance(node.op, ast.Add) and not is_state:
            if ownership.owner(load) is Owner.FOREIGN:
                self.refuse_change(node, load)
            value = self.full(node.value)
            extend = Method(value=self.value(load), name="extend", arguments=(value,))
            self.add(ir.Evaluate(value=extend))
            return
        if isinstance(load, ast.Subscript) and self.has_effect(load):
            raise Unsupported(node, "a call in what is changed", "assign it to a name before")
        before = self.spilled(load) if self.has_effect(node.value) else load
        self._bind(load, _combined(before, node))

    # ---- loops and blocks

    def _for(self, node: ast.For) -> None:
        items = self.plain(node.iter)
        shape = self.items_shape(items)
        source = self.operand(items)
        target = self.target(node.target, shape)
        self.add(
            ir.For(
                target=target,
                items=source,
                body=self.body(node.body),
                otherwise=self.body(node.orelse),
            )
        )

    def _while(self, node: ast.While) -> None:
        with self.collected() as before:
            test = self.full(node.test)
        if not before:
            self.add(
                ir.While(test=test, body=self.body(node.body), otherwise=self.body(node.orelse))
            )
            return
        if node.orelse:
            raise Unsupported(node, "while with a call in its test and an else", "use while True")
        before.append(ir.If(test=negated(test), then=(ir.Break(),), line=self.line))
        self.add(ir.While(test=Const(value=True), body=(*before, *self.body(node.body))))

    def _with(self, items: list[ast.withitem], body: list[ast.stmt]) -> None:
        if not items:
            self.steps.extend(self.body(body))
            return
        item, node = items[0], items[0].context_expr
        match node:
            case ast.Call(func=ast.Attribute(value=value, attr=name), args=args, keywords=[]) if (
                self.kind_of(value) is Kind.STATE
            ):
                state = self.state(value)
            case _:
                raise Unsupported(node, "with on this object", "only turns, scopes and copies")
        if name == "copy":
            self._copy(state, item, items[1:], body)
            return
        if item.optional_vars is not None:
            raise Unsupported(node, f"{name}() as a name", "leave the name out")
        begin: RoleBegin | ScopeBegin
        held: Expression | None = None
        if name in ROLE_METHODS and not args:
            begin = RoleBegin(role=name)
        elif name == "var_scope" and len(args) == 1:
            held = self.full(args[0])
            begin = ScopeBegin(out="")
            if isinstance(held, Const) and isinstance(held.value, str):
                begin, held = ScopeBegin(out=held.value), None
        else:
            raise Unsupported(node, f"with {ast.unparse(node)}", "only turns, scopes and copies")
        with self.collected() as inner:
            self._with(items[1:], body)
        self.add(ir.Within(begin=begin, body=tuple(inner), state=state, name=held))

    def _copy(
        self,
        state: Expression,
        item: ast.withitem,
        rest: list[ast.withitem],
        body: list[ast.stmt],
    ) -> None:
        """`with s.copy() as c`: a fork of one, joined at the end of the body."""
        for statement in body:
            for inner in (statement, *own_nodes(statement)):
                if isinstance(inner, ast.Return | ast.Break | ast.Continue):
                    raise Unsupported(inner, "leaving a copy from its middle", "use s.fork(1)")
        group = self.temporary(item.context_expr, Kind.GROUP)
        self.add(ir.Fork(out=group, count=Const(value=1), state=state))
        if item.optional_vars is not None:
            first = Index(value=Name(name=group), index=Const(value=0))
            self.add(ir.Assign(target=self.target(item.optional_vars, Kind.STATE), value=first))
        self._with(rest, body)
        self.add(ir.Join(group=Name(name=group)))


def _loaded(target: ast.expr) -> ast.expr:
    loaded: ast.expr = ast.parse(ast.unparse(target), mode="eval").body
    for node in ast.walk(loaded):
        ast.copy_location(node, target)
    return loaded


def _combined(before: ast.expr, node: ast.AugAssign) -> ast.expr:
    return ast.copy_location(ast.BinOp(before, node.op, node.value), node)
