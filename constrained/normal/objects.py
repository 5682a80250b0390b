"""Keywords of objects."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..keywords import malformed
from ..references import Place
from ..regexes import plain_spaces, refused_construct
from .complement import patterns_overlap
from .evaluated import evaluated
from .form import Among, Core, Walk, all_of, any_of, count, texts
from .names import finite_names, names_pattern, takes_name

__all__ = ["DEPENDENCIES", "OBJECT", "dependencies", "no_dependencies", "no_object", "object_"]

OBJECT = (
    *("properties", "patternProperties", "additionalProperties", "required"),
    *("minProperties", "maxProperties", "propertyNames", "unevaluatedProperties"),
)
DEPENDENCIES = ("dependencies", "dependentRequired", "dependentSchemas")

MAX_OPTIONAL = 4  # properties of an open object, written out to count them
MAX_SUBSETS = 64  # of optional properties, written out to count them


def object_(walk: Walk, place: Place) -> Core:
    """Write what objects hold."""
    keywords = place.keywords
    properties = {key: walk.positive(inner) for key, inner in _declared(place).items()}
    result: dict[str, Any] = {}
    if properties:
        result["properties"] = properties
    if patterns := _patterns(walk, place):
        result["patternProperties"] = patterns
    if "additionalProperties" in keywords:
        result["additionalProperties"] = walk.positive(place.child("additionalProperties"))
    if required := _required(place):
        result["required"] = required
    if keywords.get("unevaluatedProperties", True) is not True:
        _unevaluated(walk, place, result)
    if "propertyNames" in keywords:
        _names(walk, place, result)
    return all_of([result, *_counted(walk, place, result)])


def properties_held(place: Place) -> frozenset[tuple[str, str]]:
    """Return `Among.held` for the objects of a schema, met by its siblings in one list."""
    if not isinstance(place.schema, Mapping) or "$id" in place.schema or "id" in place.schema:
        return frozenset()
    properties = place.keywords.get("properties")
    if not isinstance(properties, Mapping):
        return frozenset()
    return frozenset((key, json.dumps(inner)) for key, inner in properties.items())


def no_object(walk: Walk, place: Place, among: Among) -> list[Core]:
    """Write, for each keyword, the objects among some that break it."""
    keywords, names = place.keywords, among.names
    options: list[Core] = [{"properties": {key: False}} for key in _required(place)]
    for key, inner in _declared(place).items():
        if names is not None and key not in names:
            continue
        if among.held and (key, json.dumps(inner.schema)) in among.held:
            continue
        wrong = walk.negative(inner)
        if wrong is not False:
            options.append({"properties": {key: wrong}, "required": [key]})
    options += _no_patterns(walk, place, names)
    if keywords.get("additionalProperties", True) is not True:
        options.append(_no_additional(walk, place, names))
    if low := count(place, "minProperties"):
        options.append({"maxProperties": low - 1})
    if (high := count(place, "maxProperties")) is not None:
        if high:
            walk.check(
                place, "maxProperties", "a key may be written twice, so more are not counted"
            )
        options.append({"minProperties": 1})
    if "propertyNames" in keywords:
        options.append(_no_names(walk, place))
    if keywords.get("unevaluatedProperties", True) is not True:
        walk.check(place, "unevaluatedProperties", "its opposite is not enforced")
        options.append(True)
    return [all_of([{"type": "object"}, option]) for option in options]


def dependencies(walk: Walk, place: Place) -> list[Core]:
    """Write what the presence of a key asks for, as two cases each."""
    parts: list[Core] = []
    required = _required(place)
    for key, then in _dependencies(walk, place, None):
        if key in required:
            parts.append(then)
        else:
            parts.append(any_of([_without(key), all_of([{"required": [key]}, then])]))
    return parts


def no_dependencies(walk: Walk, place: Place, among: Among) -> list[Core]:
    """Write, for each key, the objects among some that have it and not what it asks for."""
    return [
        all_of([{"type": "object", "required": [key]}, wrong])
        for key, wrong in _dependencies(walk, place, among)
        if among.names is None or key in among.names
    ]


def _dependencies(walk: Walk, place: Place, among: Among | None) -> list[tuple[str, Core]]:
    """Return what each key asks for; or with `among`, what it does not."""
    found: list[tuple[str, Core]] = []
    for keyword in DEPENDENCIES:
        for key, value in _map(place, keyword).items():
            if isinstance(value, list) and keyword != "dependentSchemas":
                names = [name for name in texts(place, keyword, value) if name != key]
                if among is None:
                    found += [(key, {"required": names})] if names else []
                else:
                    found.append((key, any_of([_without(name) for name in names])))
            else:
                inner = place.child(keyword, key)
                found.append(
                    (key, walk.positive(inner) if among is None else walk.negative(inner, among))
                )
    return found


def _without(key: str) -> Core:
    """Return every value but the objects with a key."""
    return {"properties": {key: False}}


def _map(place: Place, keyword: str) -> Mapping[str, Any]:
    value = place.keywords.get(keyword, {})
    if not isinstance(value, Mapping):
        raise malformed(f"{place.at}/{keyword}", keyword, "an object", value)
    return value


def _declared(place: Place) -> dict[str, Place]:
    return {key: place.child("properties", key) for key in _map(place, "properties")}


def _required(place: Place) -> list[str]:
    return list(dict.fromkeys(texts(place, "required", place.keywords.get("required", []))))


def _patterns(walk: Walk, place: Place) -> dict[str, Core]:
    """Write patternProperties with patterns that overlap made one, to take what either takes."""
    found: dict[str, Core] = {}
    for pattern in _map(place, "patternProperties"):
        if construct := refused_construct(pattern):
            walk.check(place, "patternProperties", f"{construct} is no regular language")
            continue
        core = walk.positive(place.child("patternProperties", pattern))
        pattern = plain_spaces(pattern)
        for other in list(found):
            if not patterns_overlap(pattern, other):
                continue
            if found[other] != core:
                walk.check(
                    place,
                    "patternProperties",
                    f"a key may match both {other!r} and {pattern!r}",
                    "Make the patterns exclude each other.",
                )
            core = any_of([core, found.pop(other)])
            pattern = f"(?:{other})|(?:{pattern})"
        found[pattern] = core
    return found


def _unevaluated(walk: Walk, place: Place, result: dict[str, Any]) -> None:
    """Turn unevaluatedProperties into additionalProperties where the others are known."""
    known = evaluated(place)
    if known is None:
        walk.check(
            place,
            "unevaluatedProperties",
            "which properties are evaluated depends on the value",
            "Use additionalProperties beside properties.",
        )
    elif not known.is_all:
        names = dict.fromkeys(known.names, True)
        patterns = dict.fromkeys(known.patterns, True)
        result["properties"] = {**names, **result.get("properties", {})}
        if patterns:
            result["patternProperties"] = {**patterns, **result.get("patternProperties", {})}
        result["additionalProperties"] = walk.positive(place.child("unevaluatedProperties"))


def _names(walk: Walk, place: Place, result: dict[str, Any]) -> None:
    """Turn propertyNames into a pattern of the keys that are not declared."""
    core = walk.positive(place.child("propertyNames"))
    if core is True:
        return
    properties: dict[str, Core] = result.get("properties", {})
    for key in {**properties, **dict.fromkeys(result.get("required", ()))}:
        if not takes_name(core, key, walk.definitions):
            properties[key] = False
    if properties:
        result["properties"] = properties
    if result.get("additionalProperties") is False and "patternProperties" not in result:
        return
    if (listed := finite_names(core, walk.definitions)) is not None:
        if "patternProperties" not in result:
            rest = result.pop("additionalProperties", True)
            result["properties"] = properties | {k: rest for k in listed if k not in properties}
            result["additionalProperties"] = False
            return
    elif "patternProperties" not in result:
        pattern = names_pattern(core, walk.definitions)
        if pattern is not None:
            result["patternProperties"] = {pattern: result.pop("additionalProperties", True)}
            result["additionalProperties"] = False
            return
    walk.check(
        place,
        "propertyNames",
        "it is enforced as one pattern, without patternProperties beside it",
        "Write the names as one pattern under patternProperties.",
    )


def _counted(walk: Walk, place: Place, result: dict[str, Any]) -> list[Core]:
    """Write minProperties and maxProperties, by cases where the back end cannot count."""
    low, high = count(place, "minProperties") or 0, count(place, "maxProperties")
    required = result.get("required", [])
    allowed = [key for key, core in result.get("properties", {}).items() if core is not False]
    optional = [key for key in allowed if key not in required]
    is_closed = result.get("additionalProperties") is False and not result.get("patternProperties")
    low = 0 if low <= len(required) else low
    if is_closed and high is not None and high >= len(required) + len(optional):
        high = None
    parts: list[Core] = []
    if high is not None and (high == 0 or not optional):
        result["maxProperties"] = high
    elif high is not None:
        parts.append(_at_most(walk, place, optional, high - len(required), is_closed=is_closed))
    if low == 1 or (low and is_closed and not optional):
        result["minProperties"] = low
    elif low and is_closed and math.comb(len(optional), low - len(required)) <= MAX_SUBSETS:
        cases = itertools.combinations(optional, low - len(required))
        parts.append(any_of([{"required": list(case)} for case in cases]))
    elif low:
        walk.check(
            place,
            "minProperties",
            "a key may be written twice, and is counted twice then",
            "Set additionalProperties to false and name the keys in properties.",
        )
    return [part if part in (True, False) else _for_objects(part) for part in parts]


def _at_most(walk: Walk, place: Place, optional: list[str], left: int, *, is_closed: bool) -> Core:
    """Write at most `left` of the optional properties and, in an open object, others."""
    if is_closed and left >= 0 and math.comb(len(optional), left) <= MAX_SUBSETS:
        cases = itertools.combinations(optional, len(optional) - left)
        return any_of([{"properties": dict.fromkeys(case, False)} for case in cases])
    if not is_closed and len(optional) <= MAX_OPTIONAL:
        present = [
            case
            for size in range(min(left, len(optional)) + 1)
            for case in itertools.combinations(optional, size)
        ]
        most = count(place, "maxProperties")
        return any_of([_having(case, optional, {"maxProperties": most}) for case in present])
    walk.check(
        place,
        "maxProperties",
        "optional properties are counted only in a closed object with few of them",
        "Make the properties required, or set additionalProperties to false.",
    )
    return True


def _having(case: Sequence[str], optional: Sequence[str], bounds: dict[str, Any]) -> Core:
    """Return the objects that have just these of the optional properties."""
    absent = {key: False for key in optional if key not in case}
    return {"properties": absent, "required": list(case), **bounds}


def _for_objects(core: Core) -> Core:
    return any_of([{"type": ["null", "boolean", "number", "string", "array"]}, core])


def _no_patterns(walk: Walk, place: Place, names: frozenset[str] | None) -> list[Core]:
    """Write objects with a key that matches and a value that breaks its schema."""
    options: list[Core] = []
    for pattern in _map(place, "patternProperties"):
        inner = place.child("patternProperties", pattern)
        wrong = walk.negative(inner)
        if wrong is False:
            continue
        listed = None if names is None else _matching(pattern, names)
        if listed is None:
            listed = finite_names({"pattern": pattern}, walk.definitions)
        if listed is None:
            walk.check(inner, "", "objects with some key that breaks it are not enforced")
            options.append({"minProperties": 1})
        else:
            options += [{"properties": {key: wrong}, "required": [key]} for key in listed]
    return options


def _matching(pattern: str, names: frozenset[str]) -> list[str] | None:
    """Return those of some names that match a pattern; None where only ECMA-262 can tell."""
    try:
        compiled = re.compile(plain_spaces(pattern), re.ASCII)
    except re.error:
        return None
    return [name for name in sorted(names) if compiled.search(name)]


def _no_additional(walk: Walk, place: Place, names: frozenset[str] | None) -> Core:
    """Write objects with an undeclared key whose value breaks additionalProperties."""
    wrong = walk.negative(place.child("additionalProperties"))
    if wrong is False:
        return False
    rest = None if names is None else names - _declared(place).keys()
    for pattern in _map(place, "patternProperties"):
        matching = None if rest is None else _matching(pattern, rest)
        rest = None if rest is None or matching is None else rest - set(matching)
    if rest is not None:
        return any_of([{"properties": {key: wrong}, "required": [key]} for key in sorted(rest)])
    if wrong is not True or _declared(place) or _map(place, "patternProperties"):
        walk.check(
            place,
            "additionalProperties",
            "objects with some undeclared key that breaks it are not enforced",
        )
    return {"minProperties": 1}


def _no_names(walk: Walk, place: Place) -> Core:
    """Write objects with a key that propertyNames forbids."""
    inner = place.child("propertyNames")
    wrong = walk.negative(inner)
    listed = finite_names(wrong, walk.definitions)
    if listed is not None:
        return any_of([{"required": [key]} for key in listed])
    if wrong is not True:
        walk.check(inner, "", "objects with some key that breaks it are not enforced")
    return {"minProperties": 1}
