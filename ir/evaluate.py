"""Evaluates expressions with Python's meaning and Python's exceptions, within bounds of `Fuel`.

A node becomes a closure once. A tree without a `Read` runs without coroutines; in the others only
the path from the root to each `Read` is awaited. Steps are charged for a whole stretch of nodes
that are certain to be evaluated, before the first of them is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NamedTuple, assert_never

from .errors import FuelError
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
    Read,
    Record,
    Slice,
    Target,
    Unary,
)
from .fuel import Fuel, Limits
from .functions import FUNCTIONS
from .methods import METHODS, find_method
from .operators import (
    ADD,
    BINARY,
    COMPARE,
    UNARY,
    check_iterable,
    formatted,
    item_of,
    make_dict,
    make_set,
    slice_of,
)

__all__ = [
    "FUNCTIONS",
    "FUNCTION_NAMES",
    "METHODS",
    "METHOD_NAMES",
    "Fuel",
    "Limits",
    "Reader",
    "assign",
    "evaluate",
    "iterate",
]

FUNCTION_NAMES = frozenset(FUNCTIONS)
METHOD_NAMES = frozenset(name for methods in METHODS.values() for name in methods)
MAX_DEPTH = 200  # nodes inside each other; a level takes up to three of Python's 1000 frames

Names = dict[str, Any]
Reader = Callable[[Any, Read, str | None], Awaitable[Any]]
Run = Callable[[Names, Fuel], Any]
Go = Callable[[Names, Fuel, Reader], Awaitable[Any]]


class Code(NamedTuple):
    """A node made ready: `go` where something in it is read, otherwise `run`."""

    cost: int  # steps that are certain; parts that may be skipped charge for themselves
    run: Run
    go: Go | None = None


async def evaluate(node: Expression, names: Names, read: Reader, fuel: Fuel) -> Any:
    """Return the value of `node`.

    Args:
        node: the expression. What is made of it is kept by identity: pass the same object again.
        names: the variables. They are left as they are; their values may be changed by methods.
        read: called, in order and only where needed, with the state, the `Read` and its name.
        fuel: pays for everything.

    Raises:
        NameError: a name is not in `names`.
        FuelError: a bound is reached.
        Exception: what Python raises for the same expression.
    """
    code = _code(node)
    fuel.spend(code.cost)
    if code.go is None:
        return code.run(names, fuel)
    return await code.go(names, fuel, read)


def iterate(value: Any) -> Iterator[Any]:
    """Return an iterator over a value that may be iterated, as `for` needs it.

    Raises:
        TypeError: it may not. Each round is the caller's to pay for.
    """
    check_iterable(value)
    return iter(value)


def assign(target: Target, value: Any, names: Names) -> None:
    """Bind the names of `target` in `names`, with Python's errors where the shape is wrong."""
    if isinstance(target, Bind):
        names[target.name] = value
        return
    try:
        iterator = iterate(value)
    except TypeError:
        kind = type(value).__name__
        raise TypeError(f"cannot unpack non-iterable {kind} object") from None
    expected = len(target.targets)
    parts = [part for _, part in zip(range(expected), iterator, strict=False)]
    if len(parts) < expected:
        raise ValueError(f"not enough values to unpack (expected {expected}, got {len(parts)})")
    for _ in iterator:
        raise ValueError(f"too many values to unpack (expected {expected})")
    for inner, part in zip(target.targets, parts, strict=True):
        assign(inner, part, names)


# What nodes became, by identity: equal nodes may differ (1 == True), and they cannot be weakly
# referenced. An entry holds its node, so an id is not used again while it is here.
_CODES: dict[int, tuple[Expression, Code]] = {}
_MAX_CODES = 4_096


def _code(node: Expression) -> Code:
    entry = _CODES.get(id(node))
    if entry is not None:
        return entry[1]
    code = _build(node, MAX_DEPTH)
    if len(_CODES) >= _MAX_CODES:
        _CODES.pop(next(iter(_CODES)), None)  # the oldest
    _CODES[id(node)] = (node, code)
    return code


