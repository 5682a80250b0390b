"""Core schemas whose objects take their properties in any order, in llguidance's Lark.

llguidance's own JSON Schema has properties in the declared order alone. Its rules can have 64 bits
for a parameter, though: here each bit says that a property was written, so n properties are n
alternatives, and only the sets that a text comes by are ever looked at.

Lists and what lies on the way to such objects are written in Lark too. The rest is left to
llguidance's JSON Schema; in a flexible layout that is all but lists and objects, because grammars
inside each other cannot have blanks of their own (1.9.1: their lexers are told apart by these, and
the first that could begin is taken).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from .errors import LimitError, UnsatisfiableError, UnsupportedError
from .expressions import read_grammar
from .keywords import KIND, TYPES
from .lark import LarkRules, alternation, literal
from .layout import MAX_INDENT, Layout
from .loose import opened
from .normal.form import Core, all_of
from .normal.inhabited import references_of
from .normal.joined import joined
from .regular import regular_pattern
from .strings import json_text, string_like

__all__ = ["MAX_NAMED", "blank_pattern", "unordered_lark"]

MAX_NAMED = 64  # properties of one object: the bits of a parameter
CONTAINERS = ("array", "object")
OF_CONTAINERS = frozenset(
    {"properties", "patternProperties", "additionalProperties", "required"}
    | {"minProperties", "maxProperties", "prefixItems", "items", "minItems", "maxItems"}
)
# Each character has one spelling here, so keys that differ as text differ as JSON.
STRING = r'/"(\\[nrbtf"\\]|[^"\\\x00-\x1f\x7f])*"/'


def unordered_lark(core: Core, layout: Layout, write_json: Callable[[Core], str]) -> str:
    """Return the Lark of a core schema, rule `start`.

    Args:
        core: the schema.
        layout: of the texts.
        write_json: writes a core schema as what follows `%json`.

    Raises:
        LimitError: an object names more than `MAX_NAMED` properties.
        UnsatisfiableError: nothing is valid.
        UnsupportedError: schemas that hold for one object at once cannot be written as one.
    """
    rules = LarkRules()
    return rules.grammar(_Writer(core, layout, rules, write_json).value(core))


def blank_pattern() -> str:
    """Return what may stand around marks in a flexible layout, as a pattern of some characters."""
    return rf"\n[ \t]{{0,{MAX_INDENT}}}|[ \t]{{1,{MAX_INDENT}}}"


class _Writer:
    """One walk over a core schema. Methods return expressions."""

    def __init__(
        self, core: Core, layout: Layout, rules: LarkRules, write_json: Callable[[Core], str]
    ) -> None:
        self._definitions: dict[str, Core] = {} if isinstance(core, bool) else core.get("$defs", {})
        self._rules = rules
        self._write_json = write_json
        self._targets: dict[str, str] = {}  # name of a definition: its rule
        self._any: str | None = None
        self._is_flexible = layout.whitespace == "flexible"
        if self._is_flexible:
            blank = rules.define(rules.reserve("BLANK"), f"/{blank_pattern()}/")
            self._blank = f"{blank}? "  # before a first part, and before the bracket that closes
            self._comma, self._colon = (rules.add(f'{blank}? "{c}" {blank}?') for c in ",:")
        else:
            self._blank, self._comma, self._colon = "", "/, ?/", "/: ?/"

    def value(self, core: Core) -> str:
        if core is False:
            raise UnsatisfiableError("a schema in it allows nothing", kind=KIND, pointer="")
        keywords = {} if core is True else {k: v for k, v in core.items() if k != "$defs"}
        if self._is_plain(keywords, set()):
            return self._plain(keywords)
        if not keywords:
            return self._anything()
        if "allOf" in keywords or (len(keywords) > 1 and keywords.keys() & {"anyOf", "$ref"}):
            return self._opened(keywords)
        if "$ref" in keywords:
            return self._reference(keywords["$ref"].rpartition("/")[2])
        if "anyOf" in keywords:
            return self._rules.add(alternation([self.value(part) for part in keywords["anyOf"]]))
        return self._typed(keywords)

    def _is_plain(self, core: Core, seen: set[str]) -> bool:
        """Whether llguidance's JSON Schema has the order and the layout of a schema's texts."""
        if isinstance(core, bool) or "enum" in core or "const" in core:
            return not (self._is_flexible and core is True)
        types = [] if core.keys() & {"$ref", "anyOf", "allOf"} else _types(core)
        holds = [type_ for type_ in types if type_ in CONTAINERS]
        if self._is_flexible and holds:
            return False
        if "object" in holds and len(_names(core)) > 1:
            return False
        parts = [*core.get("anyOf", ()), *core.get("allOf", ()), *core.get("prefixItems", ())]
        parts += [core[key] for key in ("items", "additionalProperties") if key in core]
        for key in ("properties", "patternProperties"):
            parts += core.get(key, {}).values()
        if "$ref" in core and (name := core["$ref"].rpartition("/")[2]) not in seen:
            seen.add(name)
            parts.append(self._definitions[name])
        return all(self._is_plain(part, seen) for part in parts)

    def _plain(self, core: dict[str, Any]) -> str:
        reached: dict[str, Core] = {}
        queue: list[Core] = [core]
        while queue:
            for name in references_of(queue.pop()):
                if name not in reached:
                    reached[name] = self._definitions[name]
                    queue.append(reached[name])
        whole = {**core, "$defs": reached} if reached else core
        return self._rules.add(f"%json {self._write_json(whole)}")

    def _anything(self) -> str:
        if self._any is None:
            self._any = self._rules.reserve()
            self._rules.define(self._any, self._typed({}))
        return self._any

    def _opened(self, core: dict[str, Any]) -> str:
        cases = opened(core, self._definitions)
        if cases is None:
            raise UnsupportedError(
                "properties in any order are not held to several schemas at once (allOf, $ref "
                "beside others, if, not) that cannot be written as one",
                kind=KIND,
                pointer="",
                hint="Merge them into one schema, or leave property_order at declared.",
            )
        if not cases:
            raise UnsatisfiableError("no value satisfies all of it", kind=KIND, pointer="")
        return self._rules.add(alternation([self.value(case) for case in cases]))

    def _reference(self, name: str) -> str:
        if name not in self._targets:
            rule = self._targets[name] = self._rules.reserve()
            self._rules.define(rule, self.value(self._definitions[name]))
        return self._targets[name]

    def _typed(self, core: dict[str, Any]) -> str:
        types = _types(core)
        options: list[str] = []
        if scalars := [type_ for type_ in types if type_ not in CONTAINERS]:
            kept = {key: value for key, value in core.items() if key not in OF_CONTAINERS}
            options.append(self._plain({**kept, "type": scalars}))
        if "array" in types:
            options.append(self._array(core))
        if "object" in types:
            options.append(self._object(core))
        return self._rules.add(alternation(options))

    def _array(self, core: dict[str, Any]) -> str:
        low, high = core.get("minItems", 0), core.get("maxItems")
        items: list[str] = []
        for index, inner in enumerate(core.get("prefixItems", [])[:high]):
            if inner is False:
                high = index
                break
            items.append(self.value(inner))
        rest = core.get("items", True)
        if rest is False:
            high = len(items) if high is None else min(high, len(items))
        if high is not None and low > high:
            raise UnsatisfiableError(f"{low} items do not fit", kind=KIND, pointer="")
        left = None if high is None else high - len(items)
        tail = ""
        if left != 0:
            more = self.value(rest)
            if not items:
                tail = self._first(more, low, high)
            else:
                tail = _repeated(f"({self._comma} {more})", max(low - len(items), 0), left)
        for index in range(len(items) - 1, -1, -1):
            before = f"{self._comma} " if index else self._blank
            tail = self._rules.add(f"{before}{items[index]} {tail}")
            tail = f"{tail}?" if index >= low else tail
        return f'("[" {tail} {self._blank}"]")'

    def _first(self, part: str, low: int, high: int | None) -> str:
        """Return `low` to `high` parts, with what goes before the first."""
        if high == 0:
            return '""'
        left = None if high is None else high - 1
        more = _repeated(f"({self._comma} {part})", max(low - 1, 0), left)
        some = f"({self._blank}{part} {more})"
        return some if low else f"{some}?"

    def _object(self, core: dict[str, Any]) -> str:
        low, high = core.get("minProperties", 0), core.get("maxProperties")
        values = {key: self._of_key(core, key) for key in _names(core)}
        required = [key for key in core.get("required", ()) if key in values]
        for key in required:
            if values[key] is False:
                raise UnsatisfiableError(
                    f"{key!r} is required and forbidden", kind=KIND, pointer=""
                )
        # Required ones have the first bits.
        allowed = [key for key, inner in values.items() if inner is not False]
        names = [*required, *(key for key in allowed if key not in required)]
        if len(names) > MAX_NAMED:
            raise LimitError(
                f"an object names {len(names)} properties; in any order at most {MAX_NAMED} are",
                kind=KIND,
                pointer="",
                hint="Leave property_order at declared, or nest some of them in an object.",
            )
        other = self._other(core, list(values))
        least = max(low, len(required))
        if (high is not None and least > high) or (other is None and low > len(names)):
            raise UnsatisfiableError("the bounds leave no object", kind=KIND, pointer="")
        if not names or high == 0:
            body = self._first(other, low, high) if other is not None else '""'
        else:
            members = [self._member(key, values[key]) for key in names]
            body = self._members(members, len(required), other, low, high)
        return f'("{{" {body} {self._blank}"}}")'

    def _member(self, key: str, inner: Core) -> str:
        return self._rules.add(f"{literal(json_text(key))} {self._colon} {self.value(inner)}")

    def _members(
        self, members: Sequence[str], required: int, other: str | None, low: int, high: int | None
    ) -> str:
        """Return members in any order, the first `required` of them required, then others."""
        count = len(members)
        first, rest = self._rules.reserve("first"), self._rules.reserve("rest")
        begin: list[str] = []
        go_on: list[str] = []
        for bit, member in enumerate(members):
            conditions = [f"bit_clear({bit})"]
            if bit >= required and high is not None:  # what is required must have room
                if high == required:
                    continue
                conditions.append(f"bit_count_lt([{required}:{count}], {high - required})")
            begin.append(f"{self._blank}{member} {rest}::set_bit({bit})")
            go_on.append(f"{self._comma} {member} {rest}::set_bit({bit}) {_if(conditions)}")
        if not required:
            begin.append(self._first(other, low, high) if other is not None else '""')
            if other is None and low:
                begin.pop()
        is_whole = [f"is_ones([0:{required}])"] if required else []
        if other is None:
            enough = [f"bit_count_ge([0:{count}], {low})"] if low > max(required, 1) else []
            go_on.append(f'"" {_if([*is_whole, *enough])}')
        elif low <= max(required, 1) and high is None:
            go_on.append(f"({self._comma} {other})* {_if(is_whole)}")
        else:
            for some in range(max(required, 1), min(count, count if high is None else high) + 1):
                more = _repeated(
                    f"({self._comma} {other})",
                    max(low - some, 0),
                    None if high is None else high - some,
                )
                go_on.append(f"{more} {_if([*is_whole, f'bit_count_eq([0:{count}], {some})'])}")
        self._rules.define(f"{first}::_", " | ".join(begin))
        self._rules.define(f"{rest}::_", " | ".join(go_on))
        return f"{first}::0x0"

    def _of_key(self, core: dict[str, Any], key: str) -> Core:
        """Return the schema of a named property's value."""
        parts = [core["properties"][key]] if key in core.get("properties", {}) else []
        for pattern, inner in core.get("patternProperties", {}).items():
            try:
                parts += [inner] if re.search(pattern, key) else []
            except re.error as error:
                raise _beside_patterns() from error
        return joined(all_of(parts)) if parts else core.get("additionalProperties", True)

    def _other(self, core: dict[str, Any], taken: Sequence[str]) -> str | None:
        """Return one member that is not named, or None."""
        extra = core.get("additionalProperties", True)
        patterns = core.get("patternProperties", {})
        if patterns and extra is not False:
            raise _beside_patterns()
        keys = [
            (_key_like(pattern), inner) for pattern, inner in patterns.items() if inner is not False
        ]
        if extra is not False:
            keys.append((STRING, extra))
        options: list[str] = []
        for pattern, inner in keys:
            named = alternation([literal(json_text(key)) for key in taken]) if taken else ""
            body = f"{pattern} & ~({named})" if named else pattern
            key = self._rules.define(self._rules.reserve("KEY"), body)
            options.append(f"{key} {self._colon} {self.value(inner)}")
        return self._rules.add(alternation(options)) if options else None


def _key_like(pattern: str) -> str:
    rules = read_grammar(f"root ::= {string_like(pattern, search=True)}")
    return "/" + regular_pattern(rules, kind="json_schema") + "/"


def _types(core: dict[str, Any]) -> Sequence[str]:
    types: str | list[str] = core.get("type", list(TYPES))
    return [types] if isinstance(types, str) else types


def _names(core: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys([*core.get("properties", ()), *core.get("required", ())]))


def _if(conditions: Sequence[str]) -> str:
    if not conditions:
        return ""
    both = ", ".join(conditions)
    return f"%if {both}" if len(conditions) == 1 else f"%if and({both})"


def _repeated(part: str, low: int, high: int | None) -> str:
    if high == 0:
        return '""'
    if high is None and low == 0:
        return f"{part}*"
    return f"{part}{{{low},{'' if high is None else high}}}"


def _beside_patterns() -> UnsupportedError:
    return UnsupportedError(
        "patternProperties beside other keys are not held in any order",
        kind=KIND,
        pointer="",
        hint="Set additionalProperties to false, or leave property_order at declared.",
    )
