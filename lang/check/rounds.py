"""The rounds of a `for` loop whose items are known, states among them."""

from __future__ import annotations

from typing import Any

from ...ir.evaluate import iterate
from ...ir.expressions import Bind, Call, Expression, Index, Name, Slice, Target
from .env import UNKNOWN, Env, GroupRef, Local, StateRef
from .expressions import Expressions
from .values import Known

MAX_ROUNDS = 64  # a loop of more is not followed round by round
Item = Local | tuple["Item", ...]


def rounds_of(node: Expression, env: Env, among: Expressions) -> list[Item] | None:
    """Return the items that a loop goes through, or None where a run decides them."""
    match node:
        case Call(function="enumerate", arguments=(items, *start)):
            inner = rounds_of(items, env, among)
            first = among.value(start[0], env) if start else Known((0,))
            if inner is None or first is None or not first.only:
                return None
            return [(_value(first.values[0] + i), item) for i, item in enumerate(inner)]
        case Call(function="zip", arguments=arguments) if arguments:
            rows = [rounds_of(items, env, among) for items in arguments]
            counts = [len(row) for row in rows if row is not None]
            has_states = any(among.ref(items, env) is not None for items in arguments)
            if not counts or (None in rows and not has_states):
                return None
            # What is not known is taken to be as long as the branches that it is given to.
            return [
                tuple(UNKNOWN if row is None else row[i] for row in rows)
                for i in range(min(counts))
            ]
        case Call(function="list" | "reversed" as function, arguments=(items,)):
            inner = rounds_of(items, env, among)
            return inner if inner is None or function == "list" else inner[::-1]
        case Name() | Index() | Slice():
            group = among.ref(node, env)
            if isinstance(group, GroupRef):
                if group.is_summary:
                    return None
                return [Local(ref=StateRef(state)) for state in group.states]
        case _:
            pass
    return _known_items(among.value(node, env))


def _known_items(known: Known | None) -> list[Item] | None:
    if known is None or not known.only:
        return None
    try:
        found = list(zip(range(MAX_ROUNDS + 1), iterate(known.values[0]), strict=False))
    except TypeError:  # the run ends there
        return None
    return [_value(item, is_choice=known.is_choice) for _, item in found]


def bind_item(target: Target, item: Item, env: Env) -> None:
    """Bind the names of a target to one item."""
    if isinstance(target, Bind):
        env.bind(target.name, _whole(item))
        return
    parts: tuple[Item, ...] | None = None
    if isinstance(item, tuple):
        parts = item
    elif item.value is not None and item.value.only:
        inner = _known_items(item.value)
        parts = None if inner is None else tuple(inner)
    if parts is None or len(parts) != len(target.targets):
        parts = (UNKNOWN,) * len(target.targets)
    for inner_target, part in zip(target.targets, parts, strict=True):
        bind_item(inner_target, part, env)


def _whole(item: Item) -> Local:
    if isinstance(item, Local):
        return item
    parts = [_whole(part) for part in item]
    if any(part.ref is not None for part in parts):
        return Local(ref=StateRef(None))
    values = [part.value for part in parts]
    if any(value is None or not value.only for value in values):
        return UNKNOWN
    return _value(tuple(value.values[0] for value in values if value is not None))


def _value(value: Any, *, is_choice: bool = False) -> Local:
    pieces = (value,) if isinstance(value, str) else UNKNOWN.pieces
    return Local(Known((value,), is_choice), pieces)
