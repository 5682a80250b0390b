"""What an expression may be, as far as that is known without a run.

A value is a few possibilities or nothing at all. They are computed by the evaluator that runs
programs, once for each combination of what the names and reads in an expression may be.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import msgspec

from ...ir.evaluate import Fuel, Limits, evaluate
from ...ir.expressions import Comprehension, Expression, Method, Name, Read
from ...ir.program import Assign, Block, For, Program, Store
from ...ir.scopes import bodies, names_of
from ..compiler.ownership import MUTATORS

MAX_POSSIBLE = 16  # values of one expression
MAX_COMBINATIONS = 64
STEPS = 20_000  # of fuel for one evaluation


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """The values that something may have, at least one.

    Attributes:
        values: each once, in order of appearance; never changed in place.
        is_choice: whether they come from the options of a select.
    """

    values: tuple[Any, ...]
    is_choice: bool = False

    @property
    def only(self) -> bool:
        """Whether there is one value."""
        return len(self.values) == 1


Value = Known | None
Leaf = Callable[[Expression], Value]


def possible(values: list[Any], *, is_choice: bool = False) -> Value:
    """Return the possibilities, each once; None if they are too many to follow."""
    found: list[Any] = []
    for value in values:
        if not any(same(value, other) for other in found):
            found.append(value)
    if not found or len(found) > MAX_POSSIBLE:
        return None
    return Known(tuple(found), is_choice)


def same(a: Any, b: Any) -> bool:
    """Whether two values cannot be told apart; 1 and True can."""
    return type(a) is type(b) and repr(a) == repr(b)


def either(*values: Value) -> Value:
    """What is possible where several ways meet."""
    found: list[Any] = []
    for value in values:
        if value is None:
            return None
        found.extend(value.values)
    return possible(found, is_choice=all(v.is_choice for v in values if v is not None))


def key_of(node: Expression) -> bytes:
    """A name for an expression: equal for equal ones."""
    return msgspec.json.encode(node)


def compute(node: Expression, leaf: Leaf) -> Value:
    """Return what `node` may be, given what its free names and its reads may be.

    A combination that raises is left out: the run would end there.
    """
    if any(isinstance(inner, Method) and inner.name in MUTATORS for inner in inside(node)):
        return None
    leaves: dict[bytes, Known] = {}
    names: dict[bytes, str] = {}
    for found in free(node):
        key = key_of(found)
        if key in leaves:
            continue
        value = leaf(found)
        if value is None:
            return None
        leaves[key] = value
        if isinstance(found, Name):
            names[key] = found.name
    combinations = 1
    for value in leaves.values():
        combinations *= len(value.values)
    if combinations > MAX_COMBINATIONS:
        return None
    results: list[Any] = []
    for chosen in itertools.product(*(value.values for value in leaves.values())):
        given = dict(zip(leaves, chosen, strict=True))
        try:
            results.append(_run(node, given, names))
        except Exception:  # whatever it is, a run would end here
            continue
    return possible(results, is_choice=any(value.is_choice for value in leaves.values()))


def _run(node: Expression, given: dict[bytes, Any], names: dict[bytes, str]) -> Any:
    async def read(state: Any, read: Read, name: str | None) -> Any:
        return given[key_of(read)]

    known = {name: given[key] for key, name in names.items()}
    for inner in inside(node):  # the states that are read, which nothing looks into
        if isinstance(inner, Read):
            known.update({n.name: None for n in inside(inner.state) if isinstance(n, Name)})
    running = evaluate(node, known, read, Fuel(Limits(steps=STEPS)))
    try:
        running.send(None)
    except StopIteration as ended:
        return ended.value
    raise AssertionError("an evaluation without a state has waited")


def inside(value: Any) -> Iterator[Any]:
    """Every node in a value, itself first."""
    if isinstance(value, msgspec.Struct):
        yield value
        for name in value.__struct_fields__:
            yield from inside(getattr(value, name))
    elif isinstance(value, tuple):
        for item in cast("tuple[object, ...]", value):
            yield from inside(item)
    elif isinstance(value, dict):
        for item in cast("dict[str, object]", value).values():
            yield from inside(item)


def free(value: Any, bound: frozenset[str] = frozenset()) -> Iterator[Name | Read]:
    """The names and reads of an expression that comprehensions in it do not bind."""
    match value:
        case Read():
            yield value
        case Name(name=name):
            if name not in bound:
                yield value
        case Comprehension(clauses=clauses):
            yield from free(clauses[0].items, bound)
            names = {name for clause in clauses for name in names_of(clause.target)}
            inner = bound | names
            yield from free(tuple(c.items for c in clauses[1:]), inner)
            yield from free(tuple(c.conditions for c in clauses), inner)
            yield from free((value.item, value.key), inner)
        case msgspec.Struct():
            for name in value.__struct_fields__:
                yield from free(getattr(value, name), bound)
        case tuple():
            for item in cast("tuple[object, ...]", value):
                yield from free(item, bound)
        case dict():
            for item in cast("dict[str, object]", value).values():
                yield from free(item, bound)
        case _:
            pass


def changed_names(program: Program) -> frozenset[str]:
    """The local names whose values may be changed in place, directly or under another name."""
    changed: set[str] = set()
    links: list[tuple[set[str], set[str]]] = []
    for step in all_steps(program.body):
        if isinstance(step, Store):
            changed |= _names(step.container)
        for node in inside(step):
            if isinstance(node, Method) and node.name in MUTATORS:
                changed |= _names(node.value)
        if isinstance(step, Assign):
            links.append((set(names_of(step.target)), _names(step.value)))
        elif isinstance(step, For):
            links.append((set(names_of(step.target)), _names(step.items)))
    before = -1
    while before != len(changed):
        before = len(changed)
        for targets, sources in links:
            if targets & changed or sources & changed:
                changed |= targets | sources
    return frozenset(changed)


def _names(value: Any) -> set[str]:
    return {node.name for node in free(value) if isinstance(node, Name)}


def all_steps(body: tuple[Block, ...]) -> Iterator[Block]:
    """Every statement of a body, outer ones first."""
    for step in body:
        yield step
        yield from all_steps(bodies(step))
