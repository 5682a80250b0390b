"""The opposite of a schema, pushed down to its leaves.

Source: the canonical form and its negation in "Finding Data Compatibility Bugs with JSON Subschema
Checks" (Habib, Shinnar, Hirzel, Pradel, 2021), cut to what a core schema can say: where that cannot
say the opposite of a keyword, `Walk.check` is told, and more is written.
"""

from __future__ import annotations

from typing import Any

from ..keywords import TYPES, malformed
from ..references import Place
from . import alternatives
from .arrays import ARRAY, no_array
from .form import Core, Walk, all_of, any_of, values
from .objects import DEPENDENCIES, OBJECT, no_dependencies, no_object
from .values import NUMBER, STRING, all_but, no_number, no_string

__all__ = ["negated"]


def negated(walk: Walk, place: Place) -> Core:
    """Write what every value satisfies that breaks some keyword of a schema."""
    keywords = place.keywords
    options: list[Core] = []
    if "type" in keywords:
        options.append(_no_type(walk, place, keywords["type"]))
    if (listed := values(place)) is not None:
        options.append(_no_values(walk, place, listed))
    if not STRING_SET.isdisjoint(keywords):
        options += no_string(walk, place)
    if not NUMBER_SET.isdisjoint(keywords):
        options += no_number(walk, place)
    if not ARRAY_SET.isdisjoint(keywords):
        options += no_array(walk, place)
    if not OBJECT_SET.isdisjoint(keywords):
        options += no_object(walk, place)
    if not DEPENDENCY_SET.isdisjoint(keywords):
        options += no_dependencies(walk, place)
    options += _no_combination(walk, place)
    return any_of(options)


def _no_combination(walk: Walk, place: Place) -> list[Core]:
    options: list[Core] = []
    for keyword in place.keywords:
        match keyword:
            case "$ref" | "$recursiveRef" | "$dynamicRef":
                options.append(walk.named(place.target(keyword), is_positive=False))
            case "not":
                options.append(walk.positive(place.child("not")))
            case "allOf":
                options += [walk.negative(part) for part in alternatives.branches(place, keyword)]
            case "anyOf":
                parts = [walk.negative(part) for part in alternatives.branches(place, keyword)]
                options.append(all_of(parts))
            case "oneOf":
                options.append(alternatives.not_one_of(walk, place))
            case "if":
                options.append(alternatives.not_conditional(walk, place))
            case _:
                pass
    return options


def _no_type(walk: Walk, place: Place, types: Any) -> Core:
    allowed = types if isinstance(types, list) else [types]
    if not all(type_ in TYPES for type_ in allowed):
        raise malformed(f"{place.at}/type", "type", f"one or more of {', '.join(TYPES)}", types)
    others = [type_ for type_ in TYPES if type_ not in (*allowed, "integer")]
    if "integer" in allowed and "number" not in allowed:
        walk.check(
            place, "type", "numbers that are no integers are not enforced", "Name the other types."
        )
    return {"type": others} if others else False


def _no_values(walk: Walk, place: Place, listed: list[Any]) -> Core:
    scalars = [value for value in listed if not isinstance(value, dict | list)]
    rest = all_but(scalars)
    keyword = "const" if "const" in place.keywords else "enum"
    if rest is None:
        walk.check(place, keyword, "too many other strings")
        return True
    nested = [value for value in listed if isinstance(value, dict | list)]
    others = [walk.negative(place.of(_as_schema(value), keyword)) for value in nested]
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
