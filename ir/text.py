"""The readable form of a program: Python-like text that `from_text` reads back.

It is built as Python's own `ast`, so that `ast.unparse` knows the parentheses. Where Python's
syntax would be read back as something else, a name says what is meant: `const(5)` in `-const(5)`,
which is no constant -5; `name("s")["x"]`, an item and no variable of a state; `fstring("{",
hole(x))`, where an f-string cannot quote; `**{"text": ...}`, a hole over a field that is set.
Places are left out.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterable, Mapping
from typing import Any, assert_never

import msgspec

from .expressions import (
    Binary,
    Bind,
    Call,
    Choose,
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
    Read,
    Record,
    Slice,
    Target,
    Unary,
)
from .lowering import BINARY, COMPARE, CONVERSIONS, FUNCTION_NAMES, UNARY, Unsupported
from .nodes import Gen, Logprobs, RoleBegin, Sampling, Stmt, Text
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
from .text_parse import (
    FORMS,
    PLACEHOLDERS,
    READS,
    SAMPLING_FIELDS,
    STATE,
    expression,
    from_text,
    is_literal,
    required,
)

__all__ = ["from_text", "line_of", "to_text", "without_places"]

_UNARY = {name: operator for operator, name in UNARY.items()}
_BINARY = {name: operator for operator, name in BINARY.items()}
_COMPARE = {name: operator for operator, name in COMPARE.items()}
_CONVERSIONS = {name: code for code, name in CONVERSIONS.items()}


def to_text(program: Program) -> str:
    """Return the readable form, the programs that it invokes after it.

    `from_text` returns an equal program, places apart, if `verify` accepts `program`.
    """
    definitions = [_definition(program, "")]
    definitions += [_definition(function, key) for key, function in program.functions.items()]
    return "\n\n\n".join(
        ast.unparse(ast.fix_missing_locations(definition)) for definition in definitions
    )


def line_of(step: Block) -> str:
    """Return the first line of a statement's text, without its colon: `if a:` is "if a"."""
    bodies = {name: () for name in ("then", "otherwise", "body") if hasattr(step, name)}
    node = _statement(msgspec.structs.replace(step, **bodies))
    text = ast.unparse(ast.fix_missing_locations(node)).partition("\n")[0]
    return text.removesuffix(":") if bodies else text


def without_places(program: Program) -> Program:
    """Return the program without files and lines, which do not change what it means."""
    return msgspec.structs.replace(
        program,
        file="",
        body=_bare(program.body),
        functions={key: without_places(value) for key, value in program.functions.items()},
    )


def _bare(blocks: tuple[Block, ...]) -> tuple[Block, ...]:
    return tuple(_bare_step(block) for block in blocks)


def _bare_step(step: Block) -> Block:
    match step:
        case If(then=then, otherwise=otherwise):
            return msgspec.structs.replace(
                step, line=0, then=_bare(then), otherwise=_bare(otherwise)
            )
        case For(body=body, otherwise=otherwise) | While(body=body, otherwise=otherwise):
            return msgspec.structs.replace(
                step, line=0, body=_bare(body), otherwise=_bare(otherwise)
            )
        case Within(body=body):
            return msgspec.structs.replace(step, line=0, body=_bare(body))
        case _:
            return msgspec.structs.replace(step, line=0)


def _definition(program: Program, key: str) -> ast.FunctionDef:
    decorators: list[ast.expr] = []
    if key and key != program.name:
        decorators.append(_call("key", [ast.Constant(key)]))
    if program.hosts:
        decorators.append(_call("hosts", map(ast.Constant, program.hosts)))
    return ast.FunctionDef(
        name=program.name,
        args=_arguments(program.parameters),
        body=_body(program.body),
        decorator_list=decorators,
    )


