"""JSON values as JSON Schema sees them: types, equality, pointers; and words for what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .errors import MalformedError

__all__ = ["KIND", "TYPES", "escape", "is_a", "malformed", "same"]

KIND = "json_schema"
TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")


def is_a(value: Any, type_: str) -> bool:
    """Say whether a value has a type; 1.0 is an integer."""
    match type_:
        case "null":
            return value is None
        case "boolean":
            return isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "integer":
            return is_a(value, "number") and value == int(value)
        case "string":
            return isinstance(value, str)
        case "array":
            return isinstance(value, list)
        case _:
            return isinstance(value, Mapping)


def same(left: Any, right: Any) -> bool:
    """JSON equality: true is not 1, and 1.0 is."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return bool(left == right)


def escape(key: str) -> str:
    """Write a key as a step of a JSON pointer."""
    return key.replace("~", "~0").replace("/", "~1")


def malformed(at: str, keyword: str, allowed: str, value: Any) -> MalformedError:
    """Make the error for a keyword whose value JSON Schema does not allow."""
    return MalformedError(f"{keyword} is {allowed}, not {value!r:.80}", kind=KIND, pointer=at)
