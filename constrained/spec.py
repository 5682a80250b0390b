"""What a user asks for: a grammar's kind and its source text, as a value that travels and compares.

Nothing is compiled here and no tokenizer is known; only what is cheap to see is checked. Imports
no torch.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NoReturn, Self

import msgspec

from .errors import GrammarError, LimitError, MalformedError
from .layout import Layout, PropertyOrder, Whitespace

__all__ = [
    "ANY_JSON",
    "MAX_CHOICES",
    "MAX_SCHEMA_DEPTH",
    "MAX_SOURCE_BYTES",
    "GrammarSpec",
    "Kind",
    "Mode",
    "Reasoning",
    "parse_json",
    "schema_text",
    "tag_text",
]

Kind = Literal[
    "regex", "ebnf", "gbnf", "lark", "json_schema", "json_object", "choices", "structural_tag"
]
Mode = Literal["strict", "best_effort"]

QUICK_CHARS = 4 * 1024  # of a source that is read in about a millisecond
MAX_SOURCE_BYTES = 256 * 1024  # UTF-8; xgrammar takes 3 s for a literal of this size
MAX_CHOICES = 10_000  # 0.3 s to compile
MAX_MARK_CHARS = 64  # of each mark around reasoning
MAX_SCHEMA_DEPTH = 100  # levels of nesting in a schema's JSON text

ANY_JSON = "$$ANY$$"  # SGLang's schema for "any JSON object"


class Reasoning(msgspec.Struct, frozen=True):
    """Free text before what is constrained, closed by a mark.

    Attributes:
        begin: what the text begins with; "" where the prompt has opened the reasoning.
        end: the mark that closes it, where it is first met.
        gap: what stands between that mark and the constrained text.
        max_tokens: of the reasoning; after so many the mark is written, whatever the model would
            say. None: no bound but the request's own.
    """

    begin: str = ""
    end: str = "</think>"
    gap: str = ""
    max_tokens: int | None = None

    def check(self, kind: Kind) -> None:
        """Raise `MalformedError` for marks and bounds that cannot be kept."""
        for name in ("begin", "end", "gap"):
            mark: str = getattr(self, name)
            fits = (mark or name != "end") and len(mark) <= MAX_MARK_CHARS
            if not fits or any("\ud800" <= char <= "\udfff" for char in mark):
                allowed = f"a text of at most {MAX_MARK_CHARS} characters"
                raise MalformedError(f"reasoning.{name} is {mark!r}; give it {allowed}", kind=kind)
        if self.max_tokens is not None and self.max_tokens < 0:
            raise MalformedError(
                f"reasoning.max_tokens is {self.max_tokens}; it must be at least 0", kind=kind
            )

    def answer(self, text: str) -> str:
        """Return what is constrained of a text."""
        return text.partition(self.end)[2].removeprefix(self.gap)


class GrammarSpec(msgspec.Struct, frozen=True):
    """A constraint on generated text; equal specs compile to one shared grammar.

    Build it with a constructor below: each checks size and form and raises `GrammarError`. A spec
    that arrives over the wire is a plain struct: call `checked()`.
    """

    kind: Kind
    source: str  # the pattern, the grammar, or JSON text: a schema, choices, a tag; else ""
    mode: Mode = "strict"  # of a schema: whether keywords may be left to `Grammar.check`
    reasoning: Reasoning | None = None  # what may be said before
    property_order: PropertyOrder = "declared"  # of a schema's objects
    only_named: bool = False  # of a schema: see `json_schema`; what is checked is rewritten so
    whitespace: Whitespace = "compact"  # of JSON; `Layout` says what they mean

    @property
    def layout(self) -> Layout:
        """How a JSON text is laid out."""
        return Layout(self.whitespace, self.property_order)

    @classmethod
    def regex(cls, pattern: str) -> Self:
        """Text that `re.fullmatch(pattern, text)` matches; `pattern.py` says what is refused."""
        return cls("regex", pattern).checked()

    @classmethod
    def ebnf(cls, text: str) -> Self:
        """Text derived from the rule `root` of a grammar in xgrammar's EBNF."""
        return cls("ebnf", text).checked()

    @classmethod
    def gbnf(cls, text: str) -> Self:
        """Text derived from the rule `root` of a grammar in llama.cpp's GBNF."""
        return cls("gbnf", text).checked()

    @classmethod
    def lark(cls, text: str) -> Self:
        """Text derived from the rule `start` of a grammar in llguidance's Lark."""
        return cls("lark", text).checked()

    @classmethod
    def json_schema(
        cls,
        schema: Mapping[str, Any] | bool | str | type,
        *,
        mode: Mode = "strict",
        only_named: bool = False,
        property_order: PropertyOrder = "declared",
        whitespace: Whitespace = "compact",
    ) -> Self:
        """A JSON document valid under `schema`; docs/structured-output.md.

        Args:
            schema: a dict, JSON text, a pydantic model, or any type that pydantic can describe (a
                dataclass, a TypedDict, `list[int]`). Key order is kept: it is the order in which
                properties are generated. SGLang's `"$$ANY$$"` means `json_object()`. The objects
                of a type have its fields and no others, unless the type says otherwise.
            mode: "strict" refuses what the mask cannot enforce; "best_effort" leaves it to
                `Grammar.check`, where that can tell.
            only_named: an object that names its properties, and says nothing of others, has no
                others: models write better records for it, and every one is valid. Schemas that
                combine others (`allOf`, `oneOf`, `not`, `if` ...) are left as they are.
            property_order: "any": the properties that an object names come in any order.
            whitespace: "flexible": line breaks and indentation may stand around every mark.
        """
        if schema == ANY_JSON:
            return cls.json_object(whitespace=whitespace)
        text = schema if isinstance(schema, str) else schema_text(schema)
        spec = cls("json_schema", text, mode, None, property_order, only_named, whitespace)
        return spec.checked()

    @classmethod
    def json_object(cls, *, whitespace: Whitespace = "compact") -> Self:
        """Any JSON object."""
        return cls("json_object", "", whitespace=whitespace)

    @classmethod
    def choices(cls, options: Sequence[str]) -> Self:
        """Exactly one of `options`, which may hold any text and may be prefixes of each other."""
        return cls("choices", json.dumps(list(options), ensure_ascii=False)).checked()

    @classmethod
    def structural_tag(cls, tag: Mapping[str, Any] | str) -> Self:
        """Free text with constrained islands; `tags.py` says which forms there are."""
        text = tag if isinstance(tag, str) else tag_text(tag)
        return cls("structural_tag", text).checked()

    def after(self, reasoning: Reasoning | None) -> Self:
        """The same constraint behind some free text."""
        return msgspec.structs.replace(self, reasoning=reasoning).checked()

    def admitted(self) -> Self:
        """Return the spec checked where that is quick, else as it is: for who serves others, too.

        Who compiles a spec checks it; a large one would hold up everybody else before.

        Raises:
            GrammarError: as `checked`; for a large source, of its size alone.
        """
        if len(self.source) <= QUICK_CHARS:
            return self.checked()
        self._check_text()
        if self.reasoning is not None:
            self.reasoning.check(self.kind)
        return self

    def checked(self) -> Self:
        """Return the spec, with a schema's JSON text in canonical form.

        Raises:
            GrammarError: what is wrong, as far as can be seen without compiling. Cost: one pass
                over the source.
        """
        self._check_text()
        if self.reasoning is not None:
            self.reasoning.check(self.kind)
        match self.kind:
            case "json_schema":
                document = parse_json(self.source, kind=self.kind)
                if not isinstance(document, dict | bool):
                    raise MalformedError(
                        f"a schema is an object or a boolean, not {type(document).__name__}",
                        kind=self.kind,
                        pointer="",
                    )
                if self.only_named and not _combines(document):
                    document = _closed(document)
                text = json.dumps(document, ensure_ascii=False)
                canonical = msgspec.structs.replace(self, source=text, only_named=False)
                canonical._check_text()  # an escape may have hidden a lone surrogate
                return canonical
            case "choices":
                _check_choices(parse_json(self.source, kind=self.kind))
            case "structural_tag":
                text = json.dumps(parse_json(self.source, kind=self.kind), ensure_ascii=False)
                msgspec.structs.replace(self, source=text)._check_text()
            case "regex" | "ebnf" | "gbnf" | "lark" | "json_object":
                pass
        return self

    def _check_text(self) -> None:
        try:
            size = len(self.source.encode())
        except UnicodeEncodeError as error:
            raise MalformedError(
                f"the text holds a lone surrogate, {self.source[error.start]!r}, at {error.start}",
                kind=self.kind,
            ) from error
        if size > MAX_SOURCE_BYTES:
            raise LimitError(
                f"the source has {size:,} bytes; at most {MAX_SOURCE_BYTES:,} are allowed",
                kind=self.kind,
            )


