"""The opposite of a schema, pushed down to its leaves.

Source: the canonical form and its negation in "Finding Data Compatibility Bugs with JSON Subschema
Checks" (Habib, Shinnar, Hirzel, Pradel, 2021), cut to what a core schema can say: where that cannot
say the opposite of a keyword, `Walk.check` is told, and more is written.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..keywords import TYPES, is_a, malformed
from ..references import Place
from . import alternatives
from .arrays import ARRAY, no_array
from .form import Among, Core, Walk, all_of, any_of, values
from .objects import DEPENDENCIES, OBJECT, no_dependencies, no_object
from .values import NUMBER, STRING, all_but, no_number, no_string

__all__ = ["negated"]


def negated(walk: Walk, place: Place, among: Among) -> Core:
    """Write what every value among some satisfies that breaks some keyword of a schema."""
    keywords = place.keywords
    options: list[Core] = []
    if "type" in keywords:
        options.append(_no_type(walk, place, keywords["type"], among))
    if (listed := values(place)) is not None:
        options.append(_no_values(walk, place, listed, among))
    if "string" in among.types and not STRING_SET.isdisjoint(keywords):
        options += no_string(walk, place)
    if "number" in among.types and not NUMBER_SET.isdisjoint(keywords):
        options += no_number(walk, place)
    if "array" in among.types and not ARRAY_SET.isdisjoint(keywords):
        options += no_array(walk, place)
    if "object" in among.types and not OBJECT_SET.isdisjoint(keywords):
        options += no_object(walk, place, among)
    if "object" in among.types and not DEPENDENCY_SET.isdisjoint(keywords):
        options += no_dependencies(walk, place, among)
    options += _no_combination(walk, place, among)
    return any_of(options)


def _no_combination(walk: Walk, place: Place, among: Among) -> list[Core]:
    options: list[Core] = []
    for keyword in place.keywords:
        match keyword:
            case "$ref" | "$recursiveRef" | "$dynamicRef":
                there = replace(among, held=frozenset())  # references may mean other things
                options.append(walk.named(place.target(keyword), there))
            case "not":
                options.append(walk.positive(place.child("not")))
            case "allOf":
                branches = alternatives.branches(place, keyword)
                options += [walk.negative(part, among) for part in branches]
            case "anyOf":
                branches = alternatives.branches(place, keyword)
                options.append(all_of([walk.negative(part, among) for part in branches]))
            case "oneOf":
                options.append(alternatives.not_one_of(walk, place, among))
            case "if":
                options.append(alternatives.not_conditional(walk, place, among))
            case _:
                pass
    return options


def _no_type(walk: Walk, place: Place, types: Any, among: Among) -> Core:
    allowed = types if isinstance(types, list) else [types]
    if not all(type_ in TYPES for type_ in allowed):
        raise malformed(f"{place.at}/type", "type", f"one or more of {', '.join(TYPES)}", types)
    others = [type_ for type_ in TYPES if type_ in among.types and type_ not in allowed]
    if "integer" in allowed and "number" in others:
        walk.check(
            place, "type", "numbers that are no integers are not enforced", "Name the other types."
        )
    return {"type": others} if others else False


def _no_values(walk: Walk, place: Place, listed: list[Any], among: Among) -> Core:
    listed = [value for value in listed if any(is_a(value, type_) for type_ in among.types)]
    scalars = [value for value in listed if not isinstance(value, dict | list)]
    rest = all_but(scalars)
    keyword = "const" if "const" in place.keywords else "enum"
    if rest is None:
        walk.check(place, keyword, "too many other strings")
        return True
    nested = [value for value in listed if isinstance(value, dict | list)]
    others = [walk.negative(place.of(_as_schema(value), keyword), among) for value in nested]
    return all_of([*rest, *others])


def _as_schema(value: Any) -> Any:
    """Return a schema for just one value, in keywords whose opposite can be written."""
    if isinstance(value, list):
        inner = [_as_schema(item) for item in value]
        size = {"minItems": len(value), "maxItems": len(value)}
        return {"type": "array", "items": inner, **size}
    if isinstance(value, dict):
        closed = {"required": list(value), "additionalProperties": False}
        inner_map = {key: _as_schema(item) for key, item in value.items()}
        return {"type": "object", "properties": inner_map, **closed}
    return {"const": value}


STRING_SET = frozenset(STRING)
NUMBER_SET = frozenset(NUMBER)
ARRAY_SET = frozenset(ARRAY)
OBJECT_SET = frozenset(OBJECT)
DEPENDENCY_SET = frozenset(DEPENDENCIES)
