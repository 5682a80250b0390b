"""How many tokens surely complete a text, wherever it stands: from the schema alone, in no time.

Finding the true number takes a network of the whole grammar (`completion.py`), which a request far
from its budget need not wait for. A ceiling is read off a core schema, or a pattern, in one walk:
for each part, how many tokens write its least instance, and how many complete it at worst when it
is begun. Every byte is a token here, but for required keys and listed values, which are spelled;
so the vocabulary must have every byte.

What goes on behind a value is added up on the way to it. In definitions that refer to each other in
circles, and in values of any kind, that has no bound: there it is paid for every bracket that the
text has opened.

A conjunction is opened first (`loose.py`). Where that is not exact, and for patterns of keys beside
others, there is no ceiling. Nor is there one where the grammar's network, which must find the way
to the end once a budget is near, might become too large to be built.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from .errors import GrammarError, UnsupportedError
from .expressions import (
    Choice,
    Expression,
    Literal,
    OneOf,
    Reference,
    Repeat,
    Sequence,
    UnreadableError,
    read_grammar,
)
from .keywords import TYPES, is_a
from .loose import loosened
from .normal.form import Core
from .pattern import lower_pattern
from .schema import lower_schema
from .spec import GrammarSpec, parse_json
from .spelling import Speller
from .strings import json_text, string_like

__all__ = ["Ceiling", "ceiling"]

NEVER = 1 << 40  # tokens of what has no finite instance
MAX_BASE = 4_000  # what must be written often takes that many places in the network, some 15 each
MAX_TEXT_CHARS = 200_000  # of the EBNF that the network is built of; a place takes some 3
MAX_LISTED_BYTES = 100_000  # of choices
MAX_PLACES = 5_000  # parts of a pattern, each as often as it may be repeated
MAX_ROUNDS = 12  # over definitions in circles; stopping early gives a higher ceiling
BOUNDS = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")

# What is left to write at worst: of a character of a string, an escape or three bytes of UTF-8, and
# the quote; of a number, a digit behind a sign, a point or an exponent; of a key that differs from
# those declared, some characters and the quote; of any value, the most of these and its colon.
STRING, NUMBER, KEY, ANYTHING = 8, 4, 12, 16


@dataclass(frozen=True, slots=True)
class Ceiling:
    """Tokens that suffice to complete any beginning of a text.

    Attributes:
        base: without recursion.
        each: more, for every `{` and `[` in the text so far.
    """

    base: int
    each: int

    def at(self, opened: int) -> int:
        """Return the tokens that suffice behind a text with so many opening brackets."""
        return self.base + self.each * opened


class Span(NamedTuple):
    """Tokens of a part: of its least instance, and to complete it at worst; worst >= least."""

    least: int
    worst: int


class UnboundedError(ValueError):
    """No ceiling is read off this."""


def ceiling(spec: GrammarSpec, core: Core, speller: Speller) -> Ceiling | None:
    """Return the ceiling of a spec's texts; None where none is known.

    Args:
        spec: what was compiled.
        core: the core schema that it became, if it is of JSON.
        speller: of the vocabulary.

    Cost: milliseconds, for a schema is written as EBNF to see how large it becomes.
    """
    if not speller.has_every_byte:
        return None
    found = _found(spec, core, speller)
    return None if found is None or found.base > MAX_BASE else found


def _found(spec: GrammarSpec, core: Core, speller: Speller) -> Ceiling | None:
    try:
        match spec.kind:
            case "regex":
                text = lower_pattern(spec.source)
                if _places(read_grammar(f"root ::= {text}")["root"]) > MAX_PLACES:
                    return None
                return Ceiling(_pattern(text).worst, 0)
            case "choices":
                options = parse_json(spec.source, kind=spec.kind)
                if len(spec.source) > MAX_LISTED_BYTES:
                    return None
                return Ceiling(_listed(options, speller).worst, 0)
            case "json_schema" | "json_object":
                try:
                    text = lower_schema(core, layout=spec.layout)
                except UnsupportedError:
                    core, is_exact = loosened(core)
                    if not is_exact:
                        return None
                    text = lower_schema(core, layout=spec.layout)
                if len(text) > MAX_TEXT_CHARS:
                    return None
                return _Walk(core, speller).ceiling()
            case "ebnf" | "gbnf" | "lark" | "structural_tag":
                return None
    except (GrammarError, UnreadableError, UnboundedError, RecursionError):
        return None


class _Walk:
    """One walk over a core schema."""

    def __init__(self, core: Core, speller: Speller) -> None:
        self._core = core
        self._speller = speller
        self._definitions: dict[str, Core] = {} if isinstance(core, bool) else core.get("$defs", {})
        self._spans: dict[str, Span] = {}  # of definitions
        self._is_circular = False  # in what is being walked
        self._each = 0

    def ceiling(self) -> Ceiling:
        before, circles, behind = self._order()
        for name in before:
            self._spans[name] = self.of(self._definitions[name])
        self._circles(circles)
        for name in behind:
            self._spans[name] = self.of(self._definitions[name])
        base = self.of(self._core).worst
        if base >= NEVER or self._each >= NEVER:
            raise UnboundedError("a part of it has no finite instance")
        return Ceiling(base, self._each)

    def _order(self) -> tuple[list[str], list[str], list[str]]:
        """Return definitions that refer to no circle, then those in circles or between two, then
        those that lead to circles; each after what it refers to.
        """
        targets = {name: set(_references(core)) for name, core in self._definitions.items()}
        if not all(found <= targets.keys() for found in targets.values()):
            raise UnboundedError("a reference leads nowhere")
        before = _peeled(targets, targets.keys())
        rest = targets.keys() - set(before)
        sources: dict[str, set[str]] = {name: set() for name in rest}
        for name in rest:
            for target in targets[name] & rest:
                sources[target].add(name)
        behind = _peeled(sources, rest)
        return before, [name for name in rest if name not in set(behind)], behind[::-1]

    def _circles(self, names: list[str]) -> None:
        """Find the spans of definitions in circles: least instances get smaller round by round."""
        self._spans.update(dict.fromkeys(names, Span(NEVER, NEVER)))
        self._is_circular, others = True, self._each
        for _ in range(MAX_ROUNDS):
            self._each = others
            found = {name: self.of(self._definitions[name]) for name in names}
            if all(found[name].least == self._spans[name].least for name in names):
                break
            self._spans.update({name: Span(span.least, span.least) for name, span in found.items()})
        else:
            self._each = others
            found = {name: self.of(self._definitions[name]) for name in names}
        self._is_circular = False
        worst = max((span.worst for span in found.values()), default=0)
        self._spans.update({name: Span(span.least, worst) for name, span in found.items()})

    def of(self, core: Core) -> Span:
        """Return the span of a schema's instances."""
        if core is False:
            return Span(NEVER, 0)
        keywords = {} if core is True else {k: v for k, v in core.items() if k != "$defs"}
        if not keywords:
            self._each = max(self._each, 1)  # the bracket that closes
            return Span(1, ANYTHING)
        if "allOf" in keywords or (len(keywords) > 1 and keywords.keys() & {"anyOf", "$ref"}):
            raise UnboundedError("it is a conjunction")
        if "anyOf" in keywords:
            return _either(map(self.of, keywords["anyOf"]))
        if "$ref" in keywords:
            return self._spans[keywords["$ref"].rpartition("/")[2]]
        types = keywords.get("type", TYPES)
        types = types if isinstance(types, list | tuple) else [types]
        if "enum" in keywords or "const" in keywords:
            return self._finite(keywords, types)
        return _either(self._typed(type_, keywords) for type_ in types)

    def _finite(self, core: dict[str, Any], types: Iterable[str]) -> Span:
        listed = core["enum"] if "enum" in core else [core["const"]]
        values = [value for value in listed if any(is_a(value, type_) for type_ in types)]
        span = _listed(map(json_text, values), self._speller)
        # Other keywords may leave only the longest.
        return span if core.keys() <= {"enum", "const", "type"} else Span(span.worst, span.worst)

    def _typed(self, type_: str, core: dict[str, Any]) -> Span:
        match type_:
            case "null" | "boolean":
                return Span(5, 5)
            case "integer" | "number":
                return _number(core)
            case "string":
                return _string(core)
            case "array":
                return self._array(core)
            case _:
                return self._object(core)

    def _array(self, core: dict[str, Any]) -> Span:
        low, high = core.get("minItems", 0), core.get("maxItems")
        prefix = [self.of(inner) for inner in core.get("prefixItems", [])[:high]]
        has_more = high is None or high > len(prefix)
        items = [*prefix, self.of(core.get("items", True))] if has_more else prefix
        needed = sum(span.least + 1 for span in prefix[:low])
        if low > len(prefix):
            needed += (low - len(prefix)) * (items[-1].least + 1 if has_more else NEVER)
        return self._container(items, needed + 1)

    def _object(self, core: dict[str, Any]) -> Span:
        properties, required = core.get("properties", {}), set(core.get("required", ()))
        other = self._other(core)
        members: list[Span] = []
        needed = 0
        for key in dict.fromkeys([*properties, *core.get("required", ())]):
            text = json_text(key).encode()
            if key in required:
                name = Span((counts := self._speller.counts(text))[0], max(counts))
            else:
                name = Span(len(text), len(text))
            value = self.of(properties.get(key, core.get("additionalProperties", True)))
            if value.least < NEVER or key in required:
                members.append(_member(name, value))
                needed += members[-1].least + 1 if key in required else 0
        if other is not None:
            members.append(other)
        dearest = max((member.least for member in members), default=0)
        needed += core.get("minProperties", 0) * (dearest + 1)
        return self._container(members, needed + 1)

    def _other(self, core: dict[str, Any]) -> Span | None:
        """Return the span of an undeclared member; None where there can be none."""
        extra = core.get("additionalProperties", True)
        if patterns := core.get("patternProperties"):
            if (
                len(patterns) > 1
                or "properties" in core
                or "required" in core
                or extra is not False
            ):
                raise UnboundedError("it has patterns of keys beside others")
            ((pattern, extra),) = patterns.items()
            name = _string({"pattern": pattern})
        else:
            name = Span(KEY, KEY)
        value = self.of(extra)
        return None if value.least >= NEVER else _member(name, value)

    def _container(self, parts: list[Span], behind: int) -> Span:
        """Return the span of an array or object.

        Args:
            parts: of it, of which one may be begun.
            behind: tokens of all that it needs besides, with the bracket that closes.
        """
        least = min(behind + 1, NEVER)
        worst = max((part.worst for part in parts), default=0)
        if self._is_circular:
            self._each = max(self._each, behind)
        else:
            worst += behind
        return Span(least, max(worst, least))


