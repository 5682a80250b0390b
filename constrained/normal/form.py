"""What the parts of the walk over a schema share: its verbs, and how values are read.

A *core* schema is JSON Schema 2020-12 with the keywords of `CORE` alone. `positive` writes a core
schema that every valid value satisfies, `negative` one that every invalid value satisfies. Both may
be satisfied by more: they then say so with `check`. Since negation is pushed down to the leaves,
"more" at a leaf is never "less" anywhere above, so a document outside the core is always invalid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..keywords import TYPES, escape, is_a, malformed
from ..references import Place

__all__ = [
    "ALL_TYPES",
    "ANYTHING",
    "CORE",
    "Among",
    "Core",
    "Walk",
    "all_of",
    "any_of",
    "bound",
    "count",
    "guarded",
    "texts",
    "values",
]

Core = dict[str, Any] | bool

CORE = frozenset(
    (
        *("type", "enum", "const", "$ref", "anyOf", "allOf", "$defs"),
        *("properties", "patternProperties", "additionalProperties", "required"),
        *("minProperties", "maxProperties"),
        *("prefixItems", "items", "minItems", "maxItems", "minLength", "maxLength", "pattern"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    )
)


ALL_TYPES = frozenset({"null", "boolean", "number", "string", "array", "object"})


@dataclass(frozen=True, slots=True)
class Among:
    """A set of values that an opposite is written for, or more than it.

    The opposite of a schema is met beside something else that holds: another branch, what stands
    beside a `not`. What none of these values can be is left out, and is no reason to be inexact.

    Attributes:
        types: that they have; an integer is a number.
        names: keys that their objects may have; None: any.
        held: keys whose values satisfy a schema, with its text, where references in it mean what
            they mean in the opposite.
    """

    types: frozenset[str] = ALL_TYPES
    names: frozenset[str] | None = None
    held: frozenset[tuple[str, str]] = frozenset()


ANYTHING = Among()


class Walk(Protocol):
    """One walk over a document."""

    @property
    def definitions(self) -> Mapping[str, Core]:
        """The named core schemas that `$ref` may name so far."""
        ...

    def positive(self, place: Place) -> Core:
        """Write what every valid value satisfies."""
        ...

    def negative(self, place: Place, among: Among = ANYTHING) -> Core:
        """Write what every invalid value among some satisfies."""
        ...

    def named(self, place: Place, among: Among | None = None) -> Core:
        """Return a reference to what `positive` writes of a place, or with `among` `negative`."""
        ...

    def check(self, place: Place, keyword: str, reason: str, hint: str = "") -> None:
        """Note that a keyword is left to the check of the closed document."""
        ...


def all_of(cores: Sequence[Core]) -> Core:
    """Return the conjunction of core schemas, flat."""
    parts: list[Core] = []
    for core in cores:
        if core is False:
            return False
        if isinstance(core, dict) and core.keys() == {"allOf"}:
            parts.extend(core["allOf"])
        elif core is not True and core != {}:
            parts.append(core)
    if not parts:
        return True
    return parts[0] if len(parts) == 1 else {"allOf": parts}


def any_of(cores: Sequence[Core]) -> Core:
    """Return the disjunction of core schemas, flat."""
    parts: list[Core] = []
    for core in cores:
        if core is True or core == {}:
            return True
        if isinstance(core, dict) and core.keys() == {"anyOf"}:
            parts.extend(part for part in core["anyOf"] if part not in parts)
        elif core is not False and core not in parts:
            parts.append(core)
    if not parts:
        return False
    return parts[0] if len(parts) == 1 else {"anyOf": parts}


def guarded(type_: str, core: Core) -> Core:
    """Return `core` for the values of a type, and every value of the others."""
    others = [other for other in TYPES if other not in (type_, "integer")]
    return any_of([{"type": others}, all_of([{"type": type_}, core])])


def values(place: Place) -> list[Any] | None:
    """Return the values that enum and const list; None without either."""
    keywords = place.keywords
    listed: list[Any] | None = None
    if "enum" in keywords:
        listed = keywords["enum"]
        if not isinstance(listed, list):
            raise malformed(f"{place.at}/enum", "enum", "a list", listed)
    if "const" in keywords:
        return [keywords["const"]] if listed is None or keywords["const"] in listed else []
    return listed


def count(place: Place, keyword: str) -> int | None:
    """Return the value of a keyword that counts; None where it does not stand."""
    value = place.keywords.get(keyword)
    if value is None:
        return None
    if not is_a(value, "integer") or value < 0:
        raise malformed(f"{place.at}/{keyword}", keyword, "a whole number from 0", value)
    return int(value)


def bound(place: Place, keyword: str) -> int | float | None:
    """Return the value of a keyword that bounds a number; None where it does not stand."""
    value = place.keywords.get(keyword)
    if value is None or isinstance(value, bool):  # a boolean is draft 4's exclusiveMinimum
        return None
    if not is_a(value, "number"):
        raise malformed(f"{place.at}/{keyword}", keyword, "a number", value)
    number: int | float = value
    return number


def texts(place: Place, keyword: str, value: Any) -> list[str]:
    """Return a list of strings, such as the value of `required`."""
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise malformed(f"{place.at}/{escape(keyword)}", keyword, "a list of strings", value)
    return value
