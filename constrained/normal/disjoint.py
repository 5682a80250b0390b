"""Proofs that two core schemas have no value in common, or that one has none at all."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..keywords import is_a, same
from .complement import patterns_overlap
from .form import ALL_TYPES, Core
from .names import takes_name

__all__ = ["are_disjoint", "types_of"]

Definitions = Mapping[str, Core]

MAX_DEPTH = 4
MAX_STEPS = 2_000


def are_disjoint(
    left: Core, right: Core, definitions: Definitions, types: frozenset[str] = ALL_TYPES
) -> bool:
    """Whether it is clear, within `MAX_STEPS`, that no value of some types satisfies both."""
    return _Proof(definitions).disjoint(left, right, 0, types)


class _Proof:
    """One proof, which gives up where it takes too many steps."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self._steps = 0

    def disjoint(
        self, left: Core, right: Core, depth: int, types: frozenset[str] = ALL_TYPES
    ) -> bool:
        """Whether it is clear that no value of some types satisfies both."""
        self._steps += 1
        if left is False or right is False:
            return True
        if left is True or right is True or depth > MAX_DEPTH or self._steps > MAX_STEPS:
            return False
        shared = types & types_of(left, self._definitions) & types_of(right, self._definitions)
        if not shared:
            return True
        for first, second in ((left, right), (right, left)):
            if self._part_is(first, second, depth + 1, shared):
                return True
            if _values_excluded(first, second, self._definitions, depth):
                return True
        return all(self._apart(type_, left, right, depth) for type_ in shared)

    def _part_is(
        self, first: dict[str, Any], second: Core, depth: int, types: frozenset[str]
    ) -> bool:
        """Whether a conjunct of `first`, or every alternative of one, is disjoint from `second`."""
        if "$ref" in first:
            target = self._definitions.get(first["$ref"].rpartition("/")[2], True)
            if self.disjoint(target, second, depth, types):
                return True
        if any(self.disjoint(part, second, depth, types) for part in first.get("allOf", ())):
            return True
        return "anyOf" in first and all(
            self.disjoint(part, second, depth, types) for part in first["anyOf"]
        )

    def _apart(self, type_: str, left: dict[str, Any], right: dict[str, Any], depth: int) -> bool:
        """Whether it is clear that no value of a type satisfies both."""
        if type_ == "object":
            return self._objects_apart(left, right, depth)
        return _apart(type_, left, right)

    def _objects_apart(self, left: dict[str, Any], right: dict[str, Any], depth: int) -> bool:
        """Whether a property that one requires is impossible, or another thing, in the other."""
        for first, second in ((left, right), (right, left)):
            extra = second.get("additionalProperties", True)
            for key in first.get("required", ()):
                mine = first.get("properties", {}).get(key, True)
                other = second.get("properties", {}).get(
                    key, True if "patternProperties" in second else extra
                )
                if self.disjoint(mine, other, depth + 1):
                    return True
        return False


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
    if isinstance(value, int | float) and not isinstance(value, bool):
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


def _apart(type_: str, left: dict[str, Any], right: dict[str, Any]) -> bool:
    """Whether it is clear that no value of a type other than objects satisfies both."""
    match type_:
        case "array":
            return _counts_apart(left, right, "Items")
        case "number":
            low, high = _interval(left)
            other_low, other_high = _interval(right)
            return low > other_high or other_low > high
        case "string":
            if _counts_apart(left, right, "Length"):
                return True
            both = "pattern" in left and "pattern" in right
            return both and not patterns_overlap(left["pattern"], right["pattern"])
        case _:
            return False


def _counts_apart(left: dict[str, Any], right: dict[str, Any], what: str) -> bool:
    return any(
        first.get(f"min{what}", 0) > second.get(f"max{what}", math.inf)
        for first, second in ((left, right), (right, left))
    )


def _interval(core: dict[str, Any]) -> tuple[float, float]:
    low = max(core.get("minimum", -math.inf), core.get("exclusiveMinimum", -math.inf))
    high = min(core.get("maximum", math.inf), core.get("exclusiveMaximum", math.inf))
    return low, high
