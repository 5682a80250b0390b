"""JSON Schema lowered to EBNF, keyword by keyword; what cannot be enforced is refused by pointer.

xgrammar has a converter of its own. It is not used, because it drops silently what this room must
never drop: measured on 0.2.8, `required` without `properties`, `pattern` with `minLength`, bounds
without `type`, `not`, `if`, `allOf` of two, `uniqueItems`, `multipleOf` with one bound; and it
writes control characters raw into bounded strings.

What is generated is always valid under the schema (drafts 7 and 2020-12). It may be less than the
schema allows:

* layout is that of `json.dumps`: ", " and ": ", no other whitespace; properties come in the order
  of `properties`;
* an object with `properties` is closed unless `additionalProperties` opens it, as in all engines:
  a model invents keys;
* a schema without `type` takes the types that its keywords speak about; `{}` and `true` are any
  JSON;
* strings and numbers have one spelling (`strings.py`, `numbers.py`); a format means a core of its
  RFC; a string bounded past 128 characters, or by a counted set of a pattern, holds no escapes.

Adding a keyword means: move it from `keywords.REFUSED` to its type's method, and its row in
tests/constrained/test_schema.py.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

from .ebnf import EMPTY, Rules, alternation, literal, repeated
from .errors import GrammarError, LimitError, MalformedError, UnsatisfiableError, UnsupportedError
from .keywords import (
    ANNOTATIONS,
    COMBINATORS,
    KIND,
    Schema,
    ceiling,
    count_bounds,
    escape,
    floor,
    is_a,
    items_of,
    key_schema,
    malformed,
    number_bound,
    number_value,
    refuse_unknown,
    same,
    types_disjoint,
    types_of,
    values_of,
)
from .numbers import INTEGER, NUMBER, Bound, integer_between, number_between
from .objects import Member, Members, object_of
from .strings import Strings, format_pattern, json_text, string_like

__all__ = ["lower_schema"]

MAX_MEMBERS = 1_000  # of one object or one prefixItems: beyond, xgrammar takes over 10 s
MAX_OBJECT_STATES = 10_000  # declared properties x counted members of one object
MAX_MULTIPLES = 1_000


def lower_schema(document: Schema) -> str:
    """Return an EBNF grammar, rule `root`, whose texts are valid under a schema.

    Args:
        document: parsed JSON, at most `spec.MAX_SCHEMA_DEPTH` levels deep.

    Raises:
        MalformedError: a keyword has a value that JSON Schema does not allow.
        UnsupportedError: a keyword, or a combination, cannot be enforced.
        UnsatisfiableError: nothing is valid, seen from the keywords alone; the compiler sees the
            rest (recursion).
        LimitError: a number in the schema is beyond what is compiled.
    """
    return _Lowering(document).grammar()


class _Lowering:
    """One walk over a schema. Methods return expressions; `at` is a schema's JSON pointer."""

    def __init__(self, document: Schema) -> None:
        self._document = document
        self._rules = Rules()
        self._strings = Strings(self._rules)
        self._targets: dict[str, str] = {}  # JSON pointer of a $ref's target: its rule
        self._any: str | None = None

    def grammar(self) -> str:
        self._rules.define("root", self._value(self._document, ""))
        return self._rules.text()

    def _value(self, schema: Any, at: str) -> str:
        if schema is True:
            return self._anything()
        if schema is False:
            raise UnsatisfiableError("false allows nothing", kind=KIND, pointer=at)
        if not isinstance(schema, Mapping):
            raise malformed(at, "a schema", "an object or a boolean", schema)
        refuse_unknown(schema, at)
        for keyword in COMBINATORS:
            if keyword in schema:
                return self._combined(keyword, schema, at)
        types = types_of(schema, at)
        if types is None:
            return self._anything()
        options = [self._typed(type_, schema, at) for type_ in types]
        return self._rules.add(alternation(options))

    def _combined(self, keyword: str, schema: Mapping[str, Any], at: str) -> str:
        if keyword in ("const", "enum"):
            return self._finite(schema, at)
        beside = [key for key in schema if key != keyword and key not in ANNOTATIONS]
        if beside:
            raise UnsupportedError(
                f"{keyword} is enforced only by itself, here {', '.join(beside)} stands beside it",
                kind=KIND,
                pointer=f"{at}/{keyword}",
                hint="Merge the two into one schema by hand.",
            )
        inner = schema[keyword]
        if keyword == "$ref":
            return self._reference(inner, f"{at}/$ref")
        if not isinstance(inner, list) or not inner:
            raise malformed(f"{at}/{keyword}", keyword, "a list of one or more schemas", inner)
        if keyword == "allOf" and len(inner) > 1:
            raise UnsupportedError(
                f"allOf of {len(inner)} schemas is not enforced; of one it is",
                kind=KIND,
                pointer=f"{at}/allOf",
                hint="Merge them into one schema by hand.",
            )
        if keyword == "oneOf":
            self._check_disjoint(inner, f"{at}/oneOf")
        branches = [
            self._value(branch, f"{at}/{keyword}/{index}")
            for index, branch in enumerate(inner)
            if branch is not False
        ]
        if not branches:
            raise UnsatisfiableError("every branch is false", kind=KIND, pointer=f"{at}/{keyword}")
        return self._rules.add(alternation(branches))

    def _finite(self, schema: Mapping[str, Any], at: str) -> str:
        values = schema.get("enum", [schema.get("const")])
        if not isinstance(values, list):
            raise malformed(f"{at}/enum", "enum", "a list", values)
        if "const" in schema:
            values = [value for value in values if same(value, schema["const"])]
        beside = [k for k in schema if k not in ("enum", "const", "type") and k not in ANNOTATIONS]
        if beside:
            raise UnsupportedError(
                f"{beside[0]} beside enum or const is not enforced",
                kind=KIND,
                pointer=f"{at}/{escape(beside[0])}",
                hint="Keep only the values that satisfy it.",
            )
        types = types_of(schema, at)
        if types is not None:
            values = [value for value in values if any(is_a(value, type_) for type_ in types)]
        if not values:
            raise UnsatisfiableError("no value is left to choose", kind=KIND, pointer=at)
        return self._rules.add(alternation([literal(json_text(value)) for value in values]))

    def _reference(self, reference: Any, at: str) -> str:
        target = self._resolve(reference, at)
        pointer = reference[1:]
        if pointer not in self._targets:
            name = self._targets[pointer] = self._rules.reserve()
            self._rules.define(name, self._value(target, pointer))
        return self._targets[pointer]

    def _resolve(self, reference: Any, at: str) -> Any:
        if not isinstance(reference, str):
            raise malformed(at, "$ref", "a string", reference)
        if reference != "#" and not reference.startswith("#/"):
            raise UnsupportedError(
                f"{reference!r} is outside this schema; nothing is fetched",
                kind=KIND,
                pointer=at,
                hint="Copy the schema under $defs and write #/$defs/NAME.",
            )
        node: Any = self._document
        for part in reference.split("/")[1:]:
            key = unquote(part).replace("~1", "/").replace("~0", "~")
            if isinstance(node, Mapping) and key in node:
                node = node[key]
            elif isinstance(node, list) and key.isdecimal() and int(key) < len(node):
                node = node[int(key)]
            else:
                raise MalformedError(
                    f"{reference!r} leads nowhere: there is no {key!r}", kind=KIND, pointer=at
                )
        return node

    def _typed(self, type_: str, schema: Mapping[str, Any], at: str) -> str:
        match type_:
            case "null":
                return literal("null")
            case "boolean":
                return alternation([literal("true"), literal("false")])
            case "integer" | "number":
                return self._number(schema, at, is_integer=type_ == "integer")
            case "string":
                return self._string(schema, at)
            case "array":
                return self._array(schema, at)
            case _:
                return self._object(schema, at)

    def _string(self, schema: Mapping[str, Any], at: str) -> str:
        low, high = count_bounds(schema, at, "minLength", "maxLength")
        pattern, format_ = schema.get("pattern"), schema.get("format")
        if pattern is not None and format_ is not None:
            raise UnsupportedError(
                "format beside pattern is not enforced", kind=KIND, pointer=f"{at}/format"
            )
        keyword = "pattern" if format_ is None else "format"
        if not isinstance(text := schema.get(keyword, ""), str):
            raise malformed(f"{at}/{keyword}", keyword, "a string", text)
        if keyword not in schema:
            return self._strings.of_length(low, high)
        if format_ is not None:
            text = format_pattern(format_, pointer=f"{at}/format")
        try:
            return string_like(text, search=format_ is None, low=low, high=high)
        except GrammarError as error:
            raise type(error)(
                error.reason, kind=KIND, pointer=f"{at}/{keyword}", hint=error.hint
            ) from error

    def _number(self, schema: Mapping[str, Any], at: str, *, is_integer: bool) -> str:
        low = number_bound(schema, at, "minimum", "exclusiveMinimum", max)
        high = number_bound(schema, at, "maximum", "exclusiveMaximum", min)
        step = schema.get("multipleOf")
        if step is not None:
            if number_value(step, f"{at}/multipleOf") <= 0:
                raise malformed(f"{at}/multipleOf", "multipleOf", "a number above 0", step)
            expression = self._multiples(Decimal(repr(step)), low, high, at, is_integer=is_integer)
        elif is_integer:
            expression = integer_between(ceiling(low), floor(high)) if low or high else INTEGER
        else:
            expression = number_between(low, high) if low or high else NUMBER
        if expression is None:
            raise UnsatisfiableError("no number lies within the bounds", kind=KIND, pointer=at)
        return self._rules.add(expression)

    def _multiples(
        self, step: Decimal, low: Bound | None, high: Bound | None, at: str, *, is_integer: bool
    ) -> str | None:
        """Return the multiples of a whole step within bounds, listed."""
        first, last = ceiling(low), floor(high)
        if step == 1:
            return integer_between(first, last) if low or high else INTEGER
        if step != int(step) or first is None or last is None:
            raise UnsupportedError(
                f"multipleOf {step} is enforced only for a whole step between two bounds",
                kind=KIND,
                pointer=f"{at}/multipleOf",
                hint="Give both bounds, or generate the quotient.",
            )
        whole = int(step)
        values = range(-(-first // whole) * whole, last + 1, whole)
        if len(values) > MAX_MULTIPLES:
            raise LimitError(
                f"{len(values):,} multiples lie within the bounds; {MAX_MULTIPLES:,} are allowed",
                kind=KIND,
                pointer=f"{at}/multipleOf",
            )
        return alternation([literal(str(value)) for value in values]) if values else None

    def _array(self, schema: Mapping[str, Any], at: str) -> str:
        low, high = count_bounds(schema, at, "minItems", "maxItems")
        if schema.get("uniqueItems", False) is not False and (high is None or high > 1):
            raise UnsupportedError(
                "uniqueItems is not enforced",
                kind=KIND,
                pointer=f"{at}/uniqueItems",
                hint="List the wanted combinations with enum, or drop it and check the result.",
            )
        prefix, rest, keyword = items_of(schema, at)
        _limit_members(len(prefix), f"{at}/{keyword}")
        items: list[str] = []
        for index, inner in enumerate(prefix[:high]):
            if inner is False:
                high = index
                break
            items.append(self._value(inner, f"{at}/{keyword}/{index}"))
        if rest is False:
            high = len(items) if high is None else min(high, len(items))
        if high is not None and low > high:
            raise UnsatisfiableError(f"{low} items do not fit", kind=KIND, pointer=at)
        more = "" if rest is False else self._value(rest, f"{at}/items")
        return f"({literal('[')} {self._elements(items, more, low, high)} {literal(']')})"

    def _elements(self, items: Sequence[str], more: str, low: int, high: int | None) -> str:
        """Return `low` to `high` elements, first `items` and then `more`, built from the end."""
        count = len(items)
        left = None if high is None else high - count
        tail = EMPTY
        if left != 0:
            comma = f"({literal(', ')} {more})"
            if not items:
                others = repeated(comma, max(low - 1, 0), None if left is None else left - 1)
                some = f"({more} {others})"
                return some if low else alternation([EMPTY, some])
            tail = repeated(comma, max(low - count, 0), left)
        for index in range(count - 1, -1, -1):
            comma = literal(", ") + " " if index else ""
            tail = self._rules.add(f"({comma}{items[index]} {tail})")
            if index >= low:
                tail = alternation([EMPTY, tail])
        return tail

    def _object(self, schema: Mapping[str, Any], at: str) -> str:
        low, high = count_bounds(schema, at, "minProperties", "maxProperties")
        declared, extra = self._declared(schema, at)
        other = self._other(schema, [member.key for member in declared], extra, at)
        if other is not None and low > sum(member.is_required for member in declared) + 1:
            raise UnsupportedError(
                f"minProperties {low} counts keys that may repeat, since the object is open",
                kind=KIND,
                pointer=f"{at}/minProperties",
                hint="Set additionalProperties to false, or name the keys in properties.",
            )
        if len(declared) * min(len(declared), max(low, high or 0)) > MAX_OBJECT_STATES:
            raise LimitError(
                f"counting {len(declared)} properties takes more than {MAX_OBJECT_STATES:,} states",
                kind=KIND,
                pointer=at,
                hint="Drop minProperties and maxProperties.",
            )
        expression = object_of(Members(declared, other, low, high), self._rules)
        if expression is None:
            raise UnsatisfiableError(
                "minProperties, maxProperties and required leave no object", kind=KIND, pointer=at
            )
        return expression

    def _declared(self, schema: Mapping[str, Any], at: str) -> tuple[list[Member], Any]:
        """Return the declared members, and the schema of the others (False: closed)."""
        properties = schema.get("properties", {})
        required = schema.get("required", [])
        if not isinstance(properties, Mapping):
            raise malformed(f"{at}/properties", "properties", "an object", properties)
        if not isinstance(required, list) or not all(isinstance(key, str) for key in required):
            raise malformed(f"{at}/required", "required", "a list of strings", required)
        is_closed = "properties" in schema or "patternProperties" in schema
        extra = schema.get("additionalProperties", not is_closed)
        _limit_members(len({*properties, *required}), f"{at}/properties")
        members = []
        for key in dict.fromkeys([*properties, *required]):
            is_required = key in required
            # A required key that is not declared has the schema of the undeclared ones.
            inner = properties.get(key, schema.get("additionalProperties", True))
            if inner is False:
                if is_required:
                    raise UnsatisfiableError(
                        f"{key!r} is required and forbidden", kind=KIND, pointer=f"{at}/required"
                    )
                continue
            where = f"{at}/properties/{escape(key)}" if key in properties else f"{at}/required"
            members.append(Member(key, self._value(inner, where), is_required))
        return members, extra

    def _other(
        self, schema: Mapping[str, Any], declared: Sequence[str], extra: Any, at: str
    ) -> str | None:
        """Return the expression of one undeclared member, or None."""
        patterns = schema.get("patternProperties", {})
        if not isinstance(patterns, Mapping):
            raise malformed(f"{at}/patternProperties", "patternProperties", "an object", patterns)
        names = schema.get("propertyNames", True)
        for keyword, is_used in (
            ("patternProperties", bool(patterns)),
            ("propertyNames", names is not True),
        ):
            if is_used and (declared or (keyword == "patternProperties" and extra is not False)):
                raise UnsupportedError(
                    f"{keyword} is enforced only in an object without other properties",
                    kind=KIND,
                    pointer=f"{at}/{keyword}",
                    hint="Name the keys in properties.",
                )
        if patterns:
            if len(patterns) > 1 or names is not True:
                raise UnsupportedError(
                    "patternProperties is enforced for one pattern alone",
                    kind=KIND,
                    pointer=f"{at}/patternProperties",
                )
            ((pattern, inner),) = patterns.items()
            where = f"{at}/patternProperties/{escape(pattern)}"
            if inner is False:
                return None
            key = self._string({"pattern": pattern}, where)
            return f"({key} {literal(': ')} {self._value(inner, where)})"
        forbidden = [*declared, *(k for k, v in schema.get("properties", {}).items() if v is False)]
        if extra is False or names is False:
            return None
        if names is not True:
            key = self._value(key_schema(names, f"{at}/propertyNames"), f"{at}/propertyNames")
        elif forbidden:
            key = self._strings.all_but(forbidden)
        else:
            key = self._strings.of_length(0, None)
        return f"({key} {literal(': ')} {self._value(extra, f'{at}/additionalProperties')})"

    def _check_disjoint(self, branches: Sequence[Any], at: str) -> None:
        """Refuse oneOf unless no value can satisfy two branches: then it is anyOf."""
        schemas = [self._followed(branch, at) for branch in branches]
        for (i, left), (j, right) in itertools.combinations(enumerate(schemas), 2):
            if not (types_disjoint(left, right, at) or self._tags_disjoint(left, right, at)):
                raise UnsupportedError(
                    f"oneOf branches {i} and {j} may both match one value, which oneOf forbids",
                    kind=KIND,
                    pointer=at,
                    hint="Use anyOf, or give each branch a required property with its own const.",
                )

    def _followed(self, schema: Any, at: str) -> Any:
        for _ in range(100):
            if not (isinstance(schema, Mapping) and "$ref" in schema):
                break
            schema = self._resolve(schema["$ref"], at)
        return schema

    def _tags_disjoint(self, left: Any, right: Any, at: str) -> bool:
        """Whether a property that both require has no value in common."""
        for schema in (left, right):
            if not isinstance(schema, Mapping) or schema.get("type") != "object":
                return False
        shared = set(left.get("required", ())) & set(right.get("required", ()))
        for key in shared:
            tags = [
                values_of(self._followed(side.get("properties", {}).get(key), at))
                for side in (left, right)
            ]
            if None not in tags and not any(
                same(a, b) for a in tags[0] or () for b in tags[1] or ()
            ):
                return True
        return False

    def _anything(self) -> str:
        """Return the rule for any JSON value."""
        if self._any is None:
            self._any = self._rules.reserve()
            string = self._rules.add(self._strings.of_length(0, None))
            member = f"({string} {literal(': ')} {self._any})"
            object_ = object_of(Members((), member), self._rules)
            array = f"({literal('[')} {self._elements((), self._any, 0, None)} {literal(']')})"
            words = [literal(word) for word in ("null", "true", "false")]
            options = [*words, self._rules.add(NUMBER), string, array, str(object_)]
            self._rules.define(self._any, alternation(options))
        return self._any


def _limit_members(count: int, at: str) -> None:
    if count > MAX_MEMBERS:
        raise LimitError(
            f"there are {count:,} members; at most {MAX_MEMBERS:,} are compiled",
            kind=KIND,
            pointer=at,
        )