def schema_text(schema: Mapping[str, Any] | bool | type) -> str:
    """Write a schema as JSON text, unchecked.

    Raises:
        MalformedError: it is none, and no type that pydantic can describe.
    """
    document = schema if isinstance(schema, Mapping | bool) else _describe(schema)
    return _json_text(document, "schema", "json_schema")


def tag_text(tag: Mapping[str, Any]) -> str:
    """Write a structural tag as JSON text, unchecked.

    Raises:
        MalformedError: it holds what JSON cannot.
    """
    return _json_text(tag, "structural tag", "structural_tag")


def _json_text(document: Any, name: str, kind: Kind) -> str:
    try:
        return json.dumps(document, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise MalformedError(f"the {name} is not JSON: {error}", kind=kind) from error


def parse_json(text: str, *, kind: Kind) -> Any:
    """Parse strictly: finite numbers, no repeated key, at most `MAX_SCHEMA_DEPTH` levels.

    Raises:
        GrammarError: where and why the text is not such JSON.
    """
    if (depth := _depth(text)) > MAX_SCHEMA_DEPTH:
        raise LimitError(
            f"the JSON text nests {depth} levels deep; at most {MAX_SCHEMA_DEPTH} are allowed",
            kind=kind,
        )
    try:
        return json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            object_pairs_hook=_unique_keys,
        )
    except ValueError as error:
        if isinstance(error, GrammarError):
            raise
        raise MalformedError(f"the source is not JSON: {error}", kind=kind) from error


