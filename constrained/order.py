"""Properties in any order: a core schema's objects, once for each order of what they name.

The mask remembers what was written by the order that it is in, so n properties are n! orders. A
grammar whose states are the sets of written properties would need 2^n; no back end's own JSON
Schema has it, and up to `MAX_NAMED` properties the orders do as well.
"""

from __future__ import annotations

import itertools
from typing import Any

from .errors import LimitError, UnsupportedError
from .keywords import KIND
from .normal.form import Core

__all__ = ["MAX_NAMED", "in_any_order"]

MAX_NAMED = 5  # properties of one object: 120 orders


def in_any_order(core: Core) -> Core:
    """Return a core schema with the same documents, their named properties in any order.

    Properties that are not named come behind those that are, as before.

    Raises:
        LimitError: an object names more than `MAX_NAMED` properties.
        UnsupportedError: two schemas that both name properties hold for one object.
    """
    if isinstance(core, bool):
        return core
    walk = _Walk()
    definitions = {name: walk.of(part) for name, part in core.get("$defs", {}).items()}
    result = walk.of({key: value for key, value in core.items() if key != "$defs"})
    definitions |= walk.definitions
    return {**result, "$defs": definitions} if isinstance(result, dict) and definitions else result


class _Walk:
    """One walk over a core schema."""

    def __init__(self) -> None:
        self.definitions: dict[str, Core] = {}  # of properties, which each order refers to

    def of(self, core: Core) -> Core:
        if isinstance(core, bool):
            return core
        _refuse_two(core)
        result: dict[str, Any] = dict(core)
        for keyword in ("anyOf", "allOf", "prefixItems"):
            if keyword in core:
                result[keyword] = [self.of(part) for part in core[keyword]]
        for keyword in ("items", "additionalProperties"):
            if keyword in core:
                result[keyword] = self.of(core[keyword])
        if "patternProperties" in core:
            patterns = core["patternProperties"].items()
            result["patternProperties"] = {key: self.of(part) for key, part in patterns}
        return self._ordered(result) if _names(core) else result

    def _ordered(self, core: dict[str, Any]) -> Core:
        properties = core.get("properties", {})
        names = [key for key in _names(core) if properties.get(key, True) is not False]
        if len(names) > MAX_NAMED:
            raise LimitError(
                f"an object names {len(names)} properties; in any order at most {MAX_NAMED} are",
                kind=KIND,
                pointer="",
                hint="Leave property_order at declared, or nest some of them in an object.",
            )
        extra = core.get("additionalProperties", True)
        walked = {key: self.of(properties[key]) if key in properties else extra for key in names}
        parts = {key: self._shared(part) for key, part in walked.items()}
        never = {key: part for key, part in properties.items() if part is False}
        options = [
            {**core, "properties": {**{key: parts[key] for key in order}, **never}}
            for order in itertools.permutations(names)
        ]
        return options[0] if len(options) == 1 else {"anyOf": options}

    def _shared(self, core: Core) -> Core:
        if isinstance(core, bool) or core.keys() == {"$ref"}:
            return core
        name = f"ordered{len(self.definitions)}"
        self.definitions[name] = core
        return {"$ref": f"#/$defs/{name}"}


def _names(core: Core) -> list[str]:
    """Return what an object schema names; what it only requires may be a pattern's."""
    if isinstance(core, bool):
        return []
    required = () if "patternProperties" in core else core.get("required", ())
    return list(dict.fromkeys([*core.get("properties", ()), *required]))


def _refuse_two(core: dict[str, Any]) -> None:
    parts = core.get("allOf", ())
    count = bool(_names(core)) + ("$ref" in core) + ("anyOf" in core)
    if count + sum(bool(_names(part)) or _combines(part) for part in parts) > 1:
        raise UnsupportedError(
            "properties in any order are not held to several schemas at once (allOf, $ref beside "
            "others, if, not)",
            kind=KIND,
            pointer="",
            hint="Merge them into one schema, or leave property_order at declared.",
        )


def _combines(core: Core) -> bool:
    return isinstance(core, dict) and ("$ref" in core or "anyOf" in core)
