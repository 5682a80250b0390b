"""Function definitions as OpenAI writes them, and calls of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .draw import Draw

Properties = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Call:
    """One request with the call that it needs, the result, and the sentence that reports it."""

    request: str
    definition: dict[str, Any]
    arguments: dict[str, Any]
    result: str
    report: str


def string(description: str = "", **more: Any) -> dict[str, Any]:
    """Describe a string parameter."""
    return {"type": "string", **({"description": description} if description else {}), **more}


def definition(
    draw: Draw,
    name: str,
    description: str,
    properties: Properties,
    required: list[str] | None = None,
) -> dict[str, Any]:
    """Write an OpenAI function definition, with details varied."""
    if draw.chance(0.15):
        properties = {
            k: {x: y for x, y in v.items() if x != "description"} for k, v in properties.items()
        }
    parameters: dict[str, Any] = {"type": "object", "properties": properties}
    if draw.chance(0.9):
        parameters["required"] = list(properties) if required is None else required
    if draw.chance(0.1):
        parameters["additionalProperties"] = False
    function: dict[str, Any] = {"name": name, "description": description, "parameters": parameters}
    if draw.chance(0.08):
        function["strict"] = True
    return {"type": "function", "function": function}