_BRACKET = re.compile(r'[\[\]{}]|"(?:[^"\\]|\\.)*+"?', re.DOTALL)  # or a string, passed over


def _depth(text: str) -> int:
    """Count the deepest nesting of brackets outside strings, without recursion."""
    depth = deepest = 0
    for found in _BRACKET.finditer(text):
        if (bracket := found[0]) in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif bracket in "]}":
            depth -= 1
    return deepest


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _finite(text: str) -> float:
    if (value := float(text)) in (float("inf"), float("-inf")):
        raise ValueError(f"the number {text} is too large for a double")
    return value


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"the key {key!r} occurs twice in one object")
        result[key] = value
    return result


def _check_choices(options: Any) -> None:
    if not isinstance(options, list) or not all(isinstance(option, str) for option in options):
        raise MalformedError("choices are a list of strings", kind="choices")
    try:
        "".join(options).encode()
    except UnicodeEncodeError as error:
        raise MalformedError("a choice holds a lone surrogate", kind="choices") from error
    if not options:
        raise MalformedError("the list of choices is empty; give one or more", kind="choices")
    if len(options) > MAX_CHOICES:
        raise LimitError(
            f"there are {len(options):,} choices; at most {MAX_CHOICES:,} are allowed",
            kind="choices",
        )


def _describe(type_: Any) -> Any:
    """Let pydantic write the schema of a type."""
    from pydantic import TypeAdapter
    from pydantic.errors import PydanticUserError

    try:
        return _closed(TypeAdapter(type_).json_schema())
    except (PydanticUserError, TypeError) as error:
        raise MalformedError(
            f"pydantic cannot describe {type_!r}: {error}",
            kind="json_schema",
            hint="Give a dict, JSON text, a pydantic model, a dataclass or a TypedDict.",
        ) from error


# With these a part of a schema is judged together with others, so that closing it says more.
_COMBINING = frozenset(
    {"allOf", "oneOf", "not", "if", "dependentSchemas", "dependencies", "unevaluatedProperties"}
    | {"propertyNames", "minProperties", "extends", "disallow"}
)


def _combines(schema: Any) -> bool:
    if isinstance(schema, dict):
        merges = "$ref" in schema and "properties" in schema
        return merges or not _COMBINING.isdisjoint(schema) or any(map(_combines, schema.values()))
    return isinstance(schema, list) and any(map(_combines, schema))


def _closed(schema: Any) -> Any:
    """Close the objects with named properties: a type has no more fields than it names."""
    if isinstance(schema, dict):
        inner = {
            key: {name: _closed(part) for name, part in value.items()}
            if key in ("properties", "$defs")
            else value
            if key in ("default", "const", "enum", "examples")
            else _closed(value)
            for key, value in schema.items()
        }
        if schema.get("type") == "object" and "properties" in schema:
            inner.setdefault("additionalProperties", False)
        return inner
    return [_closed(part) for part in schema] if isinstance(schema, list) else schema