def _arguments(parameters: tuple[Parameter, ...]) -> ast.arguments:
    """A parameter that must be given stands after `*` if one with a default comes before it."""
    at = next((i for i, p in enumerate(parameters) if p.default is not None), len(parameters))
    while at < len(parameters) and parameters[at].default is not None:
        at += 1
    plain, named = parameters[:at], parameters[at:]
    return ast.arguments(
        posonlyargs=[],
        args=[ast.arg(STATE), *(ast.arg(p.name) for p in plain)],
        kwonlyargs=[ast.arg(p.name) for p in named],
        kw_defaults=[None if p.default is None else _expression(p.default) for p in named],
        defaults=[_expression(p.default) for p in plain if p.default is not None],
    )


def _body(blocks: tuple[Block, ...]) -> list[ast.stmt]:
    return [_statement(block) for block in blocks] or [ast.Pass()]


def _otherwise(blocks: tuple[Block, ...]) -> list[ast.stmt]:
    return [_statement(block) for block in blocks]


def _statement(step: Block) -> ast.stmt:
    match step:
        case Do():
            return _do(step)
        case Within(begin=begin, name=name, state=state, body=body):
            label = begin.role if isinstance(begin, RoleBegin) else begin.out
            method = "role" if isinstance(begin, RoleBegin) else "scope"
            given = [] if name is None else [_expression(name)]
            if name is None or label or is_literal(given[0]):
                given.insert(0, ast.Constant(label))
            head = _method(_expression(state), method, given)
            return ast.With(items=[ast.withitem(head)], body=_body(body))
        case Assign(target=target, value=value):
            return _assign(_target(target), _expression(value))
        case Store(container=container, index=index, value=value):
            place = ast.Subscript(_expression(container), _expression(index), ast.Store())
            return _assign(place, _expression(value))
        case Evaluate(value=Const(value=str() as text)):
            return ast.Expr(_call("const", [ast.Constant(text)]))  # else it were a docstring
        case Evaluate(value=value):
            return ast.Expr(_expression(value))
        case If(test=test, then=then, otherwise=otherwise):
            return ast.If(_expression(test), _body(then), _otherwise(otherwise))
        case For(target=target, items=items, body=body, otherwise=otherwise):
            return ast.For(_target(target), _expression(items), _body(body), _otherwise(otherwise))
        case While(test=test, body=body, otherwise=otherwise):
            return ast.While(_expression(test), _body(body), _otherwise(otherwise))
        case Break():
            return ast.Break()
        case Continue():
            return ast.Continue()
        case Return(value=value):
            return ast.Return(_expression(value))
        case _:
            return _call_statement(step)


def _call_statement(step: Fork | Join | Invoke | HostCall | Raise) -> ast.stmt:
    match step:
        case Fork(out=out, count=count, state=state):
            fork = _method(_expression(state), "fork", [_expression(count)])
            return _assign(_name(out), fork)
        case Join(group=group, mode=mode):
            more: list[ast.expr] = [ast.Constant(mode)] if mode != "gather_variable" else []
            return ast.Expr(_call("join", [_expression(group), *more]))
        case Raise(exception=exception, message=message):
            more = [] if message == Const(value="") else [_expression(message)]
            return ast.Expr(_call("raise_", [ast.Constant(exception), *more]))
        case Invoke(out=out) | HostCall(out=out):
            form = "invoke" if isinstance(step, Invoke) else "host"
            given = [ast.Constant(step.function), *map(_expression, step.arguments)]
            call = _call(form, given, _expressions(step.keywords))
            return ast.Expr(call) if out is None else _assign(_target(out), call)
        case _:
            assert_never(step)


def _do(step: Do) -> ast.stmt:
    state, form = _expression(step.state), _form(step.statement, step.holes)
    if isinstance(step.state, Name | Index):
        return ast.AugAssign(state, ast.Add(), form)  # type: ignore[arg-type]  # a name or an item
    return ast.Expr(_call("do", [state, form]))


