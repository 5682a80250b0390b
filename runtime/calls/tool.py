"""A tool, as a request gives it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that a model may call.

    Attributes:
        name: letters, digits, `_`, `-` and `.`.
        parameters: the JSON Schema of its arguments, an object.
        is_strict: calls must keep to the schema.
    """

    name: str
    parameters: Mapping[str, Any]
    is_strict: bool = False
