"""Structural tags that make a model call tools, in its family's own format."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ...ir.reasoning import Marks
from .formats import Format, Layout, Writing
from .tool import Tool

Tag = dict[str, Any]


def forced_calls(written: Format, tools: Sequence[Tool], *, is_one: bool) -> Tag:
    """The format, in structural tags, of calls and nothing else.

    Args:
        written: in its first layout.
        tools: at least one; any of them may be called.
        is_one: exactly one call, else any number from one on.

    Raises:
        ValueError: a tool's arguments cannot be written in this format.
    """
    layout = written.layouts[0]
    calls: Tag = {
        "type": "tags_with_separator",
        "tags": [_call(layout, tool) for tool in tools],
        "separator": layout.separator,
        "at_least_one": True,
        "stop_after_first": is_one,
    }
    return _sequence(
        _constant(layout.opens + layout.first), calls, _constant("".join(layout.closes))
    )


def checked_calls(written: Format, tools: Sequence[Tool]) -> Tag | None:
    """The format of any text in which calls are well-formed; None where no mark begins them."""
    layout = written.layouts[0]
    if not layout.mark:
        return None
    before, behind = layout.opens + layout.first, "".join(layout.closes)
    tags = [_call(layout, tool) for tool in tools]
    for tag in tags:
        tag |= {"begin": before + tag["begin"], "end": tag["end"] + behind}
    return {"type": "triggered_tags", "triggers": [layout.mark], "tags": tags}


def after_thinking(marks: Marks, rest: Tag) -> Tag:
    """Thinking that is open already, of any length, and then what `rest` says."""
    thinking: Tag = {
        "type": "tag",
        "begin": "",
        "content": {"type": "any_text"},
        "end": [marks.end],
    }
    return _sequence(thinking, _constant("\n\n"), rest)


def _call(layout: Layout, tool: Tool) -> Tag:
    begin, end = f"{layout.begin}{tool.name}{layout.middle}", layout.end
    content: Tag = {"type": "json_schema", "json_schema": tool.parameters}
    if layout.writing is Writing.OBJECT:
        begin = f'{layout.begin}{{"name": {json.dumps(tool.name)}, "{layout.arguments}": '
        end = "}" + layout.end
    elif layout.writing is Writing.PYTHON:
        begin, content, end = f"{begin}(", _keywords(tool), f"){end}"
    return {"begin": begin, "content": content, "end": end}


def _keywords(tool: Tool) -> Tag:
    """Arguments as keywords: those that are required first, then any of the others, in order."""
    schema = tool.parameters
    given = schema.get("properties")
    properties: Mapping[str, Any] = given if isinstance(given, dict) else {}
    if odd := [name for name in properties if not name.isidentifier()]:
        raise ValueError(
            f"the argument {odd[0]!r} of {tool.name!r} cannot be written as a keyword of Python; "
            "force no call of it, or rename it"
        )
    required = [name for name in properties if name in schema.get("required", ())]
    others = [name for name in properties if name not in required]
    shared = {name: schema[name] for name in ("$defs", "definitions") if name in schema}

    def pair(name: str, comma: str) -> Tag:
        own = properties[name]
        value = {**own, **shared} if isinstance(own, dict) else own
        return _sequence(
            _constant(f"{comma}{name}="), {"type": "json_schema", "json_schema": value}
        )

    def perhaps(names: Sequence[str]) -> list[Tag]:
        return [_any(_constant(""), pair(name, ", ")) for name in names]

    if required:
        first = [pair(name, ", " if index else "") for index, name in enumerate(required)]
        return _sequence(*first, *perhaps(others))
    starts = [
        _sequence(pair(name, ""), *perhaps(others[index + 1 :]))
        for index, name in enumerate(others)
    ]
    return _any(_constant(""), *starts)


def _constant(text: str) -> Tag:
    return {"type": "const_string", "value": text}


def _sequence(*elements: Tag) -> Tag:
    return {"type": "sequence", "elements": list(elements)}


def _any(*elements: Tag) -> Tag:
    return {"type": "or", "elements": list(elements)}
