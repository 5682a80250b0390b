"""Taking out of a core schema what no finite document can satisfy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .disjoint import types_of
from .form import Core, all_of, any_of

__all__ = ["references_of", "without_empty"]

Definitions = Mapping[str, Core]


def without_empty(core: Core, definitions: Definitions) -> tuple[Core, dict[str, Core]]:
    """Write `False` for every schema that has no finite value, and drop what is not referred to.

    A definition has a value if it has one that uses only definitions found before: the least fixed
    point, so a recursion without an end has none.
    """
    alive: set[str] = set()
    while True:
        more = {
            name
            for name, inner in definitions.items()
            if name not in alive and _may_hold(inner, alive, definitions)
        }
        if not more:
            break
        alive |= more
    pruned = {name: _pruned(definitions[name], alive, definitions) for name in definitions}
    dead = {name for name, inner in pruned.items() if inner is False}
    if dead - (definitions.keys() - alive):  # more became empty by pruning
        return without_empty(core, pruned)
    core = _pruned(core, alive, definitions)
    kept: dict[str, Core] = {}
    queue = [core]
    while queue:
        for name in references_of(queue.pop()):
            if name not in kept:
                kept[name] = pruned[name]
                queue.append(pruned[name])
    return core, kept


def _may_hold(core: Core, alive: set[str], definitions: Definitions) -> bool:
    """Whether a core schema may have a value built from the definitions found so far."""
    if isinstance(core, bool):
        return core
    if not types_of(core, definitions):
        return False
    if "$ref" in core and core["$ref"].rpartition("/")[2] not in alive:
        return False
    if not all(_may_hold(part, alive, definitions) for part in core.get("allOf", ())):
        return False
    if "anyOf" in core and not any(_may_hold(p, alive, definitions) for p in core["anyOf"]):
        return False
    types = core.get("type")
    if types == "object":
        properties = core.get("properties", {})
        extra = True if "patternProperties" in core else core.get("additionalProperties", True)
        needed = [properties.get(key, extra) for key in core.get("required", ())]
        return all(_may_hold(inner, alive, definitions) for inner in needed)
    if types == "array" and core.get("minItems", 0):
        prefix = core.get("prefixItems", [])
        low = core["minItems"]
        needed = [*prefix[:low], *([core.get("items", True)] if low > len(prefix) else [])]
        return all(_may_hold(inner, alive, definitions) for inner in needed)
    return True


def _pruned(core: Core, alive: set[str], definitions: Definitions) -> Core:
    """Write `False` wherever a schema cannot hold."""
    if isinstance(core, bool) or not _may_hold(core, alive, definitions):
        return core if isinstance(core, bool) else False
    result: dict[str, Any] = dict(core)
    for keyword in ("properties", "patternProperties"):
        if keyword in core:
            result[keyword] = {k: _pruned(v, alive, definitions) for k, v in core[keyword].items()}
    for keyword in ("items", "additionalProperties"):
        if keyword in core:
            result[keyword] = _pruned(core[keyword], alive, definitions)
    if "prefixItems" in core:
        result["prefixItems"] = [_pruned(item, alive, definitions) for item in core["prefixItems"]]
    rest: list[Core] = []
    if "allOf" in core:
        rest.append(all_of([_pruned(p, alive, definitions) for p in result.pop("allOf")]))
    if "anyOf" in core:
        rest.append(any_of([_pruned(p, alive, definitions) for p in result.pop("anyOf")]))
    if not rest:
        return result
    return all_of([result, *rest])


def references_of(core: Any) -> list[str]:
    """Return the names of the definitions that a core schema refers to."""
    found: list[str] = []
    if isinstance(core, dict):
        for keyword, inner in core.items():
            if keyword == "$ref" and isinstance(inner, str):
                found.append(inner.rpartition("/")[2])
            elif keyword in ("properties", "patternProperties"):
                found += [name for part in inner.values() for name in references_of(part)]
            elif keyword not in ("enum", "const"):
                found += references_of(inner)
    elif isinstance(core, list):
        found += [name for part in core for name in references_of(part)]
    return found
