"""Which properties a schema evaluates for sure, for `unevaluatedProperties`."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..references import Place

__all__ = ["Evaluated", "evaluated", "is_static_alone"]

APPLICATORS = (
    *("allOf", "anyOf", "oneOf", "if", "$ref", "$dynamicRef", "$recursiveRef"),
    *("dependentSchemas", "dependencies", "contains"),
)
CONDITIONAL = ("anyOf", "oneOf", "if", "$dynamicRef", "$recursiveRef", "dependentSchemas")
MAX_DEPTH = 20


@dataclass(slots=True)
class Evaluated:
    """Names and patterns of properties that some keyword has spoken about."""

    names: list[str] = field(default_factory=list)
    patterns: list[str] = field(default_factory=list)
    is_all: bool = False


def is_static_alone(place: Place) -> bool:
    """Whether no keyword beside evaluates anything by way of another schema."""
    return not any(keyword in place.keywords for keyword in APPLICATORS)


def evaluated(place: Place, depth: int = 0) -> Evaluated | None:
    """Return what is evaluated in every value; None where that depends on the value."""
    if isinstance(place.schema, bool):
        return Evaluated()
    keywords = place.keywords
    if depth > MAX_DEPTH or any(keyword in keywords for keyword in CONDITIONAL):
        return None
    found = Evaluated(list(keywords.get("properties", ())))
    found.patterns = list(keywords.get("patternProperties", ()))
    found.is_all = "additionalProperties" in keywords
    if depth and "unevaluatedProperties" in keywords:
        found.is_all = True
    inner = [place.child("allOf", index) for index in range(len(keywords.get("allOf", ())))]
    if "$ref" in keywords:
        inner.append(place.target("$ref"))
    for part in inner:
        more = evaluated(part, depth + 1)
        if more is None:
            return None
        found.names += more.names
        found.patterns += more.patterns
        found.is_all |= more.is_all
    return found
