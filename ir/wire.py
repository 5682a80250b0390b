"""Values of programs as JSON, exactly.

JSON's own values are themselves. What it lacks is a dict with the key `$`: tuples, sets, dicts with
other keys, numbers that JSON can't hold, and handles: things that stay on the client's side.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

MARK = "$"
INT_RANGE = range(-(2**63), 2**63)


@dataclass(frozen=True, slots=True)
class Handle:
    """Something of the client's that a program passes on without looking into it."""

    number: int

    def __repr__(self) -> str:
        return f"<object {self.number} of the client's>"


Keep = Callable[[object], int]


def pack(value: Any, keep: Keep | None = None) -> Any:
    """Return a value as JSON values.

    Args:
        value: what to send.
        keep: keeps what can't be sent and returns its number.

    Raises:
        TypeError: a part can't be sent, and `keep` is None.
    """
    kind = cast("type[object]", type(value))
    if value is None or kind in (bool, str):
        return value
    if kind is int:
        return value if value in INT_RANGE else {MARK: "int", "text": str(value)}
    if kind is float:
        return value if math.isfinite(value) else {MARK: "float", "text": repr(value)}
    if kind is list:
        return [pack(item, keep) for item in value]
    if kind is tuple:
        return {MARK: "tuple", "items": [pack(item, keep) for item in value]}
    if kind is set:
        return {MARK: "set", "items": [pack(item, keep) for item in value]}
    if kind is dict:
        if all(type(key) is str and key != MARK for key in value):
            return {key: pack(item, keep) for key, item in value.items()}
        return {MARK: "dict", "items": [[pack(k, keep), pack(v, keep)] for k, v in value.items()]}
    if kind is Handle:
        return {MARK: "handle", "number": value.number}
    if keep is None:
        raise TypeError(f"a {kind.__name__} can't be sent; make it text, numbers, lists or dicts")
    return {MARK: "handle", "number": keep(value)}


def unpack(value: Any, find: Callable[[int], Any] = Handle) -> Any:
    """Return the value that `pack` made JSON of; `find` gives what a handle's number stands for.

    Raises:
        ValueError: nothing that `pack` makes.
    """
    kind = cast("type[object]", type(value))
    if kind is list:
        return [unpack(item, find) for item in value]
    if kind is not dict:
        return value
    fields: dict[str, Any] = value
    if MARK not in fields:
        return {key: unpack(item, find) for key, item in fields.items()}
    match fields:
        case {"$": "int", "text": str(text)}:
            return int(text)
        case {"$": "float", "text": str(text)}:
            return float(text)
        case {"$": "tuple", "items": [*items]}:
            return tuple(unpack(item, find) for item in items)
        case {"$": "set", "items": [*items]}:
            return {unpack(item, find) for item in items}
        case {"$": "dict", "items": [*items]}:
            return {unpack(key, find): unpack(item, find) for key, item in items}
        case {"$": "handle", "number": int(number)}:
            return find(number)
        case _:
            raise ValueError(f"{str(fields)[:80]} stands for no value")