def _build(node: Expression | Hole, depth: int) -> Code:
    if not depth:
        raise FuelError(f"an expression nests deeper than {MAX_DEPTH} nodes", hint="Name a part.")
    depth -= 1
    match node:
        case Const(value=value):
            return Code(1, _constant(value))
        case Name(name=name):
            return Code(1, _load(name))
        case Read():
            return _build_read(node, depth)
        case Logic():
            return _build_logic(node, depth)
        case Choose():
            return _build_choose(node, depth)
        case Compare():
            return _build_compare(node, depth)
        case Comprehension():
            return _build_comprehension(node, depth)
        case Call() | Method():
            return _build_call(node, depth)
        case _:
            return _build_strict(node, depth)


def _build_strict(
    node: Items | Record | Format | Hole | Unary | Binary | Index | Slice, depth: int
) -> Code:
    """Build a node whose operands are all evaluated, in order, before it is."""

    def parts(*operands: Expression | Hole) -> list[Code]:
        return [_build(operand, depth) for operand in operands]

    match node:
        case Unary(operator=operator, operand=operand):
            return _strict(UNARY[operator], parts(operand))
        case Binary(operator=operator, left=left, right=right):
            return _strict(BINARY[operator], parts(left, right))
        case Index(value=value, index=index):
            return _strict(item_of, parts(value, index))
        case Slice(value=value, start=start, stop=stop, step=step):
            bounds = [bound or _NONE for bound in (start, stop, step)]
            return _strict(slice_of, parts(value, *bounds))
        case Items(kind=kind, items=items):
            return _strict(_MAKE[kind], parts(*items))
        case Record(pairs=pairs):
            return _strict(make_dict, parts(*(part for pair in pairs for part in pair)))
        case Hole(value=value, conversion=conversion, spec=spec):
            operands = [value] if spec is None else [value, spec]
            return _strict(formatted(conversion), parts(*operands))
        case Format():
            return _build_format(node, parts(*node.parts))
        case _:
            assert_never(node)


def _strict(apply: Callable[..., Any], parts: list[Code]) -> Code:
    """Return code that applies `apply(fuel, *operands)`."""
    cost = 1 + sum(part.cost for part in parts)
    if any(part.go for part in parts):
        return Code(cost, _unready, _strict_go(apply, parts))
    match [part.run for part in parts]:
        case [first]:

            def one(names: Names, fuel: Fuel) -> Any:
                return apply(fuel, first(names, fuel))

            return Code(cost, one)
        case [first, second]:

            def two(names: Names, fuel: Fuel) -> Any:
                return apply(fuel, first(names, fuel), second(names, fuel))

            return Code(cost, two)
        case runs:

            def several(names: Names, fuel: Fuel) -> Any:
                return apply(fuel, *[run(names, fuel) for run in runs])

            return Code(cost, several)


def _strict_go(apply: Callable[..., Any], parts: list[Code]) -> Go:
    async def go(names: Names, fuel: Fuel, read: Reader) -> Any:
        values = [await _value(part, names, fuel, read) for part in parts]
        return apply(fuel, *values)

    return go


async def _value(code: Code, names: Names, fuel: Fuel, read: Reader) -> Any:
    if code.go is None:
        return code.run(names, fuel)
    return await code.go(names, fuel, read)


def _unready(names: Names, fuel: Fuel) -> Any:
    raise AssertionError("code that reads was run without a reader")


def _charged(code: Code) -> Code:
    """Return code for a part that may be skipped: it pays when it begins."""
    cost, run, go = code
    if go is not None:

        async def charged_go(names: Names, fuel: Fuel, read: Reader) -> Any:
            fuel.spend(cost)
            return await go(names, fuel, read)

        return Code(0, run, charged_go)

    def charged_run(names: Names, fuel: Fuel) -> Any:
        fuel.spend(cost)
        return run(names, fuel)

    return Code(0, charged_run)


_NONE = Const(value=None)


def _make_list(fuel: Fuel, *values: Any) -> list[Any]:
    return list(values)


def _make_tuple(fuel: Fuel, *values: Any) -> tuple[Any, ...]:
    return values


_MAKE: dict[str, Callable[..., Any]] = {
    "list": _make_list,
    "tuple": _make_tuple,
    "set": make_set,
}


