"""What a tagged call may be of: its arguments between their marks, each value as it is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from .formats import Layout
from .tag import Tag, any_of, constant, document, sequence, text_up_to
from .tagged import branches_of, resolved, types_of
from .tool import Tool

_KEY = r"[A-Za-z_][A-Za-z0-9_.\-]{0,63}"
_TEXT_RULES = ("pattern", "format", "minLength", "maxLength")  # which text up to a mark has not
MAX_CHOICES = 1_000  # of one value
MAX_BRANCHES = 16  # that stand inside each other


def tagged_arguments(layout: Layout, tool: Tool) -> Tag:
    """Arguments between marks: those that are required first, then any of the others, in order.

    A tool whose schema names none may have any. Rules for texts other than a choice of some hold
    for strict tools only where they can be kept to, which is nowhere: those are refused.

    Raises:
        ValueError: an argument cannot be written in this format.
    """
    schema = tool.parameters
    given = schema.get("properties")
    properties = cast("Mapping[str, Any]", given) if isinstance(given, dict) else {}
    if not properties and schema.get("additionalProperties") is not False:
        return _any_arguments(layout)
    required = [name for name in properties if name in schema.get("required", ())]
    others = [name for name in properties if name not in required]
    written = {name: _argument(layout, tool, name) for name in properties}
    return sequence(
        *(written[name] for name in required),
        *(any_of(constant(""), written[name]) for name in others),
    )


def _any_arguments(layout: Layout) -> Tag:
    before, between, behind = layout.argument
    key: Tag = {"type": "regex", "pattern": _KEY}
    one = sequence(key, constant(between), text_up_to(behind.strip()))
    return {
        "type": "tags_with_separator",
        "tags": [{"begin": before, "content": one, "end": _rest(behind)}],
        "separator": "",
        "at_least_one": False,
    }


def _argument(layout: Layout, tool: Tool, name: str) -> Tag:
    before, between, behind = layout.argument
    if name != name.strip() or not name or between.split()[0] in name:
        raise ValueError(
            f"the argument {name!r} of {tool.name!r} cannot be written between {before!r} and "
            f"{between.split()[0]!r}; force no call of it, or rename it"
        )
    value = _value(tool, name, tool.parameters["properties"][name], behind)
    return sequence(constant(f"{before}{name}{between}"), value, constant(_rest(behind)))


def _rest(behind: str) -> str:
    """What follows the mark behind a value."""
    return behind[len(behind.rstrip()) :]


def _value(tool: Tool, name: str, schema: Any, behind: str, depth: int = 0) -> Tag:
    """A value and the mark behind it, line break included."""
    root = tool.parameters
    schema = resolved(schema, root)
    types = frozenset(types_of(schema, root))
    if "string" not in types:
        return sequence(document(schema, root), constant(behind.rstrip()))
    choices = _choices(schema)
    if choices is not None:
        return sequence(any_of(*map(constant, choices)), constant(behind.rstrip()))
    branches = branches_of(schema)
    if branches and depth < MAX_BRANCHES:
        return any_of(*(_value(tool, name, each, behind, depth + 1) for each in branches))
    if tool.is_strict and (rules := _rules(schema)):
        raise ValueError(
            f"the argument {name!r} of {tool.name!r} is text with {', '.join(rules)}, which calls "
            f"in this format cannot be held to; leave it out, or make the tool not strict"
        )
    return text_up_to(behind.strip())


def _choices(schema: Any) -> list[str] | None:
    """The texts that stand for the values of a schema that lists them."""
    if not isinstance(schema, dict):
        return None
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if not isinstance(values, list) or not 0 < len(values) <= MAX_CHOICES:
        return None
    return [
        value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for value in cast("list[object]", values)
    ]


def _rules(schema: Any) -> list[str]:
    return [name for name in _TEXT_RULES if isinstance(schema, dict) and name in schema]
