"""Structural tags that make a model call tools, in its family's own format."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, assert_never

from ...ir.reasoning import Marks
from .formats import Format, Layout, Writing
from .tag import Tag, any_of, constant, document, sequence
from .tagged_grammar import tagged_arguments
from .tool import Tool


def forced_calls(
    written: Format, tools: Sequence[Tool], *, is_one: bool, stops: Collection[str] = ()
) -> Tag:
    """The format, in structural tags, of calls and nothing else.

    Args:
        written: in its first layout.
        tools: at least one; any of them may be called.
        is_one: exactly one call, else any number from one on.
        stops: texts of tokens that end a generation; where calls end with one, there is one call.

    Raises:
        ValueError: a tool's arguments cannot be written in this format.
    """
    layout = written.layouts[0]
    if layout.end in stops:
        layout, is_one = replace(layout, end=""), True
    calls: Tag = {
        "type": "tags_with_separator",
        "tags": [_call(layout, tool) for tool in tools],
        "separator": layout.separator,
        "at_least_one": True,
        "stop_after_first": is_one,
    }
    return sequence(constant(layout.opens + layout.first), calls, constant("".join(layout.closes)))


def checked_calls(
    written: Format, tools: Sequence[Tool], *, stops: Collection[str] = ()
) -> Tag | None:
    """The format of any text in which calls are well-formed; None where no mark begins them.

    Args:
        written: in its first layout.
        tools: those that may be called.
        stops: texts of tokens that end a generation, and so the call before them.
    """
    layout = written.layouts[0]
    if layout.end in stops:
        layout = replace(layout, end="")
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
    return sequence(thinking, constant("\n\n"), rest)


def _call(layout: Layout, tool: Tool) -> Tag:
    begin, end = f"{layout.begin}{layout.id_begin}{tool.name}", layout.end
    content: Tag = {"type": "json_schema", "json_schema": tool.parameters}
    match layout.writing:
        case Writing.OBJECT:
            begin = f'{layout.begin}{{"name": {json.dumps(tool.name)}, "{layout.arguments}": '
            end = "}" + layout.end
        case Writing.NAMED if layout.id_begin:
            begin = f"{begin}:"
            number: Tag = {"type": "regex", "pattern": "0|[1-9][0-9]{0,3}"}
            content = sequence(number, constant(layout.middle), content)
        case Writing.NAMED:
            begin = f"{begin}{layout.middle}"
        case Writing.PYTHON:
            begin, content, end = f"{begin}(", _keywords(tool), f"){end}"
        case Writing.TAGGED:
            begin, content = f"{begin}{layout.middle}", tagged_arguments(layout, tool)
        case _:
            assert_never(layout.writing)
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

    def pair(name: str, comma: str) -> Tag:
        return sequence(constant(f"{comma}{name}="), document(properties[name], schema))

    def perhaps(names: Sequence[str]) -> list[Tag]:
        return [any_of(constant(""), pair(name, ", ")) for name in names]

    if required:
        first = [pair(name, ", " if index else "") for index, name in enumerate(required)]
        return sequence(*first, *perhaps(others))
    starts = [
        sequence(pair(name, ""), *perhaps(others[index + 1 :])) for index, name in enumerate(others)
    ]
    return any_of(constant(""), *starts)
