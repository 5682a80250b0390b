"""The parts that structural tags are put together from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Tag = dict[str, Any]


def constant(text: str) -> Tag:
    """Exactly this text."""
    return {"type": "const_string", "value": text}


def sequence(*elements: Tag) -> Tag:
    """One after the other."""
    return {"type": "sequence", "elements": list(elements)}


def any_of(*elements: Tag) -> Tag:
    """One of them."""
    return {"type": "or", "elements": list(elements)}


def text_up_to(mark: str) -> Tag:
    """Any text before a mark, and the mark."""
    return {"type": "tag", "begin": "", "content": {"type": "any_text"}, "end": [mark]}


def document(schema: Any, root: Mapping[str, Any]) -> Tag:
    """A JSON document of a part of a schema, which may refer to the definitions of the whole."""
    shared = {name: root[name] for name in ("$defs", "definitions") if name in root}
    whole = {**schema, **shared} if isinstance(schema, dict) else schema
    return {"type": "json_schema", "json_schema": whole}
