"""Core schemas (`normal.form`) lowered to EBNF for xgrammar; what it cannot count is refused.

xgrammar has a converter of its own. It is not used, because it drops silently what this room must
never drop: measured on 0.2.8, `required` without `properties`, `pattern` with `minLength`, bounds
without `type`, `allOf` of two, `multipleOf` with one bound; and it writes control characters raw
into bounded strings.

The layout is `layout.py`'s, and strings and numbers have one
spelling (`strings.py`, `numbers.py`); a string bounded past 128 characters, or by a counted set of
a pattern, holds no escapes.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from .ebnf import EMPTY, Rules, alternation, literal, repeated
from .errors import GrammarError, LimitError, UnsatisfiableError, UnsupportedError
from .keywords import KIND, TYPES, is_a, same
from .layout import COMPACT, Layout, Marks
from .normal.form import Core
from .numbers import FINITE, Bound, Unbounded, integer_between, number_between
from .objects import Member, Members, object_of
from .strings import Strings, json_text, string_like

__all__ = ["lower_schema", "schema_expression"]

MAX_MEMBERS = 1_000  # of one object or one prefixItems: beyond, xgrammar takes over 10 s
MAX_OBJECT_STATES = 10_000  # declared properties x counted members of one object
MAX_MULTIPLES = 1_000

COMBINATORS = ("$ref", "anyOf", "allOf")


def lower_schema(core: Core, numbers: Unbounded = FINITE, layout: Layout = COMPACT) -> str:
    """Return an EBNF grammar, rule `root`, whose texts are valid under a core schema.

    Args:
        core: the schema.
        numbers: how those without bounds are written.
        layout: of the texts.

    Raises:
        UnsupportedError: a combination that EBNF cannot write.
        UnsatisfiableError: nothing is valid.
        LimitError: a number in the schema is beyond what is compiled.
    """
    rules = Rules()
    rules.define("root", schema_expression(core, rules, numbers, layout))
    return rules.text()


def schema_expression(
    core: Core, rules: Rules, numbers: Unbounded = FINITE, layout: Layout = COMPACT
) -> str:
    """Return an expression for the texts of a core schema, in a grammar that holds more.

    Arguments and errors: `lower_schema`.
    """
    return _Lowering(core, rules, numbers, layout).value(core)


class _Lowering:
    """One walk over a core schema. Methods return expressions."""

    def __init__(self, core: Core, rules: Rules, numbers: Unbounded, layout: Layout) -> None:
        self._numbers = numbers
        self._layout = layout
        self._marks = Marks.of(layout.whitespace, rules)
        self._definitions: dict[str, Core] = {} if isinstance(core, bool) else core.get("$defs", {})
        self._rules = rules
        self._strings = Strings(self._rules, self._marks.following)
        self._targets: dict[str, str] = {}  # name of a definition: its rule
        self._any: str | None = None

    def value(self, core: Core) -> str:
        if core is False:
            raise UnsatisfiableError("a schema in it allows nothing", kind=KIND, pointer="")
        keywords = {} if core is True else {k: v for k, v in core.items() if k != "$defs"}
        if not keywords:
            return self._anything()
        for keyword in COMBINATORS:
            if keyword in keywords:
                return self._combined(keyword, keywords)
        if "enum" in keywords or "const" in keywords:
            return self._finite(keywords)
        types = keywords.get("type", [type_ for type_ in TYPES if type_ != "integer"])
        types = types if isinstance(types, list) else [types]
        types = [t for t in dict.fromkeys(types) if not (t == "integer" and "number" in types)]
        return self._rules.add(alternation([self._typed(type_, keywords) for type_ in types]))

    def _combined(self, keyword: str, core: dict[str, Any]) -> str:
        if len(core) > 1 or keyword == "allOf":
            raise _refused(f"a conjunction of {', '.join(core)}", "Merge them by hand.")
        if keyword == "$ref":
            return self._reference(core["$ref"].rpartition("/")[2])
        return self._rules.add(alternation([self.value(branch) for branch in core["anyOf"]]))

    def _finite(self, core: dict[str, Any]) -> str:
        values = core.get("enum", [core.get("const")])
        if "const" in core:
            values = [value for value in values if same(value, core["const"])]
        if beside := core.keys() - {"enum", "const", "type"}:
            raise _refused(f"{min(beside)} beside enum", "Keep only the values that satisfy it.")
        if "type" in core:
            types = core["type"] if isinstance(core["type"], list) else [core["type"]]
            values = [value for value in values if any(is_a(value, type_) for type_ in types)]
        if not values:
            raise UnsatisfiableError("no value is left to choose", kind=KIND, pointer="")
        return self._rules.add(alternation([literal(json_text(value)) for value in values]))

    def _reference(self, name: str) -> str:
        if name not in self._targets:
            rule = self._targets[name] = self._rules.reserve()
            self._rules.define(rule, self.value(self._definitions[name]))
        return self._targets[name]

    def _typed(self, type_: str, core: dict[str, Any]) -> str:
        match type_:
            case "null":
                return literal("null")
            case "boolean":
                return alternation([literal("true"), literal("false")])
            case "integer" | "number":
                return self._number(core, is_integer=type_ == "integer")
            case "string":
                return self._string(core)
            case "array":
                return self._array(core)
            case _:
                return self._object(core)

    def _string(self, core: dict[str, Any]) -> str:
        low, high = core.get("minLength", 0), core.get("maxLength")
        if high is not None and low > high:
            raise UnsatisfiableError("no length lies within the bounds", kind=KIND, pointer="")
        if "pattern" not in core:
            return self._strings.of_length(low, high)
        try:
            return string_like(core["pattern"], search=True, low=low, high=high)
        except GrammarError as error:
            raise type(error)(error.reason, kind=KIND, pointer="", hint=error.hint) from error

    def _number(self, core: dict[str, Any], *, is_integer: bool) -> str:
        low = _tighter(core, "minimum", "exclusiveMinimum", 1)
        high = _tighter(core, "maximum", "exclusiveMaximum", -1)
        step = core.get("multipleOf")
        if step is not None:
            expression = self._multiples(Decimal(repr(step)), low, high, is_integer=is_integer)
        elif is_integer:
            expression = (
                integer_between(_ceiling(low), _floor(high))
                if low or high
                else self._numbers.integer
            )
        else:
            expression = number_between(low, high) if low or high else self._numbers.number
        if expression is None:
            raise UnsatisfiableError("no number lies within the bounds", kind=KIND, pointer="")
        return self._rules.add(expression)

    def _multiples(
        self, step: Decimal, low: Bound | None, high: Bound | None, *, is_integer: bool
    ) -> str | None:
        """Return the multiples of a whole step within bounds, listed."""
        first, last = _ceiling(low), _floor(high)
        if step == 1:
            return integer_between(first, last) if low or high else self._numbers.integer
        if step != int(step) or first is None or last is None:
            raise _refused(
                f"multipleOf {step} without whole numbers and two bounds", "Give both bounds."
            )
        whole = int(step)
        values = range(-(-first // whole) * whole, last + 1, whole)
        if len(values) > MAX_MULTIPLES:
            raise _limited(f"{len(values):,} multiples; {MAX_MULTIPLES:,} are allowed")
        return alternation([literal(str(value)) for value in values]) if values else None

    def _array(self, core: dict[str, Any]) -> str:
        low, high = core.get("minItems", 0), core.get("maxItems")
        prefix, rest = core.get("prefixItems", []), core.get("items", True)
        _limit_members(len(prefix))
        items: list[str] = []
        for index, inner in enumerate(prefix[:high]):
            if inner is False:
                high = index
                break
            items.append(self.value(inner))
        if rest is False:
            high = len(items) if high is None else min(high, len(items))
        if high is not None and low > high:
            raise UnsatisfiableError(f"{low} items do not fit", kind=KIND, pointer="")
        more = "" if rest is False else self.value(rest)
        return self._bracketed(self._elements(items, more, low, high))

    def _bracketed(self, elements: str) -> str:
        return f"({literal('[')} {elements} {self._marks.blank}{literal(']')})"

    def _elements(self, items: Sequence[str], more: str, low: int, high: int | None) -> str:
        """Return `low` to `high` elements, first `items` and then `more`, built from the end."""
        count = len(items)
        left = None if high is None else high - count
        tail = EMPTY
        if left != 0:
            comma = f"({self._marks.comma} {more})"
            if not items:
                others = repeated(comma, max(low - 1, 0), None if left is None else left - 1)
                some = f"({self._marks.blank}{more} {others})"
                return some if low else alternation([EMPTY, some])
            tail = repeated(comma, max(low - count, 0), left)
        for index in range(count - 1, -1, -1):
            comma = self._marks.comma + " " if index else self._marks.blank
            tail = self._rules.add(f"({comma}{items[index]} {tail})")
            if index >= low:
                tail = alternation([EMPTY, tail])
        return tail

    def _object(self, core: dict[str, Any]) -> str:
        low, high = core.get("minProperties", 0), core.get("maxProperties")
        properties, required = core.get("properties", {}), core.get("required", [])
        extra = core.get("additionalProperties", True)
        _limit_members(len({*properties, *required}))
        members: list[Member] = []
        for key in dict.fromkeys([*properties, *required]):
            # A required key that is not declared has the schema of the undeclared ones.
            inner = properties.get(key, extra)
            if inner is not False:
                members.append(Member(key, self.value(inner), key in required))
            elif key in required:
                raise UnsatisfiableError(
                    f"{key!r} is required and forbidden", kind=KIND, pointer=""
                )
        forbidden = [key for key, inner in properties.items() if inner is False]
        other = self._other(core, [*(member.key for member in members), *forbidden])
        if len(members) * min(len(members), max(low, high or 0)) > MAX_OBJECT_STATES:
            raise _limited(f"counting {len(members)} properties takes too many states")
        described = Members(members, other, low, high)
        expression = object_of(described, self._rules, self._marks, self._layout)
        if expression is None:
            raise UnsatisfiableError("the bounds leave no object", kind=KIND, pointer="")
        return expression

    def _other(self, core: dict[str, Any], taken: Sequence[str]) -> str | None:
        """Return the expression of one undeclared member, or None."""
        extra = core.get("additionalProperties", True)
        if patterns := core.get("patternProperties", {}):
            if len(patterns) > 1 or taken or extra is not False:
                raise _refused("patternProperties beside others", "Name the keys in properties.")
            ((pattern, inner),) = patterns.items()
            if inner is False:
                return None
            return f"({self._string({'pattern': pattern})} {self._marks.colon} {self.value(inner)})"
        if extra is False:
            return None
        key = self._strings.all_but(taken) if taken else self._strings.of_length(0, None)
        return f"({key} {self._marks.colon} {self.value(extra)})"

    def _anything(self) -> str:
        """Return the rule for any JSON value."""
        if self._any is None:
            self._any = self._rules.reserve()
            string = self._rules.add(self._strings.of_length(0, None))
            member = f"({string} {self._marks.colon} {self._any})"
            object_ = object_of(Members((), member), self._rules, self._marks, self._layout)
            array = self._bracketed(self._elements((), self._any, 0, None))
            words = [literal(word) for word in ("null", "true", "false")]
            options = [*words, self._rules.add(self._numbers.number), string, array, str(object_)]
            self._rules.define(self._any, alternation(options))
        return self._any


def _tighter(core: dict[str, Any], closed: str, opened: str, sign: int) -> Bound | None:
    """Return the tighter of an inclusive and an exclusive bound; `sign` 1 is for lower ones."""
    bound: Bound | None = None
    for keyword, is_open in ((opened, True), (closed, False)):
        if keyword in core:
            value = Decimal(repr(core[keyword]))
            if bound is None or value * sign > bound.value * sign:
                bound = Bound(value, is_open)
    return bound


def _ceiling(bound: Bound | None) -> int | None:
    """Return the least integer within a lower bound; None for no bound."""
    if bound is None:
        return None
    whole = bound.value.to_integral_value("ROUND_CEILING")
    return int(whole) + (bound.is_open and whole == bound.value)


def _floor(bound: Bound | None) -> int | None:
    """Return the greatest integer within an upper bound; None for no bound."""
    return None if (up := _ceiling(-bound if bound else None)) is None else -up


def _limit_members(count: int) -> None:
    if count > MAX_MEMBERS:
        raise _limited(f"there are {count:,} members; at most {MAX_MEMBERS:,} are compiled")


def _limited(reason: str) -> LimitError:
    return LimitError(reason, kind=KIND, pointer="")


def _refused(what: str, hint: str) -> UnsupportedError:
    return UnsupportedError(
        f"xgrammar's EBNF does not hold {what}", kind=KIND, pointer="", hint=hint
    )
