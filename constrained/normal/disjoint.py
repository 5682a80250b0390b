"""Proofs that two core schemas have no value in common, or that one has none at all."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..keywords import is_a, same
from .complement import patterns_overlap
from .form import Core
from .names import takes_name

__all__ = ["are_disjoint", "types_of"]

Definitions = Mapping[str, Core]

ALL_TYPES = frozenset({"null", "boolean", "number", "string", "array", "object"})
MAX_DEPTH = 6


def are_disjoint(left: Core, right: Core, definitions: Definitions, depth: int = 0) -> bool:
    """Whether it is clear that no value satisfies both."""
    if left is False or right is False:
        return True
    if left is True or right is True or depth > MAX_DEPTH:
        return False
    if not types_of(left, definitions) & types_of(right, definitions):
        return True
    for first, second in ((left, right), (right, left)):
        if "$ref" in first:
            target = definitions.get(first["$ref"].rpartition("/")[2], True)
            if are_disjoint(target, second, definitions, depth + 1):
                return True
        if any(are_disjoint(p, second, definitions, depth + 1) for p in first.get("allOf", ())):
            return True
        if "anyOf" in first and all(
            are_disjoint(part, second, definitions, depth + 1) for part in first["anyOf"]
        ):
            return True
        if _values_excluded(first, second, definitions, depth):
            return True
    shared = types_of(left, definitions) & types_of(right, definitions)
    return all(_apart(type_, left, right, definitions, depth) for type_ in shared)


def types_of(core: Core, definitions: Definitions, depth: int = 0) -> frozenset[str]:
    """Return the types that a core schema's values may have; integers are numbers."""
    if isinstance(core, bool) or depth > MAX_DEPTH:
        return ALL_TYPES if core is not False else frozenset()
    found = ALL_TYPES
    if "type" in core:
        listed = core["type"] if isinstance(core["type"], list) else [core["type"]]
        found &= frozenset("number" if type_ == "integer" else type_ for type_ in listed)
    for value_list in _listed(core):
        found &= frozenset(type_ for type_ in ALL_TYPES if any(is_a(v, type_) for v in value_list))
    if "$ref" in core:
        target = definitions.get(core["$ref"].rpartition("/")[2], True)
        found &= types_of(target, definitions, depth + 1)
    for part in core.get("allOf", ()):
        found &= types_of(part, definitions, depth + 1)
    if "anyOf" in core:
        empty: frozenset[str] = frozenset()
        found &= empty.union(*(types_of(part, definitions, depth + 1) for part in core["anyOf"]))
    return found


def _listed(core: dict[str, Any]) -> list[list[Any]]:
    found: list[list[Any]] = [core["enum"]] if "enum" in core else []
    return [*found, [core["const"]]] if "const" in core else found


def _values_excluded(
    first: dict[str, Any], second: dict[str, Any], definitions: Definitions, depth: int
) -> bool:
    """Whether `first` lists its values and `second` has none of them."""
    for listed in _listed(first):
        if all(_excludes(second, value, definitions, depth) for value in listed):
            return True
    return False


def _excludes(core: Core, value: Any, definitions: Definitions, depth: int) -> bool:
    """Whether it is clear that a core schema does not take a value."""
    if isinstance(core, bool) or depth > MAX_DEPTH:
        return core is False
    if isinstance(value, str) and not takes_name(core, value, definitions):
        return True
    if not any(is_a(value, type_) for type_ in types_of(core, definitions)):
        return True
    if core.get("type") == "integer" and not is_a(value, "integer"):
        return True
    if any(not any(same(value, other) for other in listed) for listed in _listed(core)):
        return True
    if is_a(value, "number"):
        low, high = _interval(core)
        if value < low or value > high:
            return True
    if "$ref" in core:
        target = definitions.get(core["$ref"].rpartition("/")[2], True)
        if _excludes(target, value, definitions, depth + 1):
            return True
    if any(_excludes(part, value, definitions, depth + 1) for part in core.get("allOf", ())):
        return True
    return "anyOf" in core and all(
        _excludes(part, value, definitions, depth + 1) for part in core["anyOf"]
    )


def _apart(
    type_: str, left: dict[str, Any], right: dict[str, Any], definitions: Definitions, depth: int
) -> bool:
    """Whether it is clear that no value of a type satisfies both."""
    match type_:
        case "object":
            return _objects_apart(left, right, definitions, depth)
        case "array":
            return any(
                a.get("minItems", 0) > b.get("maxItems", math.inf)
                for a, b in ((left, right), (right, left))
            )
        case "number":
            low, high = _interval(left)
            other_low, other_high = _interval(right)
            return low > other_high or other_low > high
        case "string":
            if any(
                a.get("minLength", 0) > b.get("maxLength", math.inf)
                for a, b in ((left, right), (right, left))
            ):
                return True
            both = "pattern" in left and "pattern" in right
            return both and not patterns_overlap(left["pattern"], right["pattern"])
        case _:
            return False


def _interval(core: dict[str, Any]) -> tuple[float, float]:
    low = max(core.get("minimum", -math.inf), core.get("exclusiveMinimum", -math.inf))
    high = min(core.get("maximum", math.inf), core.get("exclusiveMaximum", math.inf))
    return low, high


def _objects_apart(
    left: dict[str, Any], right: dict[str, Any], definitions: Definitions, depth: int
) -> bool:
    """Whether a property that one requires is impossible, or another thing, in the other."""
    for first, second in ((left, right), (right, left)):
        for key in first.get("required", ()):
            mine = first.get("properties", {}).get(key, True)
            other = second.get("properties", {}).get(key)
            if other is None:
                other = (
                    True
                    if "patternProperties" in second
                    else second.get("additionalProperties", True)
                )
            if are_disjoint(mine, other, definitions, depth + 1) or other is False:
                return True
    return False
