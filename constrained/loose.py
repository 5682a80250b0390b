"""Core schemas made such that EBNF holds them: the same where that can be, else one near it.

Conjunctions are merged keyword by keyword, after their references are opened and their alternatives
multiplied out. Where one schema cannot say the same, of two patterns one is kept, and what one
keyword of a pair cannot say beside the other is left out.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Set
from typing import Any

from .errors import GrammarError
from .normal.form import Core
from .normal.joined import both_of, common_types
from .schema import COMBINATORS, lower_schema

__all__ = ["loosened", "opened"]

MAX_CASES = 24  # of one conjunction
MAX_REFERENCES = 8  # opened inside each other
LENGTHS = {"minLength", "maxLength"}
BOUNDS = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}


def loosened(core: Core) -> tuple[Core, bool]:
    """Return a core schema without conjunctions, and whether it takes the same values.

    `lower_schema` takes it, if one is found that is near `core`.
    """
    definitions: dict[str, Core] = {} if isinstance(core, bool) else core.get("$defs", {})
    walk = _Loosening(definitions)
    result = walk.of(core)
    if isinstance(result, dict) and definitions:
        result = {**result, "$defs": {name: walk.of(part) for name, part in definitions.items()}}
    return result, walk.is_exact


def opened(core: dict[str, Any], definitions: Mapping[str, Core]) -> list[dict[str, Any]] | None:
    """Return the cases of a conjunction, schemas without combinators; None where they are inexact.

    A value satisfies `core` if it satisfies one of them.
    """
    walk = _Loosening(definitions)
    cases = walk.cases(core, 0)
    return cases if walk.is_exact else None


class _Loosening:
    def __init__(self, definitions: Mapping[str, Core]) -> None:
        self._definitions = definitions
        self.is_exact = True  # so far

    def of(self, core: Core) -> Core:
        """Loosen a schema and all below it."""
        if isinstance(core, bool):
            return core
        core = {key: value for key, value in core.items() if key != "$defs"}
        if "allOf" in core or ("anyOf" in core and len(core) > 1):
            return self._any([self._leaf(case) for case in self.cases(core, 0)])
        if "anyOf" in core:
            return self._any([self.of(part) for part in core["anyOf"]])
        return core if "$ref" in core and len(core) == 1 else self._leaf(core)

    def _any(self, parts: list[Core]) -> Core:
        kept = [part for part in parts if part is not False]
        if not kept:
            return False
        return kept[0] if len(kept) == 1 else {"anyOf": kept}

    def cases(self, core: Core, depth: int) -> list[dict[str, Any]]:
        """Multiply a conjunction out into schemas without combinators; the first ones of many."""
        if core is False:
            return []
        if core is True:
            return [{}]
        rest = {k: v for k, v in core.items() if k not in ("allOf", "anyOf", "$ref", "$defs")}
        factors = [[rest], *(self.cases(part, depth) for part in core.get("allOf", ()))]
        if "anyOf" in core:
            factors.append([case for part in core["anyOf"] for case in self.cases(part, depth)])
        if "$ref" in core:
            self.is_exact &= depth < MAX_REFERENCES
            if depth < MAX_REFERENCES:
                target = self._definitions.get(core["$ref"].rpartition("/")[2], True)
                factors.append(self.cases(target, depth + 1))
        self.is_exact &= math.prod(map(len, factors)) <= 16 * MAX_CASES
        found: list[dict[str, Any]] = []
        for combination in itertools.islice(itertools.product(*factors), 16 * MAX_CASES):
            merged: dict[str, Any] | None = {}
            for part in combination:
                merged = None if merged is None else self._merged(merged, part)
            if merged is not None and merged not in found:
                found.append(merged)
        self.is_exact &= len(found) <= MAX_CASES
        return found[:MAX_CASES]

    def _merged(self, left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any] | None:
        """Return what satisfies two schemas without combinators; None if nothing does."""
        both = both_of(left, right)
        if both is False:
            return None
        if isinstance(both, dict) and not both.keys() & set(COMBINATORS):
            return both
        if left and right:
            self.is_exact = False
        return _near(left, right)

    def _leaf(self, core: dict[str, Any]) -> Core:
        """Loosen a schema without combinators."""
        core = dict(core)
        if "enum" in core or "const" in core:
            return self._without(core, core.keys() - {"enum", "const", "type"})
        if (
            "pattern" in core
            and core.keys() & LENGTHS
            and not _is_held(core, {"pattern", *LENGTHS})
        ):
            core = self._without(core, LENGTHS)
        if core.get("multipleOf", 1) != 1 and not _is_held(core, {"type", "multipleOf", *BOUNDS}):
            core = self._without(core, {"multipleOf"})
        if "patternProperties" in core and (
            len(core["patternProperties"]) > 1
            or core.get("properties")
            or core.get("additionalProperties", True) is not False
        ):
            others = [
                core.get("additionalProperties", True),
                *core.pop("patternProperties").values(),
            ]
            core["additionalProperties"] = True if True in others else {"anyOf": others}
            self.is_exact = False
        for key in ("properties", "patternProperties"):
            if key in core:
                core[key] = {name: self.of(part) for name, part in core[key].items()}
        for key in ("additionalProperties", "items"):
            if key in core:
                core[key] = self.of(core[key])
        if "prefixItems" in core:
            core["prefixItems"] = [self.of(part) for part in core["prefixItems"]]
        return core

    def _without(self, core: dict[str, Any], keywords: Set[str]) -> dict[str, Any]:
        self.is_exact = self.is_exact and not core.keys() & keywords
        return {key: value for key, value in core.items() if key not in keywords}


def _is_held(core: dict[str, Any], keywords: Set[str]) -> bool:
    """Whether EBNF holds some keywords of a schema together."""
    try:
        lower_schema({key: value for key, value in core.items() if key in keywords})
    except GrammarError:
        return False
    return True


def _near(left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any] | None:
    """Return what nearly satisfies two schemas without combinators; None if nothing does."""
    result = {**right, **left}
    for key in left.keys() & right.keys():
        ours, theirs = left[key], right[key]
        if key in ("minimum", "exclusiveMinimum") or key.startswith("min"):
            result[key] = max(ours, theirs)
        elif key in ("maximum", "exclusiveMaximum") or key.startswith("max"):
            result[key] = min(ours, theirs)
        elif key == "type":
            types = common_types(ours, theirs)
            if not types:
                return None
            result[key] = types
        elif key == "enum":
            result[key] = [value for value in ours if value in theirs]
            if not result[key]:
                return None
        elif key == "const" and ours != theirs:
            return None
        elif key in ("properties", "patternProperties"):
            both = {name: {"allOf": [ours[name], theirs[name]]} for name in ours.keys() & theirs}
            result[key] = {**ours, **theirs, **both}
        elif key == "required":
            result[key] = [*ours, *(name for name in theirs if name not in ours)]
        elif key in ("items", "additionalProperties"):
            result[key] = {"allOf": [ours, theirs]}
    return result
