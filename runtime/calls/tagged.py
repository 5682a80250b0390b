"""Arguments of a call that are written one by one between marks, as text.

`<parameter=city>` and `</parameter>` in Qwen 3 Coder, `<arg_key>` and `<arg_value>` in GLM 4.5:
texts stand there as they are, everything else as JSON, or as Python writes it. Which of the two a
value is, the tool's schema says.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

from .python import as_json
from .reader import Reader, Reading

Written = tuple[str, str, str]  # before a key, between it and its value, behind the value

TYPES = frozenset({"string", "number", "integer", "boolean", "null", "array", "object"})
MAX_REFERENCES = 16  # that follow each other in a schema


def read_arguments(
    reader: Reader, written: Written, schema: Mapping[str, Any], tell: Callable[[str], None]
) -> Reading[bool]:
    """Read arguments as long as there are some and tell them as JSON, each when it is whole.

    Args:
        reader: before the first argument.
        written: the marks.
        schema: of the tool's arguments.
        tell: takes pieces of one JSON object.

    Returns:
        Whether they are well-formed; what was told before they were not stays told.
    """
    before, between, behind = written
    given = schema.get("properties")
    properties: Mapping[str, Any] = given if isinstance(given, dict) else {}
    keys = set[str]()
    tell("{")
    while True:
        yield from reader.space()
        if not (yield from reader.mark((before.strip(),))):
            tell("}")
            return True
        found = yield from _upto(reader, between.split()[0])
        key = "" if found is None else found.strip()
        if not key or key in keys or not (yield from _words(reader, between)):
            return False
        value = yield from _upto(reader, behind.strip())
        if value is None or not (yield from _words(reader, behind)):
            return False
        value = _trimmed(value, between, behind)
        comma = ", " if keys else ""
        keys.add(key)
        read = read_value(value, properties.get(key, True), schema)
        tell(f"{comma}{json.dumps(key, ensure_ascii=False)}: {read}")


def _upto(reader: Reader, mark: str) -> Reading[str | None]:
    """Pass over all before a mark and return it; None: the mark never comes."""
    start = reader.at
    if not (yield from reader.until((mark,))):
        return None
    return reader.text[start : reader.at]


def _words(reader: Reader, text: str) -> Reading[bool]:
    """Pass over marks with white space between them, none behind."""
    for index, word in enumerate(text.split()):
        if index:
            yield from reader.space()
        if not (yield from reader.mark((word,))):
            return False
    return True


def _trimmed(value: str, between: str, behind: str) -> str:
    """A value without the line breaks that belong to the marks."""
    if between.endswith("\n"):
        value = value.removeprefix("\n")
    return value.removesuffix("\n") if behind.startswith("\n") else value


def read_value(text: str, schema: Any, root: Mapping[str, Any]) -> str:
    """Return the JSON of a value.

    Args:
        text: as the model wrote it.
        schema: of the value.
        root: the schema that its references are looked up in.
    """
    types = frozenset(types_of(schema, root))
    written = as_json(text.strip()) if types != {"string"} else None
    if written is not None:
        is_wanted = _type(json.loads(written)) in types - {"string"}
        if is_wanted or "string" not in types:
            return written
    return json.dumps(text, ensure_ascii=False)


def types_of(
    schema: Any, root: Mapping[str, Any], seen: frozenset[int] = frozenset()
) -> Iterator[str]:
    """The types of JSON that a schema's values may have; all where it does not say.

    Args:
        schema: of the values.
        root: the schema that references are looked up in.
        seen: ids of the schemas that this one is a branch of.
    """
    schema = resolved(schema, root)
    named = schema.get("type") if isinstance(schema, dict) else None
    if isinstance(named, str | list):
        names = cast("list[object]", [named] if isinstance(named, str) else named)
        for name in names:
            yield str(name)
            if name == "number":
                yield "integer"
    elif isinstance(schema, dict) and "const" in schema:
        yield _type(schema["const"])
    elif isinstance(schema, dict) and isinstance(schema.get("enum"), list):
        yield from map(_type, schema["enum"])
    elif (branches := branches_of(schema)) and id(schema) not in seen:
        for branch in branches:
            yield from types_of(branch, root, seen | {id(schema)})
    else:
        yield from TYPES


def branches_of(schema: Any) -> Sequence[Any]:
    """The schemas of which a value is of one; none where there is no such choice."""
    if not isinstance(schema, dict):
        return ()
    found = schema.get("anyOf") or schema.get("oneOf")
    return found if isinstance(found, list) else ()


def resolved(schema: Any, root: Mapping[str, Any]) -> Any:
    """Follow references inside the schema; `True`, which says nothing, for what is not there."""
    for _ in range(MAX_REFERENCES):
        target = schema.get("$ref") if isinstance(schema, dict) else None
        if not isinstance(target, str):
            return schema
        schema = dict(root) if target.startswith("#") else True
        for part in target.removeprefix("#").split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            schema = schema.get(name, True) if isinstance(schema, dict) else True
    return True


def _type(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "integer" if value.is_integer() else "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"