def _member(name: Span, value: Span) -> Span:
    least = min(name.least + 1 + value.least, NEVER)
    return Span(least, max(name.worst + 1 + value.least, value.worst))


def _either(spans: Iterable[Span]) -> Span:
    known = list(spans)
    return Span(
        min((span.least for span in known), default=NEVER),
        max((span.worst for span in known if span.least < NEVER), default=0),
    )


def _listed(texts: Iterable[str], speller: Speller) -> Span:
    """Return the span of some texts. A byte is a token at most: so few of many are spelled."""
    known = sorted((text.encode() for text in texts), key=len, reverse=True)
    if not known:
        return Span(NEVER, 0)
    worst = 0
    for text in known:
        if len(text) <= worst:
            break
        worst = max(worst, *speller.counts(text)) if text else worst
    shortest = known[-1]
    return Span(speller.counts(shortest)[0] if shortest else 0, worst)


def _number(core: dict[str, Any]) -> Span:
    given = [core[keyword] for keyword in (*BOUNDS, "multipleOf") if keyword in core]
    if not given:
        return Span(1, NUMBER)
    # Digits of all bounds: no prefix needs more to get between them and to a multiple.
    digits = sum(len(f"{Decimal(repr(value)):f}") for value in given)
    if "multipleOf" in core:
        digits += len(f"{Decimal(repr(core['multipleOf'])):f}")
    return Span(digits + NUMBER, digits + NUMBER)