def _build_format(node: Format, parts: list[Code]) -> Code:
    strict = _strict(_join, parts)
    if strict.go is not None:
        return strict
    pieces = [
        str(part.value) if isinstance(part, Const) else code.run
        for part, code in zip(node.parts, parts, strict=True)
    ]

    def run(names: Names, fuel: Fuel) -> str:  # constants are no calls: f-strings are everywhere
        texts = [piece if isinstance(piece, str) else piece(names, fuel) for piece in pieces]
        return _join(fuel, *texts)

    return strict._replace(run=run)


def _join(fuel: Fuel, *texts: str) -> str:
    total = sum(map(len, texts))
    if total > 64:
        fuel.spend_text(total)
    return "".join(texts)


def _constant(value: Any) -> Run:
    def constant(names: Names, fuel: Fuel) -> Any:
        return value

    return constant


def _load(name: str) -> Run:
    def load(names: Names, fuel: Fuel) -> Any:
        try:
            return names[name]
        except KeyError:
            raise NameError(f"name {name!r} is not defined") from None

    return load


def _build_read(node: Read, depth: int) -> Code:
    state = _build(node.state, depth)
    name = None if node.name is None else _build(node.name, depth)

    async def go(names: Names, fuel: Fuel, read: Reader) -> Any:
        owner = await _value(state, names, fuel, read)
        wanted = None if name is None else await _value(name, names, fuel, read)
        return await read(owner, node, wanted)

    return Code(1 + state.cost + (name.cost if name else 0), _unready, go)


def _build_call(node: Call | Method, depth: int) -> Code:
    arguments = [_build(argument, depth) for argument in node.arguments]
    arguments += [_build(argument, depth) for argument in node.keywords.values()]
    count, keys = len(node.arguments), tuple(node.keywords)
    if isinstance(node, Call):
        name = node.function
        function = FUNCTIONS.get(name)

        def call(fuel: Fuel, *values: Any) -> Any:
            if function is None:
                raise NameError(f"name {name!r} is not defined")
            if not keys:
                return function(fuel, *values)
            return function(fuel, *values[:count], **dict(zip(keys, values[count:], strict=True)))

        return _strict(call, arguments)
    method = node.name

    def bound(fuel: Fuel, value: Any) -> tuple[Callable[..., Any], Any]:
        return find_method(value, method), value

    def call_method(fuel: Fuel, found: tuple[Callable[..., Any], Any], *values: Any) -> Any:
        function, value = found
        if not keys:
            return function(fuel, value, *values)
        keywords = dict(zip(keys, values[count:], strict=True))
        return function(fuel, value, *values[:count], **keywords)

    # As in Python, a method that is missing is noticed before the arguments are evaluated.
    return _strict(call_method, [_strict(bound, [_build(node.value, depth)]), *arguments])


def _build_logic(node: Logic, depth: int) -> Code:
    stops = node.operator == "or"
    first, *others = [_build(operand, depth) for operand in node.operands]
    rest = [_charged(code) for code in others]

    def run(names: Names, fuel: Fuel) -> Any:
        value = first.run(names, fuel)
        for code in rest:
            if bool(value) is stops:
                break
            value = code.run(names, fuel)
        return value

    async def go(names: Names, fuel: Fuel, read: Reader) -> Any:
        value = await _value(first, names, fuel, read)
        for code in rest:
            if bool(value) is stops:
                break
            value = await _value(code, names, fuel, read)
        return value

    return Code(1 + first.cost, run, go if _reads(first, *rest) else None)


def _build_choose(node: Choose, depth: int) -> Code:
    test = _build(node.test, depth)
    then = _charged(_build(node.then, depth))
    otherwise = _charged(_build(node.otherwise, depth))

    def run(names: Names, fuel: Fuel) -> Any:
        return (then if test.run(names, fuel) else otherwise).run(names, fuel)

    async def go(names: Names, fuel: Fuel, read: Reader) -> Any:
        chosen = then if await _value(test, names, fuel, read) else otherwise
        return await _value(chosen, names, fuel, read)

    return Code(1 + test.cost, run, go if _reads(test, then, otherwise) else None)


