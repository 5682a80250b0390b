"""Reads the text form of a program: Python's grammar, and `FORMS` for what Python lacks."""

from __future__ import annotations

import ast
from typing import Any

import msgspec

from .errors import ProgramError
from .expressions import Const, Expression, Format, Hole, Items, Name, Read, Target
from .lowering import Unsupported, constant, lower, lower_target
from .nodes import (
    Gen,
    Image,
    Let,
    Pin,
    RoleBegin,
    RoleEnd,
    Sampling,
    ScopeBegin,
    ScopeEnd,
    Select,
    Span,
    Statement,
    Stmt,
    Text,
)
from .program import (
    Assign,
    Block,
    Break,
    Continue,
    Do,
    Evaluate,
    For,
    Fork,
    HostCall,
    If,
    Invoke,
    Join,
    Parameter,
    Program,
    Raise,
    Return,
    Store,
    While,
    Within,
)

FORMS: dict[type[Statement], tuple[str, tuple[str, ...]]] = {
    Text: ("text", ("text",)),
    Image: ("image", ("url",)),
    RoleBegin: ("role_begin", ("role",)),
    RoleEnd: ("role_end", ("role",)),
    Gen: ("gen", ("out",)),
    Select: ("select", ("out",)),
    Let: ("let", ("out", "value")),
    ScopeBegin: ("scope_begin", ("out",)),
    ScopeEnd: ("scope_end", ("out",)),
    Pin: ("pin", ("name",)),
}
"""How a statement is called in the text, and which fields are its arguments by place."""

PLACEHOLDERS: dict[str, Any] = {
    "text": "",
    "url": "",
    "role": "",
    "out": "",
    "name": "",
    "choices": (),
    "value": None,
}
"""What a required field of a statement holds where a hole fills it."""

READS = {"variable": "variable", "meta": "get_meta_info", "bound": "bound"}
"""The reads of a state that take a name, as methods."""

SAMPLING_FIELDS = frozenset(Sampling.__struct_fields__)
_NOTHING = {"op": "const", "value": None}  # while msgspec checks the fields beside it
STATE = "s"  # the program's own state

_STATEMENTS = {name: (kind, places) for kind, (name, places) in FORMS.items()}
_NAMED_READS = {method: what for what, method in READS.items()}


def from_text(text: str) -> Program:
    """Return the program of a text form; `line` is the line of the text.

    Raises:
        ProgramError: the text is no program; the message begins with the line.
    """
    try:
        return _program(ast.parse(text))
    except Unsupported as error:
        line = getattr(error.node, "lineno", 0)
        raise ProgramError(error.message, span=_span(line), hint=error.remedy) from None
    except SyntaxError as error:
        raise ProgramError(error.msg, span=_span(error.lineno or 0)) from None
    except msgspec.ValidationError as error:
        raise ProgramError(f"this statement cannot be: {error}") from None
    except (RecursionError, MemoryError, ValueError) as error:
        raise ProgramError(f"the text cannot be read: {error}", hint="nest less deeply") from None


def is_literal(node: ast.expr) -> bool:
    """Tell a value that a statement itself can hold from an expression, which is a hole."""
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError):
        return False
    return True


def required(kind: type[Statement]) -> frozenset[str]:
    """Return the fields that every statement of a kind has."""
    return frozenset(field.name for field in msgspec.structs.fields(kind) if field.required)


def _span(line: int) -> Span:
    return Span("text", line)


def _program(module: ast.Module) -> Program:
    definitions = [_definition(node) for node in module.body]
    if not definitions:
        raise Unsupported(module, "no program", "write def name(s): ...")
    functions = {
        key or function.name: function for key, function in definitions[1:]
    }  # the first is the program itself
    return msgspec.structs.replace(definitions[0][1], functions=functions)


def _definition(node: ast.stmt) -> tuple[str, Program]:
    """Return a function's key among the functions, where it is not the name, and its program."""
    if not isinstance(node, ast.FunctionDef):
        raise Unsupported(node, "this outside of a function", "write def name(s): ...")
    key, hosts = "", tuple[str, ...]()
    for decorator in node.decorator_list:
        match decorator:
            case ast.Call(func=ast.Name(id="key"), args=[argument]):
                key = _string(argument)
            case ast.Call(func=ast.Name(id="hosts"), args=arguments):
                hosts = tuple(map(_string, arguments))
            case _:
                raise Unsupported(decorator, "this decorator", "use @key(...) or @hosts(...)")
    return key, Program(
        name=node.name, parameters=_parameters(node.args), body=_block(node.body), hosts=hosts
    )


