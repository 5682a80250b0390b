"""What a generator returns: a document to train on, or a task that also knows its right answer.

`render` is the Python twin of `chat_template.jinja`; the tokenizer step checks that both agree.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

START, END, SEPARATOR = "<|im_start|>", "<|im_end|>", "<|endoftext|>"
CALL_START, CALL_END = "<tool_call>", "</tool_call>"
TOOLS_HEADER = (
    "# Tools\n"
    "You can call these functions. To call one, answer with "
    '<tool_call>\n{"name": "...", "arguments": {...}}\n</tool_call>\n'
)

TURN = re.compile(r"(?<=<\|im_start\|>assistant\n)(.*?<\|im_end\|>)", re.DOTALL)

Message = dict[str, Any]
Piece = tuple[str, bool]  # text, and whether the model learns to write it


@dataclass(frozen=True, slots=True)
class Document:
    """Pieces of text in order; the ones to learn are marked."""

    pieces: tuple[Piece, ...]
    is_text: bool = False  # running text: every token counts


@dataclass(frozen=True, slots=True)
class Task:
    """A prompt as the model sees it, the text that should follow, and what is checked."""

    prompt: str
    answer: str
    gold: Any = None  # what scoring compares with; the answer's text by default
    choices: tuple[str, ...] = ()
    schema: dict[str, Any] | None = None
    after: tuple[Piece, ...] = field(default=())  # what follows in training only

    def document(self) -> Document:
        """Return the training document of this task; earlier assistant turns are learnt too."""
        pieces = [(part, part.endswith(END)) for part in TURN.split(self.prompt) if part]
        return Document((*pieces, (self.answer, True), *self.after))


def dumps(value: object) -> str:
    """Write JSON the way the template does."""
    return json.dumps(value, ensure_ascii=False)


def call_text(name: str, arguments: dict[str, Any]) -> str:
    """Write one tool call as an assistant does."""
    body = dumps({"name": name, "arguments": arguments})
    return f"{CALL_START}\n{body}\n{CALL_END}"


def message_text(message: Message) -> str:
    """Return a message's content, with its tool calls after it."""
    parts = [message["content"]] if message.get("content") else []
    for call in message.get("tool_calls", ()):
        function = call.get("function", call)
        parts.append(call_text(function["name"], function["arguments"]))
    return "\n".join(parts)


def with_tools(messages: list[Message], tools: list[dict[str, Any]] | None) -> list[Message]:
    """Fold the function definitions into the system message."""
    if not tools:
        return messages
    listing = TOOLS_HEADER + "\n".join(dumps(tool.get("function", tool)) for tool in tools)
    if messages and messages[0]["role"] == "system":
        merged = messages[0]["content"] + "\n\n" + listing
        return [{"role": "system", "content": merged}, *messages[1:]]
    return [{"role": "system", "content": listing}, *messages]


def render(messages: list[Message], tools: list[dict[str, Any]] | None = None) -> list[Piece]:
    """Return the pieces of a conversation; assistant turns and their ends are marked."""
    pieces: list[Piece] = []
    for message in with_tools(messages, tools):
        learnt = message["role"] == "assistant"
        pieces.append((f"{START}{message['role']}\n", False))
        pieces.append((message_text(message) + END, learnt))
        pieces.append(("\n", False))
    return pieces


def merge(pieces: list[Piece]) -> tuple[Piece, ...]:
    """Join neighbours of the same kind."""
    merged: list[Piece] = []
    for text, learnt in pieces:
        if merged and merged[-1][1] == learnt:
            merged[-1] = (merged[-1][0] + text, learnt)
        else:
            merged.append((text, learnt))
    return tuple(merged)


def chat(messages: list[Message], tools: list[dict[str, Any]] | None = None) -> Document:
    """Return a conversation as a document."""
    return Document(merge(render(messages, tools)))


def chat_prompt(messages: list[Message], tools: list[dict[str, Any]] | None = None) -> str:
    """Return a conversation as text, up to where the assistant speaks."""
    text = "".join(text for text, _ in render(messages, tools))
    return f"{text}{START}assistant\n"


def turns(*contents: str, system: str = "") -> list[Message]:
    """Return user and assistant messages that take turns, user first."""
    messages = [{"role": "system", "content": system}] if system else []
    for index, content in enumerate(contents):
        messages.append({"role": "assistant" if index % 2 else "user", "content": content})
    return messages


def raw(*pieces: str | Piece) -> Document:
    """Return raw text; a plain string is context, a pair says so itself."""
    return Document(tuple((p, False) if isinstance(p, str) else p for p in pieces))