def _build_compare(node: Compare, depth: int) -> Code:
    first = _build(node.left, depth)
    if len(node.rest) == 1:
        ((operator, right),) = node.rest
        return _strict(COMPARE[operator], [first, _build(right, depth)])
    rest = [(COMPARE[operator], _charged(_build(right, depth))) for operator, right in node.rest]

    def run(names: Names, fuel: Fuel) -> Any:
        left, result = first.run(names, fuel), True
        for compare, code in rest:
            right = code.run(names, fuel)
            result = compare(fuel, left, right)
            if not result:
                break
            left = right
        return result

    async def go(names: Names, fuel: Fuel, read: Reader) -> Any:
        left, result = await _value(first, names, fuel, read), True
        for compare, code in rest:
            right = await _value(code, names, fuel, read)
            result = compare(fuel, left, right)
            if not result:
                break
            left = right
        return result

    return Code(1 + first.cost, run, go if _reads(first, *(code for _, code in rest)) else None)


def _reads(*codes: Code) -> bool:
    return any(code.go is not None for code in codes)


_EMPTY: dict[str, Callable[[], Any]] = {
    "list": list,
    "generator": list,
    "set": set,
    "dict": dict,
}


class _Loop(NamedTuple):
    """A clause made ready."""

    target: Target
    items: Code
    conditions: list[Code]


def _build_comprehension(node: Comprehension, depth: int) -> Code:
    first, *others = [_build_loop(clause, depth) for clause in node.clauses]
    loops = [first, *(loop._replace(items=_charged(loop.items)) for loop in others)]
    last = _charged(_build(node.item, depth))
    # In `{k: v for …}` Python evaluates the key first.
    results = [last] if node.key is None else [_charged(_build(node.key, depth)), last]
    bound = {name for clause in node.clauses for name in _bound_names(clause.target)}
    add = ADD[node.kind]
    make = _EMPTY[node.kind]

    def scope(names: Names, fuel: Fuel) -> Names:
        fuel.spend(len(names) // 8)
        return {name: value for name, value in names.items() if name not in bound}

    def run(names: Names, fuel: Fuel) -> Any:
        items, out = loops[0].items.run(names, fuel), make()
        inner = scope(names, fuel)

        def rounds(level: int, items: Any) -> None:
            target, _, conditions = loops[level]
            for item in iterate(items):
                fuel.spend()
                if isinstance(target, Bind):
                    inner[target.name] = item
                else:
                    assign(target, item, inner)
                if conditions and not all(each.run(inner, fuel) for each in conditions):
                    continue
                if level + 1 < len(loops):
                    rounds(level + 1, loops[level + 1].items.run(inner, fuel))
                else:
                    add(fuel, out, *[code.run(inner, fuel) for code in results])

        rounds(0, items)
        return out

    async def go(names: Names, fuel: Fuel, read: Reader) -> Any:
        items, out = await _value(loops[0].items, names, fuel, read), make()
        inner = scope(names, fuel)

        async def holds(conditions: list[Code]) -> bool:
            for condition in conditions:
                if not await _value(condition, inner, fuel, read):
                    return False
            return True

        async def rounds(level: int, items: Any) -> None:
            target, _, conditions = loops[level]
            for item in iterate(items):
                fuel.spend()
                assign(target, item, inner)
                if not await holds(conditions):
                    continue
                if level + 1 < len(loops):
                    nested = await _value(loops[level + 1].items, inner, fuel, read)
                    await rounds(level + 1, nested)
                else:
                    values = [await _value(code, inner, fuel, read) for code in results]
                    add(fuel, out, *values)

        await rounds(0, items)
        return out

    codes = [code for loop in loops for code in (loop.items, *loop.conditions)]
    return Code(1 + first.items.cost, run, go if _reads(*codes, *results) else None)


def _build_loop(clause: Clause, depth: int) -> _Loop:
    conditions = [_charged(_build(condition, depth)) for condition in clause.conditions]
    return _Loop(clause.target, _build(clause.items, depth), conditions)


def _bound_names(target: Target) -> list[str]:
    if isinstance(target, Bind):
        return [target.name]
    return [name for inner in target.targets for name in _bound_names(inner)]
