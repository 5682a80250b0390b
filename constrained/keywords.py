"""What each keyword of JSON Schema is to this room, and how its value is read.

These functions decide; `schema.py` writes grammar. Each takes a schema and `at`, its JSON
pointer, for the message.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from .errors import LimitError, MalformedError, UnsatisfiableError, UnsupportedError
from .numbers import Bound
from .pattern import MAX_REPEAT

KIND = "json_schema"

Schema = Mapping[str, Any] | bool

# Keywords that say nothing about validity, and the two that only hold definitions.
ANNOTATIONS = frozenset(
    (
        *("title", "description", "default", "examples", "example", "deprecated"),
        *("readOnly", "writeOnly", "discriminator", "$schema", "$id", "$comment", "$vocabulary"),
        *("$defs", "definitions", "contentEncoding", "contentMediaType", "contentSchema"),
    )
)
KEYWORDS_OF = {
    "string": frozenset({"minLength", "maxLength", "pattern", "format"}),
    "number": frozenset(
        {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
    ),
    "array": frozenset(
        {"items", "prefixItems", "additionalItems", "minItems", "maxItems", "uniqueItems"}
    ),
    "object": frozenset(
        {
            "properties",
            "required",
            "additionalProperties",
            "minProperties",
            "maxProperties",
            "patternProperties",
            "propertyNames",
        }
    ),
}
COMBINATORS = ("$ref", "const", "enum", "anyOf", "oneOf", "allOf")
TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")

# keyword: the nearest supported rewrite
REFUSED = {
    "not": "List what is allowed with enum or anyOf.",
    "if": "Write the cases as anyOf, each with its const.",
    "then": "Write the cases as anyOf, each with its const.",
    "else": "Write the cases as anyOf, each with its const.",
    "contains": "Put the wanted item first with prefixItems.",
    "minContains": "Put the wanted items first with prefixItems.",
    "maxContains": "Bound the array with maxItems.",
    "dependentRequired": "Write the cases as anyOf, each with its required.",
    "dependentSchemas": "Write the cases as anyOf.",
    "dependencies": "Write the cases as anyOf.",
    "unevaluatedProperties": "Use additionalProperties beside properties.",
    "unevaluatedItems": "Use items beside prefixItems.",
    "$dynamicRef": "Use $ref.",
    "$dynamicAnchor": "Use $ref with a JSON pointer.",
    "$recursiveRef": "Use $ref.",
    "$recursiveAnchor": "Use $ref with a JSON pointer.",
    "$anchor": "Use $ref with a JSON pointer.",
    "nullable": 'Use "type": [..., "null"].',
}


def refuse_unknown(schema: Mapping[str, Any], at: str) -> None:
    """Refuse a schema that has a keyword which would be dropped."""
    known = ANNOTATIONS.union(COMBINATORS, ("type",), *KEYWORDS_OF.values())
    for keyword in schema:
        pointer = f"{at}/{escape(keyword)}"
        if keyword == "$id" and at:
            raise UnsupportedError(
                "$id inside a schema moves what $ref means",
                kind=KIND,
                pointer=pointer,
                hint="Remove it.",
            )
        if keyword in known or keyword.startswith("x-"):
            continue
        if keyword in REFUSED:
            raise UnsupportedError(
                f"{keyword} is not enforced", kind=KIND, pointer=pointer, hint=REFUSED[keyword]
            )
        close = difflib.get_close_matches(keyword, known, 1)
        raise UnsupportedError(
            f"{keyword!r} is not a keyword that is known",
            kind=KIND,
            pointer=pointer,
            hint=f"Did you mean {close[0]}?" if close else "Remove it, or call it x-...",
        )


def types_of(schema: Mapping[str, Any], at: str) -> list[str] | None:
    """Return the types that a schema allows; None where it says nothing about them."""
    if "type" not in schema:
        return [type_ for type_, words in KEYWORDS_OF.items() if words & schema.keys()] or None
    types = schema["type"]
    types = types if isinstance(types, list) else [types]
    if not types or not all(type_ in TYPES for type_ in types):
        raise malformed(f"{at}/type", "type", f"one or more of {', '.join(TYPES)}", schema["type"])
    return [
        type_ for type_ in dict.fromkeys(types) if not (type_ == "integer" and "number" in types)
    ]


def items_of(schema: Mapping[str, Any], at: str) -> tuple[list[Any], Any, str]:
    """Return the schemas of the first items, of the rest, and the keyword of the former."""
    items = schema.get("items", True)
    if isinstance(items, list):  # draft 7
        return items, schema.get("additionalItems", True), "items"
    prefix = schema.get("prefixItems", [])
    if not isinstance(prefix, list):
        raise malformed(f"{at}/prefixItems", "prefixItems", "a list of schemas", prefix)
    return prefix, items, "prefixItems"


def key_schema(names: Any, at: str) -> Any:
    """Return the schema of a key: it is a string whether or not that is said."""
    if isinstance(names, Mapping) and not set(names) & {*COMBINATORS, "type"}:
        return {"type": "string", **names}
    if isinstance(names, Mapping) and (
        names.get("type") == "string" or set(names) & {"enum", "const"}
    ):
        return {"type": "string", **names}
    raise UnsupportedError(
        "propertyNames is enforced for a schema of strings",
        kind=KIND,
        pointer=at,
        hint='Give it "type": "string", or an enum.',
    )


def count_bounds(schema: Mapping[str, Any], at: str, low: str, high: str) -> tuple[int, int | None]:
    """Return the least and the most of a counted pair such as minItems and maxItems."""
    found: list[int | None] = []
    for keyword in (low, high):
        value = schema.get(keyword)
        if value is not None:
            is_count = isinstance(value, int | float) and not isinstance(value, bool)
            if not is_count or value != int(value) or value < 0:
                raise malformed(f"{at}/{keyword}", keyword, "a whole number from 0", value)
            if value > MAX_REPEAT:
                raise LimitError(
                    f"{keyword} is {value}; at most {MAX_REPEAT:,} is compiled",
                    kind=KIND,
                    pointer=f"{at}/{keyword}",
                )
            value = int(value)
        found.append(value)
    least, most = found[0] or 0, found[1]
    if most is not None and least > most:
        raise UnsatisfiableError(f"{low} {least} is above {high} {most}", kind=KIND, pointer=at)
    return least, most


def number_bound(
    schema: Mapping[str, Any],
    at: str,
    closed: str,
    opened: str,
    pick: Callable[[Decimal, Decimal], Decimal],
) -> Bound | None:
    """Return the tighter of an inclusive and an exclusive bound."""
    bound: Bound | None = None
    for keyword, is_open in ((opened, True), (closed, False)):
        if keyword in schema:
            value = number_value(schema[keyword], f"{at}/{keyword}")
            if bound is None or pick(value, bound.value) != bound.value:
                bound = Bound(value, is_open)
    return bound


def number_value(value: Any, at: str) -> Decimal:
    """Return a keyword's number, exactly as it was written."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise malformed(at, at.rpartition("/")[2], "a number", value)
    return Decimal(repr(value))