def _form(statement: Stmt, holes: dict[str, Expression]) -> ast.expr:
    """Return `gen("x", stop=..., regex=pattern)`: fields are literals, and holes what is not."""
    nodes = _expressions(holes)
    if isinstance(statement, Text):
        if not holes:
            return ast.Constant(statement.text)
        if list(holes) == ["text"] and not statement.text and not is_literal(nodes["text"]):
            return nodes["text"]
    form, places = FORMS[type(statement)]
    fields = _fields(statement)
    keywords: dict[str, ast.expr] = {}
    hard: dict[str, ast.expr] = {}
    for name, node in nodes.items():
        field = _keyword(statement, name)
        free = field not in fields or (
            field in required(type(statement)) and fields[field] == PLACEHOLDERS[field]
        )
        if free and field not in keywords and field.isidentifier() and not is_literal(node):
            fields.pop(field, None)
            keywords[field] = node
        else:
            hard[name] = node
    first = itertools.takewhile(fields.__contains__, places)
    given = [_literal(fields.pop(name)) for name in list(first)]
    call = _call(form, given, {k: _literal(v) for k, v in fields.items()} | keywords)
    if hard:
        names: list[ast.expr | None] = [ast.Constant(name) for name in hard]
        call.keywords.append(ast.keyword(None, ast.Dict(names, list(hard.values()))))
    return call


def _keyword(statement: Stmt, hole: str) -> str:
    """Return the argument that a hole's name is in the text; no identifier if it has none."""
    field = hole.removeprefix("sampling.")
    if isinstance(statement, Gen) and (field in SAMPLING_FIELDS) != (field != hole):
        return ""
    return field


def _fields(statement: Stmt) -> dict[str, Any]:
    """The fields of a statement that are not at their default, those of `sampling` among them."""
    fields: dict[str, Any] = {}
    for field in msgspec.structs.fields(statement):
        value = getattr(statement, field.name)
        if isinstance(value, Sampling):
            fields |= value.said()
        elif isinstance(value, Logprobs):
            fields[field.name] = msgspec.to_builtins(value)
        elif field.required or value != field.default:
            fields[field.name] = value
    return fields


def _expression(node: Expression) -> ast.expr:
    match node:
        case Const(value=int() | float() as value) if value < 0 or str(value) == "-0.0":
            return ast.UnaryOp(ast.USub(), ast.Constant(-value))
        case Const(value=value):
            return ast.Constant(value)
        case Name(name=name):
            return _name(name)
        case Read():
            return _read(node)
        case Items(kind=kind, items=items):
            nodes = list(map(_expression, items))
            if kind == "set":
                return ast.Set(nodes)  # an empty one is {*()}, as ast.unparse writes it
            return ast.List(nodes) if kind == "list" else ast.Tuple(nodes)
        case Record(pairs=pairs):
            return ast.Dict([_expression(k) for k, _ in pairs], [_expression(v) for _, v in pairs])
        case Format():
            return _format(node)
        case Index(value=Name(name="s") as value, index=index):
            return ast.Subscript(_call("name", [ast.Constant(value.name)]), _expression(index))
        case Index(value=value, index=index):
            return ast.Subscript(_expression(value), _expression(index))
        case Slice(value=value, start=start, stop=stop, step=step):
            bounds = [None if b is None else _expression(b) for b in (start, stop, step)]
            return ast.Subscript(_expression(value), ast.Slice(*bounds))
        case Call(function=function, arguments=arguments, keywords=keywords):
            return _call(function, map(_expression, arguments), _expressions(keywords))
        case Method(value=value, name=name, arguments=arguments, keywords=keywords):
            base = _expression(value)
            if isinstance(value, Name) and f"{value.name}.{name}" in FUNCTION_NAMES:
                base = _call("name", [ast.Constant(value.name)])
            return _method(base, name, map(_expression, arguments), _expressions(keywords))
        case Comprehension():
            return _comprehension(node)
        case _:
            return _operation(node)


