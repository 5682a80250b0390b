"""The tools of a chat request: read, checked, and made a constraint where calls are forced."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ...ir.reasoning import Marks
from ..calls.formats import Format
from ..calls.grammar import after_thinking, checked_calls, forced_calls
from ..calls.tool import Tool
from ..errors import InvalidRequestError

_NAME = re.compile(r"[\w.\-]{1,128}")
MAX_TOOLS = 1_000


@dataclass(frozen=True, slots=True)
class Tools:
    """What a request says of tools.

    Attributes:
        given: as the request has them, for the chat template; empty where none may be called.
        tools: the same, read.
        choice: whether the model must call one.
        wanted: those that it may call if it must.
        is_one: at most one call is wanted.
    """

    given: Sequence[Mapping[str, Any]] = ()
    tools: tuple[Tool, ...] = ()
    choice: Literal["auto", "required"] = "auto"
    wanted: tuple[Tool, ...] = ()
    is_one: bool = False

    @property
    def schemas(self) -> dict[str, Mapping[str, Any]]:
        """What calls may be of: the schemas of arguments, by name."""
        return {tool.name: tool.parameters for tool in self.tools}

    def constraint(
        self, written: Format | None, thinking: Marks | None, stops: Collection[str]
    ) -> str | None:
        """The structural tag that calls must keep to; None: nothing is enforced.

        Calls are forced where the request says so. Else those of strict tools keep to their
        schemas, in formats in which a mark shows where calls begin.

        Args:
            written: how the model writes calls.
            thinking: the marks of thinking that is open already.
            stops: texts of tokens that end a generation.

        Raises:
            InvalidRequestError: calls are to be forced, and cannot be.
        """
        if self.choice == "auto":
            if written is None or not any(tool.is_strict for tool in self.tools):
                return None
            tools = [_loose(tool) for tool in self.tools]
            tag = checked_calls(written, tools, stops=stops)
        else:
            if written is None:
                raise InvalidRequestError(
                    "tool_choice cannot be forced: how this model writes calls is not known; "
                    "start the server with --tool-call-parser"
                )
            try:
                tag = forced_calls(written, self.wanted, is_one=self.is_one, stops=stops)
            except ValueError as error:
                raise InvalidRequestError(f"tool_choice cannot be forced: {error}") from error
        if tag is None:
            return None
        whole = tag if thinking is None else after_thinking(thinking, tag)
        return json.dumps({"type": "structural_tag", "format": whole}, ensure_ascii=False)


def read_tools(fields: Mapping[str, Any]) -> Tools:
    """Read `tools`, `tool_choice` and `parallel_tool_calls`.

    Raises:
        InvalidRequestError: what is wrong with which of them.
    """
    given = fields.get("tools") or []
    if not isinstance(given, list) or len(given) > MAX_TOOLS:
        raise InvalidRequestError(f"tools must be a list of at most {MAX_TOOLS} tools")
    tools = tuple(_tool(f"tools[{index}]", tool) for index, tool in enumerate(given))
    by_name = {tool.name: tool for tool in tools}
    if len(by_name) < len(tools):
        raise InvalidRequestError("two tools have the same name")
    choice = fields.get("tool_choice") or "auto"
    is_one = fields.get("parallel_tool_calls") is False
    if choice == "none":
        return Tools()
    if choice == "auto":
        return Tools(given, tools, is_one=is_one)
    if choice == "required":
        if not tools:
            raise InvalidRequestError("tool_choice is 'required', and there are no tools")
        return Tools(given, tools, "required", tools, is_one)
    name = _chosen(choice)
    if name not in by_name:
        raise InvalidRequestError(
            f"tool_choice names {name!r}; the tools are {', '.join(by_name) or 'none'}"
        )
    return Tools(given, tools, "required", (by_name[name],), is_one=True)


def with_objects(where: str, message: Mapping[str, Any]) -> dict[str, Any]:
    """A message whose calls have their arguments as objects, as chat templates want them.

    Raises:
        InvalidRequestError: `tool_calls` is no list of calls.
    """
    calls = message.get("tool_calls")
    if not calls:
        return {name: value for name, value in message.items() if name != "tool_calls"}
    if not isinstance(calls, list) or not all(
        isinstance(call, dict) and isinstance(call.get("function"), dict) for call in calls
    ):
        raise InvalidRequestError(f"{where}.tool_calls must be a list of objects with a function")
    read = [
        {**call, "function": {**function, "arguments": _as_object(function.get("arguments"))}}
        for call in calls
        for function in [call["function"]]
    ]
    return {**message, "tool_calls": read}


def _as_object(arguments: Any) -> Any:
    """What a model once wrote need not be JSON; then it stays a text."""
    if not isinstance(arguments, str):
        return {} if arguments is None else arguments
    try:
        found = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        return arguments
    return found if isinstance(found, dict) else arguments


def _tool(where: str, given: Any) -> Tool:
    function = given.get("function") if isinstance(given, dict) else None
    if not isinstance(function, dict) or given.get("type", "function") != "function":
        raise InvalidRequestError(f"{where} must be of type 'function' and have a function")
    name, parameters = function.get("name"), function.get("parameters")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidRequestError(
            f"{where}.function.name is {name!r:.80}; it must be 1 to 128 letters, digits, _, - or ."
        )
    if parameters is None:
        parameters = {"properties": {}, "additionalProperties": False}
    if not isinstance(parameters, dict):
        raise InvalidRequestError(f"{where}.function.parameters must be a JSON Schema, an object")
    strict = function.get("strict") is True
    return Tool(name, {"type": "object", **parameters}, strict)


def _chosen(choice: Any) -> Any:
    function = choice.get("function") if isinstance(choice, dict) else None
    if not isinstance(function, dict):
        raise InvalidRequestError(
            f"tool_choice is {choice!r:.80}; it must be 'none', 'auto', 'required' or "
            '{"type": "function", "function": {"name": ...}}'
        )
    return function.get("name")


def _loose(tool: Tool) -> Tool:
    """Beside strict tools, the others need but be well-formed."""
    return tool if tool.is_strict else Tool(tool.name, {"type": "object"})