def ceiling(bound: Bound | None) -> int | None:
    """Return the least integer within a lower bound; None for no bound."""
    if bound is None:
        return None
    whole = bound.value.to_integral_value("ROUND_CEILING")
    return int(whole) + (bound.is_open and whole == bound.value)


def floor(bound: Bound | None) -> int | None:
    """Return the greatest integer within an upper bound; None for no bound."""
    return None if (up := ceiling(-bound if bound else None)) is None else -up


def values_of(schema: Any) -> list[Any] | None:
    """Return the values that a schema lists; None where it does not list them."""
    if isinstance(schema, Mapping) and ("const" in schema or "enum" in schema):
        values = schema.get("enum", [schema.get("const")])
        return values if isinstance(values, list) else None
    return None


def types_disjoint(left: Any, right: Any, at: str) -> bool:
    """Say whether no value has a type of both schemas."""
    found = []
    for schema in (left, right):
        values = values_of(schema)
        if values is not None:
            found.append({type_of(value) for value in values})
        elif isinstance(schema, Mapping) and "type" in schema:
            found.append({"number" if t == "integer" else t for t in types_of(schema, at) or ()})
        else:
            return False
    return not found[0] & found[1]


def type_of(value: Any) -> str:
    """Name a value's type; integers are numbers."""
    return next(type_ for type_ in TYPES if type_ != "integer" and is_a(value, type_))


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
