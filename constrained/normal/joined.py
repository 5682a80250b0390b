"""Conjunctions of core schemas written as one schema, where that says exactly the same.

The walk over a schema leaves many `allOf` whose parts hardly touch: a type here, its keywords
there. Written as one they are what every back end and the completion's analysis can read. What
cannot be joined exactly stays a conjunction: keywords that speak of each other (`properties` and
`additionalProperties`) in two parts, two patterns, references.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..keywords import is_a
from .form import Core, all_of, any_of

__all__ = ["both_of", "common_types", "joined"]

APART = frozenset({"$ref", "allOf"})
VALUES = frozenset({"enum", "const"})
KEYS, ITEMS = {"patternProperties", "additionalProperties"}, {"prefixItems", "items"}

JOIN: dict[str, Callable[[Any, Any], Any]] = {
    "required": lambda ours, theirs: [*ours, *(name for name in theirs if name not in ours)],
    **dict.fromkeys(("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"), max),
    **dict.fromkeys(("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"), min),
}


def joined(core: Core) -> Core:
    """Return a core schema that takes the same values, with fewer conjunctions in it."""
    if isinstance(core, bool):
        return core
    result: dict[str, Any] = dict(core)
    for keyword in ("properties", "patternProperties", "$defs"):
        if keyword in result:
            result[keyword] = {name: joined(inner) for name, inner in result[keyword].items()}
    for keyword in ("items", "additionalProperties"):
        if keyword in result:
            result[keyword] = joined(result[keyword])
    for keyword in ("prefixItems", "anyOf", "allOf"):
        if keyword in result:
            result[keyword] = [joined(inner) for inner in result[keyword]]
    if "allOf" not in result:
        return result
    definitions = {"$defs": result.pop("$defs")} if "$defs" in result else {}
    parts: list[Core] = []
    for new in [*result.pop("allOf"), *([result] if result else [])]:
        for index, part in enumerate(parts):
            if (both := both_of(part, new)) is not None:
                parts[index] = both
                break
        else:
            parts.append(new)
    whole = all_of(parts)
    return {**definitions, **whole} if isinstance(whole, dict) else whole


def common_types(ours: Any, theirs: Any) -> list[str]:
    """Return the types that two values of `type` share; an integer is a number."""
    left = ours if isinstance(ours, list) else [ours]
    right = theirs if isinstance(theirs, list) else [theirs]
    common = [one for one in left if one in right]
    if ("integer" in left and "number" in right) or ("number" in left and "integer" in right):
        common.append("integer")
    return list(dict.fromkeys(common))


def both_of(left: Core, right: Core) -> Core | None:
    """Return one schema for what satisfies two; None where none says exactly that."""
    if isinstance(left, bool) or isinstance(right, bool):
        return all_of([left, right])
    for ours, theirs in ((left, right), (right, left)):
        if ours.keys() == {"type"}:
            return _typed(ours["type"], theirs)
    if (left.keys() | right.keys()) & (APART | VALUES | {"anyOf"}):
        return None
    if left.keys() & KEYS and right.keys() & (KEYS | {"properties"}):
        return None
    if right.keys() & KEYS and "properties" in left:
        return None
    if left.keys() & ITEMS and right.keys() & ITEMS:
        return None
    result = {**left, **right}
    for keyword in left.keys() & right.keys():
        ours, theirs = left[keyword], right[keyword]
        if keyword in JOIN:
            result[keyword] = JOIN[keyword](ours, theirs)
        elif keyword == "type":
            if not (types := common_types(ours, theirs)):
                return False
            result["type"] = types[0] if len(types) == 1 else types
        elif keyword == "properties":
            result[keyword] = {**ours, **theirs, **_each(ours, theirs)}
        elif ours != theirs:
            return None
    return result


def _each(ours: dict[str, Core], theirs: dict[str, Core]) -> dict[str, Core]:
    return {name: joined({"allOf": [ours[name], theirs[name]]}) for name in ours if name in theirs}


def _typed(types: Any, core: dict[str, Any]) -> Core | None:
    """Return a schema for the values of some types that satisfy another."""
    if core.keys() & APART:
        return None
    if "anyOf" in core:
        if len(core) > 1:
            return None
        options = [both_of({"type": types}, option) for option in core["anyOf"]]
        known = [option for option in options if option is not None]
        return any_of(known) if len(known) == len(options) else None
    if core.keys() & VALUES:
        if len(core) > 1:
            return None
        allowed = types if isinstance(types, list) else [types]
        listed = core["enum"] if "enum" in core else [core["const"]]
        kept = [value for value in listed if any(is_a(value, type_) for type_ in allowed)]
        return {"enum": kept} if kept else False
    common = common_types(types, core.get("type", types))
    if not common:
        return False
    return {**core, "type": common[0] if len(common) == 1 else common}