def _parameters(node: ast.arguments) -> tuple[Parameter, ...]:
    match node:
        case ast.arguments(posonlyargs=[], args=[ast.arg(arg="s"), *args], vararg=None, kwarg=None):
            padding = [None] * (len(args) - len(node.defaults))
            pairs = [*zip(args, [*padding, *node.defaults], strict=True)]
            pairs += zip(node.kwonlyargs, node.kw_defaults, strict=True)
            return tuple(
                Parameter(name=a.arg, default=None if d is None else expression(d))
                for a, d in pairs
            )
        case _:
            raise Unsupported(node, "these parameters", "the first is s, and none is starred")


def _string(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    raise Unsupported(node, "this where a string must stand", 'write "..."')


def _block(nodes: list[ast.stmt]) -> tuple[Block, ...]:
    return tuple(_statement(node) for node in nodes if not isinstance(node, ast.Pass))


def _statement(node: ast.stmt) -> Block:
    line = node.lineno
    match node:
        case ast.AugAssign(target=state, op=ast.Add(), value=value):
            return _do(state, value, line)
        case ast.Expr(value=value):
            return _effect(value, line)
        case ast.Assign(targets=[ast.Subscript(value=container, slice=index)], value=value):
            return Store(
                container=expression(container),
                index=expression(index),
                value=expression(value),
                line=line,
            )
        case ast.Assign(targets=[target], value=value):
            return _assign(target, value, line)
        case ast.Return(value=value):
            result = Const(value=None) if value is None else expression(value)
            return Return(value=result, line=line)
        case ast.Break():
            return Break(line=line)
        case ast.Continue():
            return Continue(line=line)
        case _:
            return _compound(node)


def _compound(node: ast.stmt) -> Block:
    line = node.lineno
    match node:
        case ast.If(test=test, body=body, orelse=otherwise):
            return If(
                test=expression(test), then=_block(body), otherwise=_block(otherwise), line=line
            )
        case ast.While(test=test, body=body, orelse=otherwise):
            return While(
                test=expression(test), body=_block(body), otherwise=_block(otherwise), line=line
            )
        case ast.For(target=target, iter=items, body=body, orelse=otherwise):
            return For(
                target=lower_target(target),
                items=expression(items),
                body=_block(body),
                otherwise=_block(otherwise),
                line=line,
            )
        case ast.With(items=[ast.withitem(context_expr=head, optional_vars=None)], body=body):
            return _within(head, body, line)
        case _:
            raise Unsupported(node, f"the statement {type(node).__name__}", "see to_text's forms")


def _within(head: ast.expr, body: list[ast.stmt], line: int) -> Within:
    match head:
        case ast.Call(
            func=ast.Attribute(value=state, attr="role" | "scope" as kind),
            args=[ast.Constant(value=str()) as literal],
            keywords=[],
        ):
            label, name = _string(literal), None
        case ast.Call(func=ast.Attribute(value=state, attr="role" | "scope" as kind), args=[value]):
            label, name = "", expression(value)
        case ast.Call(
            func=ast.Attribute(value=state, attr="role" | "scope" as kind), args=[literal, value]
        ):
            label, name = _string(literal), expression(value)
        case _:
            raise Unsupported(head, "this after with", 'use s.role("...") or s.scope("...")')
    begin = RoleBegin(role=label) if kind == "role" else ScopeBegin(out=label)
    return Within(begin=begin, name=name, state=expression(state), body=_block(body), line=line)


def _assign(target: ast.expr, value: ast.expr, line: int) -> Block:
    match target, value:
        case (
            ast.Name(id=out),
            ast.Call(func=ast.Attribute(value=state, attr="fork"), args=[count], keywords=[]),
        ):
            return Fork(out=out, count=expression(count), state=expression(state), line=line)
        case _, ast.Call(func=ast.Name(id="host" | "invoke")):
            return _call(value, lower_target(target), line)
        case _:
            return Assign(target=lower_target(target), value=expression(value), line=line)


def _effect(node: ast.expr, line: int) -> Block:
    """A statement that is one expression."""
    match node:
        case ast.Call(func=ast.Name(id="host" | "invoke")):
            return _call(node, None, line)
        case ast.Call(func=ast.Name(id="do"), args=[state, form], keywords=[]):
            return _do(state, form, line)
        case ast.Call(func=ast.Name(id="join"), args=[group], keywords=[]):
            return Join(group=expression(group), line=line)
        case ast.Call(func=ast.Name(id="join"), args=[group, mode], keywords=[]):
            join = msgspec.convert({"group": _NOTHING, "mode": _string(mode)}, Join)
            return msgspec.structs.replace(join, group=expression(group), line=line)
        case ast.Call(func=ast.Name(id="raise_"), args=[name, *message], keywords=[]) if (
            len(message) <= 1
        ):
            text = expression(message[0]) if message else Const(value="")
            return Raise(exception=_string(name), message=text, line=line)
        case _:
            return Evaluate(value=expression(node), line=line)


def _call(node: ast.Call, out: Target | None, line: int) -> HostCall | Invoke:
    if not node.args or any(keyword.arg is None for keyword in node.keywords):
        raise Unsupported(node, "this call", 'write host("name", argument, keyword=argument)')
    name, *arguments = node.args
    kind = HostCall if isinstance(node.func, ast.Name) and node.func.id == "host" else Invoke
    return kind(
        function=_string(name),
        arguments=tuple(map(expression, arguments)),
        keywords={k.arg: expression(k.value) for k in node.keywords if k.arg is not None},
        out=out,
        line=line,
    )


def _do(state: ast.expr, form: ast.expr, line: int) -> Do:
    match form:
        case ast.Call(func=ast.Name(id=name)) if name in _STATEMENTS:
            statement, holes = _form(form, name)
        case ast.Constant(value=str()):
            statement, holes = Text(text=_string(form)), {}
        case _:
            statement, holes = Text(text=""), {"text": expression(form)}
    return Do(statement=statement, holes=holes, state=expression(state), line=line)


def _form(node: ast.Call, name: str) -> tuple[Stmt, dict[str, Expression]]:
    """Read `gen("x", stop=("\\n",), regex=pattern)`: literals are fields, the others holes."""
    kind, places = _STATEMENTS[name]
    given: list[tuple[str | None, ast.expr]] = [(k.arg, k.value) for k in node.keywords]
    if len(node.args) > len(places):
        raise Unsupported(node, f"so many arguments without a name for {name}", "name them")
    given += zip(places, node.args, strict=False)
    fields: dict[str, Any] = {field: PLACEHOLDERS[field] for field in required(kind)}
    sampling: dict[str, Any] = {}
    holes: dict[str, Expression] = {}
    for key, value in given:
        inner = kind is Gen and key in SAMPLING_FIELDS
        if key is None:
            holes |= _more_holes(value)
        elif not is_literal(value):
            holes[f"sampling.{key}" if inner else key] = expression(value)
        else:
            (sampling if inner else fields)[key] = ast.literal_eval(value)
    unknown = fields.keys() - set(kind.__struct_fields__)
    if unknown:
        raise Unsupported(node, f"the argument {min(unknown)!r} of {name}", "leave it out")
    if sampling:
        fields["sampling"] = sampling
    return msgspec.convert({"type": kind.__name__.lower(), **fields}, Stmt), holes


def _more_holes(node: ast.expr) -> dict[str, Expression]:
    """Read the holes of `**{"field": expression}`: those that a keyword cannot say."""
    match node:
        case ast.Dict(keys=keys, values=values) if None not in keys:
            return {
                _string(key): expression(value)
                for key, value in zip(keys, values, strict=True)
                if key is not None
            }
        case _:
            raise Unsupported(node, "this after **", 'write **{"field": expression}')


def expression(node: ast.expr) -> Expression:
    """Return the expression that a part of the text says."""
    return lower(node, _special)


def _special(node: ast.expr) -> Expression | None:
    """What the text form has beyond Python's own expressions."""
    match node:
        case ast.Set(elts=[ast.Starred(value=ast.Tuple(elts=[]))]):
            return Items(kind="set")
        case ast.Subscript(value=ast.Name(id="s"), slice=index) if not isinstance(index, ast.Slice):
            return Read(state=Name(name=STATE), what="variable", name=expression(index))
        case ast.Attribute(value=state, attr="ret_value"):
            return Read(state=expression(state), what="value")
        case ast.Call(func=ast.Name(id="name"), args=[argument], keywords=[]):
            return Name(name=_string(argument))
        case ast.Call(func=ast.Name(id="const"), args=[ast.Constant() as argument], keywords=[]):
            return constant(argument)
        case ast.Call(func=ast.Name(id="fstring"), args=parts, keywords=[]):
            return Format(parts=tuple(map(_part, parts)))
        case ast.Call(func=ast.Attribute(value=state, attr="text" | "messages" as what), args=[]):
            return Read(state=expression(state), what="text" if what == "text" else "messages")
        case ast.Call(func=ast.Attribute(value=state, attr=method), args=[name], keywords=[]) if (
            method in _NAMED_READS
        ):
            read = Read(state=expression(state), name=expression(name))
            return msgspec.structs.replace(read, what=_NAMED_READS[method])
        case _:
            return None


def _part(node: ast.expr) -> Const | Hole:
    match node:
        case ast.Call(func=ast.Name(id="hole"), args=[value], keywords=keywords):
            given = {keyword.arg: keyword.value for keyword in keywords}
            spec = given.get("spec")
            conversion = _string(given["conversion"]) if "conversion" in given else ""
            hole = msgspec.convert({"value": _NOTHING, "conversion": conversion}, Hole)
            return msgspec.structs.replace(
                hole, value=expression(value), spec=None if spec is None else expression(spec)
            )
        case _:
            part = expression(node)
            if not isinstance(part, Const):
                raise Unsupported(node, "a value in fstring()", "write hole(value)")
            return part
