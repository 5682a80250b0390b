"""Filling the holes of a statement with values that only a run knows.

The normal forms are those that `gen` and `select` give to constants: one stop string becomes a
tuple, a schema becomes JSON text. A value of the wrong kind is a `TypeError` that names the field.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from .nodes import Stmt
from .stop_patterns import check_stop_patterns


def as_text(value: Any) -> str:
    """Return a text that is to be appended; `ValueError` for None, `TypeError` for all else."""
    if value is None:
        raise ValueError("None cannot be appended to a program; did a function forget its return?")
    if not isinstance(value, str):
        raise TypeError(
            f"only text and expressions (gen, select, roles) can be appended to a program, "
            f"not {type(value).__name__}; write str(...) around a value"
        )
    return value


def _texts(value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    return (value,) if isinstance(value, str) else tuple(value)


def as_options(value: Any) -> tuple[str, ...]:
    """Return a select's options; `ValueError` where there is none, `TypeError` for no texts."""
    if not value or isinstance(value, str):
        raise ValueError(f"select needs a list of options, not {value!r}")
    strange = [choice for choice in value if not isinstance(choice, str)]
    if strange:
        raise TypeError(f"the options of a select are texts, not {strange[0]!r}; write str(...)")
    return tuple(value)


def _stop_patterns(value: Any) -> tuple[str, ...] | None:
    return None if value is None else check_stop_patterns(value)


def _regex(value: Any) -> Any:
    return None if value is None else re.compile(value).pattern


def as_schema(value: Any) -> str:
    """Return a JSON Schema as text, from a dict, a bool or text; `TypeError` for all else."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping | bool):
        import json  # 8 ms that most programs need not wait for

        return json.dumps(value, ensure_ascii=False)
    raise TypeError(
        f"json_schema must be a dict, JSON text or a pydantic model class, not {value!r}"
    )


def as_pin_name(value: Any) -> str:
    """Return the name of a pin; `TypeError` for what is no text, `ValueError` for a bad one."""
    if not isinstance(value, str):
        raise TypeError(f"the name of a pin is text, not {type(value).__name__}")
    if not value or value.startswith("~"):
        raise ValueError(f"a pin cannot be named {value!r}; give it a word that begins without ~")
    return value


def as_lifetime(value: Any) -> float | None:
    """Return the seconds that a pin lasts; `TypeError` or `ValueError` for what is no such time."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"ttl_s is a number of seconds or None, not {value!r}")
    if not 0 < value < float("inf"):
        raise ValueError(f"ttl_s is {value!r}; give it a positive number of seconds, or None")
    return float(value)


def _schema(value: Any) -> str | None:
    return None if value is None else as_schema(value)


NORMAL: dict[str, Callable[[Any], Any]] = {
    "text": as_text,
    "choices": as_options,
    "sampling.stop": _texts,
    "sampling.stop_regex": _stop_patterns,
    "regex": _regex,
    "json_schema": _schema,
    "structural_tag": _schema,
    "name": as_pin_name,
    "ttl_s": as_lifetime,
}


def fill(statement: Stmt, values: Mapping[str, Any]) -> Stmt:
    """Return the statement with its holes filled.

    Raises:
        TypeError: a value is of the wrong kind for its field.
        ValueError: a value can't stand there (None as text, no options for a select).
    """
    if not values:
        return statement
    raw = msgspec.to_builtins(statement)
    for path, value in values.items():
        outer, _, field = path.rpartition(".")
        at = raw.setdefault(outer, {}) if outer else raw
        at[field] = NORMAL.get(path, _same)(value)
    try:
        return msgspec.convert(raw, type(statement))
    except msgspec.ValidationError as error:
        raise TypeError(f"{type(statement).__name__.lower()}: {error}") from None


def _same(value: Any) -> Any:
    return value
