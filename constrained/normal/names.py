"""What a core schema says of strings that are property names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .complement import finite_texts
from .form import Core
from .values import exactly

__all__ = ["finite_names", "names_pattern", "takes_name"]

Definitions = Mapping[str, Core]

MAX_DEPTH = 20


def takes_name(core: Core, name: str, definitions: Definitions) -> bool:
    """Whether a name may be valid: true where a pattern is not Python's."""
    return _takes(core, name, definitions, 0)


def _takes(core: Core, name: str, definitions: Definitions, depth: int) -> bool:
    if isinstance(core, bool) or depth > MAX_DEPTH:
        return bool(core)
    for keyword, value in core.items():
        match keyword:
            case "type":
                taken = value == "string" or "string" in value
            case "enum":
                taken = name in value
            case "const":
                taken = name == value
            case "minLength":
                taken = len(name) >= value
            case "maxLength":
                taken = len(name) <= value
            case "pattern":
                taken = _matches(value, name)
            case "allOf":
                taken = all(_takes(part, name, definitions, depth + 1) for part in value)
            case "anyOf":
                taken = any(_takes(part, name, definitions, depth + 1) for part in value)
            case "$ref":
                target = definitions.get(value.rpartition("/")[2], True)
                taken = _takes(target, name, definitions, depth + 1)
            case _:
                taken = True
        if not taken:
            return False
    return True


def _matches(pattern: str, name: str) -> bool:
    try:
        return re.search(pattern, name) is not None
    except re.error:
        return True


def finite_names(core: Core, definitions: Definitions, depth: int = 0) -> list[str] | None:
    """Return the names that a core schema takes, if it lists them; None if it does not."""
    if core is False:
        return []
    if core is True or depth > MAX_DEPTH:
        return None
    listed: list[str] | None = None
    if "enum" in core or "const" in core:
        listed = [v for v in core.get("enum", [core.get("const")]) if isinstance(v, str)]
    elif "pattern" in core:
        listed = finite_texts(core["pattern"])
    elif "anyOf" in core:
        found = [finite_names(part, definitions, depth + 1) for part in core["anyOf"]]
        if all(part is not None for part in found):
            listed = [name for part in found for name in part or ()]
    elif "allOf" in core:
        found = [finite_names(part, definitions, depth + 1) for part in core["allOf"]]
        listed = next((part for part in found if part is not None), None)
    elif "$ref" in core:
        target = definitions.get(core["$ref"].rpartition("/")[2], True)
        listed = finite_names(target, definitions, depth + 1)
    elif "type" in core and core["type"] != "string" and "string" not in core["type"]:
        listed = []
    if listed is None:
        return None
    return [name for name in dict.fromkeys(listed) if takes_name(core, name, definitions)]


def names_pattern(core: Core, definitions: Definitions, depth: int = 0) -> str | None:
    """Return one pattern for the names that a core schema takes; None if there is none such."""
    if isinstance(core, bool) or depth > MAX_DEPTH:
        return None if core is False else ""
    rest: dict[str, Any] = {key: value for key, value in core.items() if key != "type"}
    if "type" in core and core["type"] != "string" and "string" not in core["type"]:
        return None
    match sorted(rest):
        case []:
            return ""
        case ["pattern"]:
            return str(rest["pattern"])
        case ["maxLength"] | ["minLength"] | ["maxLength", "minLength"]:
            return rf"^[\s\S]{{{rest.get('minLength', 0)},{rest.get('maxLength', '')}}}$"
        case ["$ref"]:
            target = definitions.get(rest["$ref"].rpartition("/")[2], True)
            return names_pattern(target, definitions, depth + 1)
        case ["anyOf"]:
            parts = [part for part in rest["anyOf"] if _may_be_text(part)]
            found = [names_pattern(part, definitions, depth + 1) for part in parts]
            if not found or any(part is None for part in found):
                return None
            return "|".join(f"(?:{part})" for part in found)
        case _:
            listed = finite_names(core, definitions)
            return None if not listed else exactly(listed)


def _may_be_text(core: Core) -> bool:
    if isinstance(core, bool):
        return core
    return "type" not in core or core["type"] == "string" or "string" in core["type"]