def _operation(node: Unary | Binary | Compare | Logic | Choose) -> ast.expr:
    match node:
        case Unary(operator="-", operand=Const(value=int() | float() as value)) if (
            not isinstance(value, bool) and str(value)[0] != "-"
        ):
            return ast.UnaryOp(ast.USub(), _call("const", [ast.Constant(value)]))
        case Unary(operator=operator, operand=operand):
            return ast.UnaryOp(_UNARY[operator](), _expression(operand))
        case Binary(operator=operator, left=left, right=right):
            return ast.BinOp(_expression(left), _BINARY[operator](), _expression(right))
        case Compare(left=left, rest=rest):
            operators = [_COMPARE[name]() for name, _ in rest]
            return ast.Compare(_expression(left), operators, [_expression(v) for _, v in rest])
        case Logic(operator=operator, operands=operands):
            word = ast.And() if operator == "and" else ast.Or()
            return ast.BoolOp(word, list(map(_expression, operands)))
        case Choose(test=test, then=then, otherwise=otherwise):
            return ast.IfExp(_expression(test), _expression(then), _expression(otherwise))
        case _:
            assert_never(node)


def _read(node: Read) -> ast.expr:
    state = _expression(node.state)
    given = [] if node.name is None else [_expression(node.name)]
    if node.what == "value":
        return ast.Attribute(state, "ret_value")
    if node.what == "variable" and node.state == Name(name=STATE) and given:
        return ast.Subscript(state, given[0])
    return _method(state, READS.get(node.what, node.what), given)


def _format(node: Format) -> ast.expr:
    """An f-string, or `fstring(...)` where Python would read an f-string differently."""
    parts = [
        ast.Constant(part.value) if isinstance(part, Const) else _field(part) for part in node.parts
    ]
    string = ast.JoinedStr(list(parts))
    try:
        if expression(ast.parse(ast.unparse(string), mode="eval").body) == node:
            return string
    except (ValueError, SyntaxError, Unsupported):
        pass  # a quote or a backslash inside a hole
    return _call("fstring", [_long_part(part) for part in node.parts])


def _field(hole: Hole) -> ast.expr:
    spec = None if hole.spec is None else _expression(hole.spec)
    return ast.FormattedValue(_expression(hole.value), _CONVERSIONS[hole.conversion], spec)


def _long_part(part: Const | Hole) -> ast.expr:
    if isinstance(part, Const):
        return _expression(part)
    keywords: dict[str, ast.expr] = {}
    if part.conversion:
        keywords["conversion"] = ast.Constant(part.conversion)
    if part.spec is not None:
        keywords["spec"] = _expression(part.spec)
    return _call("hole", [_expression(part.value)], keywords)


def _comprehension(node: Comprehension) -> ast.expr:
    item = _expression(node.item)
    clauses = [
        ast.comprehension(_target(c.target), _expression(c.items), _all(c.conditions), 0)
        for c in node.clauses
    ]
    if node.key is not None:
        return ast.DictComp(_expression(node.key), item, clauses)
    if node.kind == "set":
        return ast.SetComp(item, clauses)
    return ast.ListComp(item, clauses) if node.kind == "list" else ast.GeneratorExp(item, clauses)


def _all(nodes: Iterable[Expression]) -> list[ast.expr]:
    return list(map(_expression, nodes))


def _expressions(nodes: Mapping[str, Expression]) -> dict[str, ast.expr]:
    return {name: _expression(node) for name, node in nodes.items()}


def _target(target: Target) -> ast.expr:
    if isinstance(target, Bind):
        return _name(target.name)
    return ast.Tuple(list(map(_target, target.targets)))


def _name(name: str) -> ast.Name:
    return ast.Name(name)


def _call(
    name: str, arguments: Iterable[ast.expr], keywords: Mapping[str, ast.expr] | None = None
) -> ast.Call:
    given = [ast.keyword(k, v) for k, v in (keywords or {}).items()]
    return ast.Call(_name(name), list(arguments), given)


def _method(
    value: ast.expr,
    name: str,
    arguments: Iterable[ast.expr],
    keywords: Mapping[str, ast.expr] | None = None,
) -> ast.Call:
    given = [ast.keyword(k, v) for k, v in (keywords or {}).items()]
    return ast.Call(ast.Attribute(value, name), list(arguments), given)


def _literal(value: Any) -> ast.expr:
    return ast.parse(repr(value), mode="eval").body


def _assign(target: ast.expr, value: ast.expr) -> ast.Assign:
    return ast.Assign([target], value)
