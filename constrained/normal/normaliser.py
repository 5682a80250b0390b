"""JSON Schema, any draft from 4 on, rewritten as a core schema that back ends enforce exactly."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..contract import Contract, Finding, Status
from ..errors import LimitError
from ..formats import UNKNOWABLE
from ..keywords import KIND, TYPES, escape, malformed
from ..references import Place, root_place
from . import alternatives
from .among import among as among_of
from .arrays import ARRAY, array
from .form import ANYTHING, Among, Core, all_of, any_of, values
from .inhabited import without_empty
from .joined import joined
from .negation import negated
from .objects import DEPENDENCIES, OBJECT, dependencies, object_
from .values import NUMBER, STRING, is_annotation, number, string

__all__ = ["Normal", "normalise"]

MAX_SCHEMAS = 20_000  # core schemas that one document may be rewritten to
MAX_SIZE = 100_000  # values in the core schema of one, written out

COMBINATORS = ("$ref", "$dynamicRef", "$recursiveRef", "allOf", "anyOf", "oneOf", "not", "if")
OPPOSED = ("oneOf", "not", "if")  # they hold opposites
COMBINED = frozenset({"$ref", "anyOf", "allOf"})
GROUPS = {"string": STRING, "number": NUMBER, "array": ARRAY, "object": OBJECT}
GROUP_OF = {keyword: group for group, keywords in GROUPS.items() for keyword in keywords}
KNOWN = frozenset((*COMBINATORS, *GROUP_OF, *DEPENDENCIES, "type", "enum", "const", "then", "else"))
SILENT = frozenset({"then", "else", "minContains", "maxContains", "additionalItems"})


@dataclass(frozen=True, slots=True)
class Normal:
    """A core schema and what it keeps of the document."""

    core: Core  # with its `$defs`
    contract: Contract


def normalise(document: Any, *, exclude: bool = True) -> Normal:
    """Rewrite a schema.

    Args:
        document: parsed JSON, at most `spec.MAX_SCHEMA_DEPTH` levels deep.
        exclude: write out opposites (`not`, `oneOf`, `if`); else they are left to the check, which
            keeps the core schema near the size of the document.

    Raises:
        GrammarError: a keyword is not well-formed, a reference leads outside, the rewrite grows
            beyond `MAX_SCHEMAS`.
    """
    walk = Normaliser(exclude=exclude)
    core = joined(walk.positive(root_place(document)))
    named = {name: joined(inner) for name, inner in walk.definitions.items()}
    core, definitions = without_empty(core, named)
    if isinstance(core, dict) and definitions:
        core = {**core, "$defs": definitions}
    return Normal(core, Contract.joined(walk.findings))


class Normaliser:
    """One walk; see `form.Walk`."""

    def __init__(self, *, exclude: bool) -> None:
        self._exclude = exclude
        self.definitions: dict[str, Core] = {}
        self.findings: list[Finding] = []
        self._names: dict[tuple[int, Among | None], str] = {}
        # By schema and what its opposite is among: a core, whether it is exact, the schema.
        self._written: dict[tuple[int, Among | None], tuple[Core, bool, Any]] = {}
        self._count = 0
        self._sizes: list[Core] = []  # keeps measured cores, so that their ids stay their own
        self._size_of: dict[int, int] = {}
        self._depth = 0  # of negation
        self._inexact = 0  # opposites written as more than they are

    def positive(self, place: Place) -> Core:
        """Write what every valid value satisfies."""
        if isinstance(place.schema, bool):
            return place.schema
        return self._once(place)

    def negative(self, place: Place, among: Among = ANYTHING) -> Core:
        """Write what every invalid value among some satisfies."""
        if isinstance(place.schema, bool):
            return not place.schema
        self._depth += 1
        try:
            if self._exclude:
                if "$id" in place.schema or "id" in place.schema:
                    among = replace(among, held=frozenset())  # references mean other things
                return self._once(place, among)
            self.check(place, "", "its opposite makes the grammar too large")
            return True
        finally:
            self._depth -= 1

    def check(self, place: Place, keyword: str, reason: str, hint: str = "") -> None:
        """Note that a keyword is left to the check of the closed document."""
        at = f"{place.at}/{escape(keyword)}" if keyword else place.at
        self.findings.append(Finding(at, Status.CHECKED, reason, hint))
        self._inexact += self._depth > 0

    def named(self, place: Place, among: Among | None = None) -> Core:
        """Return a reference to a schema's core, or its opposite's, which may be recursive."""
        if isinstance(place.schema, bool):
            return place.schema == (among is None)
        key = (id(place.schema), among)
        if key not in self._names:
            name = self._names[key] = f"s{len(self._names)}"
            written = self.positive(place) if among is None else self.negative(place, among)
            self.definitions[name] = written
        return {"$ref": f"#/$defs/{self._names[key]}"}

    def _once(self, place: Place, among: Among | None = None) -> Core:
        """Write a schema, or its opposite, or return what was written for it before."""
        key = (id(place.schema), among)
        if key in self._written:
            core, is_exact, _ = self._written[key]
            self._inexact += not is_exact and self._depth > 0
            return core
        self._enter(place)
        before = len(self.findings), self._inexact
        if among is None:
            core = self._write(place)
        else:
            for keyword in place.keywords:
                self._find(place, keyword)
            core = negated(self, place, among)
        self._limit(core, place)
        checked = any(f.status is Status.CHECKED for f in self.findings[before[0] :])
        is_exact = not checked and self._inexact == before[1]
        self._written[key] = (
            core,
            is_exact,
            place.schema,
        )  # the schema, so that its id stays its own
        return core

    def _write(self, place: Place) -> Core:
        own: dict[
            str, Any
        ] = {}  # what one core schema says by itself: keywords that stand together
        others: list[Core] = []
        groups: set[str] = set()
        opposed: dict[int, str] = {}  # places in `others` of what is written beside the rest
        for keyword in place.keywords:
            self._find(place, keyword)
            group = GROUP_OF.get(keyword)
            if keyword in ("type", "enum", "const"):
                own[keyword] = self._plain(place, keyword)
            elif group is not None and group not in groups:
                groups.add(group)
                first, *rest = _opened(self._group(group, place))
                # The order of properties is the order written: not before other schemas' here.
                if isinstance(first, dict) and not (others and "properties" in first):
                    is_plain = not own.keys() & first.keys() and not COMBINED & first.keys()
                else:
                    is_plain = False
                if is_plain and isinstance(first, dict):
                    own |= first
                else:
                    others.append(first)
                others += rest
            elif keyword in OPPOSED:
                opposed[len(others)] = keyword
                others.append(True)
            elif keyword in COMBINATORS:
                others.append(self._combined(place, keyword))
            elif keyword in DEPENDENCIES and "dependencies" not in groups:
                groups.add("dependencies")
                others += dependencies(self, place)
        beside = all_of([own, *others])
        for index, keyword in opposed.items():
            others[index] = self._opposed(place, keyword, beside)
        return all_of([own, *others])

    def _limit(self, core: Core, place: Place) -> None:
        """Refuse a core schema that grows beyond measure where its parts are used several times."""
        self._sizes.append(core)
        if self._size(core) > MAX_SIZE:
            raise _unfolds(place)

    def _size(self, core: Any) -> int:
        if not isinstance(core, dict | list):
            return 1
        if id(core) not in self._size_of:
            inner = core.values() if isinstance(core, dict) else core
            self._size_of[id(core)] = 1 + sum(map(self._size, inner))
        return self._size_of[id(core)]

    def _enter(self, place: Place) -> None:
        if not isinstance(place.schema, Mapping):
            raise malformed(place.at, "a schema", "an object or a boolean", place.schema)
        self._count += 1
        if self._count > MAX_SCHEMAS:
            raise _unfolds(place)

    def _find(self, place: Place, keyword: str) -> None:
        """Note a keyword as enforced; what is found later to be less is noted again."""
        at = f"{place.at}/{escape(keyword)}"
        if keyword not in KNOWN:
            if (meant := _meant(keyword)) is not None:
                reason = "it is no keyword that is known"
                self.findings.append(Finding(at, Status.REFUSED, reason, f"Did you mean {meant}?"))
        elif keyword == "format" and place.keywords[keyword] in UNKNOWABLE:
            reason = "it needs tables of Unicode that are not here"
            self.findings.append(
                Finding(at, Status.REFUSED, reason, "Use its ASCII form, or a pattern.")
            )
        elif keyword == "format" and is_annotation(place, keyword):
            pass
        elif keyword not in SILENT or place.keywords.get("if") is not None:
            self.findings.append(Finding(at, Status.ENFORCED))

    def _plain(self, place: Place, keyword: str) -> Any:
        value = place.keywords[keyword]
        if keyword == "type":
            types = value if isinstance(value, list) else [value]
            if not types or not all(type_ in TYPES for type_ in types):
                allowed = f"one or more of {', '.join(TYPES)}"
                raise malformed(f"{place.at}/type", "type", allowed, value)
        values(place)
        return value

    def _group(self, group: str, place: Place) -> Core:
        match group:
            case "string":
                return string(self, place)
            case "number":
                return number(self, place)
            case "array":
                return array(self, place)
            case _:
                return object_(self, place)

    def _combined(self, place: Place, keyword: str) -> Core:
        match keyword:
            case "$ref" | "$dynamicRef" | "$recursiveRef":
                return self._reference(place, keyword)
            case "allOf":
                return all_of([self.positive(p) for p in alternatives.branches(place, keyword)])
            case _:
                return any_of([self.positive(p) for p in alternatives.branches(place, keyword)])

    def _opposed(self, place: Place, keyword: str, beside: Core) -> Core:
        """Write a keyword that holds opposites, met where `beside` holds."""
        before = self._inexact
        match keyword:
            case "oneOf":
                core = alternatives.one_of(self, place, beside)
            case "not":
                core = self.negative(place.child("not"), among_of(beside, self.definitions))
            case _:
                core = alternatives.conditional(self, place, beside)
        if self._inexact != before:
            self.check(
                place,
                keyword,
                "the opposite of a schema in it is no grammar",
                "List what is allowed, by anyOf of schemas that name their type or a const.",
            )
        return core

    def _reference(self, place: Place, keyword: str) -> Core:
        target = place.target(keyword)
        if keyword != "$ref" and self._is_moved(place, target):
            self.check(place, keyword, "what it means depends on how it is reached", "Use $ref.")
            return True
        return self.named(target)

    def _is_moved(self, place: Place, target: Place) -> bool:
        """Whether a dynamic reference could lead to another schema than the one found here."""
        anchors = place.document.count("$dynamicAnchor") + place.document.count("$recursiveAnchor")
        return anchors > 1


def _unfolds(place: Place) -> LimitError:
    return LimitError(
        f"the schema unfolds to more than {MAX_SCHEMAS:,} schemas, or {MAX_SIZE:,} values",
        kind=KIND,
        pointer=place.at,
        hint="Use fewer oneOf, not and if inside each other.",
    )


def _opened(core: Core) -> list[Core]:
    """Return the parts of a conjunction."""
    if isinstance(core, dict) and core.keys() == {"allOf"}:
        parts: list[Core] = core["allOf"]
        return parts
    return [core]


def _meant(keyword: str) -> str | None:
    """Return the keyword that one in other letters stands for; None: it is an annotation."""
    plain = keyword.replace("_", "").replace("-", "").lower()
    meant = [known for known in KNOWN if known.lower() == plain]
    if not meant or not keyword[0].isalpha():  # `_format` is how some take a keyword out
        return None
    return difflib.get_close_matches(keyword, meant, 1, 0)[0]
