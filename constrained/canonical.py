"""The one text that a grammar of a schema has for a value: for examples in prompts, and for tests.

A schema fixes the order of properties: as `properties` declares them, over all the schemas that
apply, in the order written; then what is only required; then the others as they come. There is no
white space, strings are those of `json.dumps(..., ensure_ascii=False)`, and a number without a
fraction is written as an integer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from .check import Check
from .normal import normalise
from .normal.form import Core

__all__ = ["canonical_text"]

MAX_DEPTH = 30  # of references inside each other


def canonical_text(schema: Any, value: Any) -> str:
    """Write a value, valid under a schema, as the schema's grammar does.

    Args:
        schema: parsed JSON Schema.
        value: parsed JSON.

    Raises:
        GrammarError: the schema is not one.
    """
    core = normalise(schema).core
    definitions = core.get("$defs", {}) if isinstance(core, dict) else {}
    ordered = _Order(definitions).of(value, [core])
    return json.dumps(ordered, ensure_ascii=False, separators=(",", ":"))


class _Order:
    def __init__(self, definitions: dict[str, Core]) -> None:
        self._definitions = definitions

    def of(self, value: Any, cores: Sequence[Core]) -> Any:
        """Return a value with its keys in the order of the core schemas that apply to it."""
        if isinstance(value, float) and value == int(value) and abs(value) <= 2**53:
            return int(value)
        if isinstance(value, list):
            applying = list(self._applying(value, cores))
            return [self.of(item, _of_item(applying, index)) for index, item in enumerate(value)]
        if not isinstance(value, dict):
            return value
        applying = list(self._applying(value, cores))
        names = [name for core in applying for name in core.get("properties", ())]
        names += [name for core in applying for name in core.get("required", ())]
        names = [name for name in dict.fromkeys([*names, *value]) if name in value]
        for listed in (core.get("enum", [core.get("const")]) for core in applying):
            names = next((list(v) for v in listed if isinstance(v, dict) and v == value), names)
        return {name: self.of(value[name], _of_property(applying, name)) for name in names}

    def _applying(
        self, value: Any, cores: Sequence[Core], depth: int = 0
    ) -> Iterator[dict[str, Any]]:
        """Yield the plain schemas that apply to a value, in order; of anyOf the first that fits."""
        for core in cores:
            if isinstance(core, bool) or depth > MAX_DEPTH:
                continue
            yield core
            if "$ref" in core:
                target = self._definitions.get(core["$ref"].rpartition("/")[2], True)
                yield from self._applying(value, [target], depth + 1)
            yield from self._applying(value, core.get("allOf", ()), depth + 1)
            for branch in core.get("anyOf", ()):
                if self._holds(branch, value):
                    yield from self._applying(value, [branch], depth + 1)
                    break

    def _holds(self, core: Core, value: Any) -> bool:
        if isinstance(core, bool):
            return core
        return not Check({**core, "$defs": self._definitions}).failures_of(value)


def _of_property(applying: Sequence[dict[str, Any]], name: str) -> list[Core]:
    found: list[Core] = []
    for core in applying:
        if name in core.get("properties", ()):
            found.append(core["properties"][name])
            continue
        matching = [
            inner
            for pattern, inner in core.get("patternProperties", {}).items()
            if _is_found(pattern, name)
        ]
        found += matching or [core.get("additionalProperties", True)]
    return found


def _is_found(pattern: str, name: str) -> bool:
    try:
        return re.search(pattern, name) is not None
    except re.error:
        return False


def _of_item(applying: Sequence[dict[str, Any]], index: int) -> list[Core]:
    found: list[Core] = []
    for core in applying:
        prefix = core.get("prefixItems", [])
        found.append(prefix[index] if index < len(prefix) else core.get("items", True))
    return found