def _string(core: dict[str, Any]) -> Span:
    low, high = core.get("minLength", 0), core.get("maxLength")
    if "pattern" in core:
        return _string_like(core["pattern"], low, high)
    return Span(low + 2, low + STRING)


@lru_cache(maxsize=1024)  # schemas share formats
def _string_like(pattern: str, low: int, high: int | None) -> Span:
    return _pattern(string_like(pattern, search=True, low=low, high=high))


def _pattern(text: str) -> Span:
    """Return the span, in bytes, of an expression without references."""
    return _span(read_grammar(f"root ::= {text}")["root"])


def _span(expression: Expression) -> Span:
    match expression:
        case Literal(text=text):
            return Span(size := len(text.encode()), size)
        case OneOf(chars=chars):
            least = len(chr(chars[0][0]).encode())
            return Span(least, max(least, len(chr(chars[-1][1]).encode()) - 1))
        case Sequence(parts=parts):
            least = worst = 0
            for part in reversed(parts):
                span = _span(part)
                worst = max(worst, span.worst + least)
                least += span.least
            return Span(least, worst)
        case Choice(options=options):
            return _either(map(_span, options))
        case Repeat(part=part, low=low):
            span = _span(part)
            return Span(low * span.least, span.worst + max(low - 1, 0) * span.least)
        case Reference(rule=rule):
            raise UnboundedError(f"it refers to {rule!r}")


def _places(expression: Expression) -> int:
    """Return how many parts an expression has when its repetitions are written out."""
    match expression:
        case Literal(text=text):
            return len(text)
        case Sequence(parts=parts) | Choice(options=parts):
            return sum(map(_places, parts))
        case Repeat(part=part, low=low, high=high):
            return max(low + 1, high or 0) * _places(part)
        case _:
            return 1


def _references(core: Core) -> Iterator[str]:
    """Yield the names that a schema refers to."""
    if isinstance(core, bool):
        return
    if "$ref" in core:
        yield core["$ref"].rpartition("/")[2]
    parts = [*core.get("anyOf", ()), *core.get("allOf", ()), *core.get("prefixItems", ())]
    parts += [core[key] for key in ("items", "additionalProperties") if key in core]
    for key in ("properties", "patternProperties"):
        parts += core.get(key, {}).values()
    for part in parts:
        yield from _references(part)


def _peeled(edges: dict[str, set[str]], names: Iterable[str]) -> list[str]:
    """Return those of some nodes from which no circle is reached, each after what it leads to."""
    rest = set(names)
    found: list[str] = []
    while free := [name for name in rest if not edges[name] & rest]:
        found += free
        rest.difference_update(free)
    return found
