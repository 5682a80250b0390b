"""What is clear of the values of a core schema, for the opposites that are met beside it."""

from __future__ import annotations

from collections.abc import Mapping

from .disjoint import types_of
from .form import Among, Core

__all__ = ["among"]

MAX_DEPTH = 4  # of references and combinators inside each other
MAX_NAMES = 64


def among(core: Core, definitions: Mapping[str, Core]) -> Among:
    """Return what the values of a core schema are among."""
    names = _names(core, definitions, 0)
    is_few = names is not None and len(names) <= MAX_NAMES
    return Among(types_of(core, definitions), names if is_few else None)


def _names(core: Core, definitions: Mapping[str, Core], depth: int) -> frozenset[str] | None:
    if core is False:
        return frozenset()
    if core is True or depth > MAX_DEPTH:
        return None
    if "object" not in types_of(core, definitions):
        return frozenset()
    found: list[frozenset[str] | None] = []
    patterns = core.get("patternProperties", {}).values()
    if core.get("additionalProperties") is False and all(inner is False for inner in patterns):
        properties = core.get("properties", {})
        found.append(frozenset(key for key, inner in properties.items() if inner is not False))
    if "enum" in core or "const" in core:
        listed = core["enum"] if "enum" in core else [core["const"]]
        found.append(frozenset(key for value in listed if isinstance(value, dict) for key in value))
    if "$ref" in core:
        target = definitions.get(core["$ref"].rpartition("/")[2], True)
        found.append(_names(target, definitions, depth + 1))
    found += [_names(part, definitions, depth + 1) for part in core.get("allOf", ())]
    if "anyOf" in core:
        options = [_names(part, definitions, depth + 1) for part in core["anyOf"]]
        known = [names for names in options if names is not None]
        found.append(frozenset().union(*known) if len(known) == len(options) else None)
    closed = [names for names in found if names is not None]
    return frozenset.intersection(*closed) if closed else None
