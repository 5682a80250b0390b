"""An assistant's text told apart into thinking, content and calls, whole or as it comes."""

from __future__ import annotations

import secrets
import string
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from ...ir.reasoning import Marks, ReasoningParser
from ..calls import open_parser
from ..calls.formats import HARMONY, Format, find_format, find_thinking
from ..calls.parser import Argued, Called, Event, Said, Schemas, Thought
from ..config import ServerConfig
from ..tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Formats:
    """How the served model writes calls and thinking.

    Attributes:
        calls: None: calls are not told apart.
        thinking: None: thinking is not told apart.
        special: texts of special tokens, which decoding leaves out unless it is told not to.
        stops: texts of the tokens that end a generation.
    """

    calls: Format | None
    thinking: Marks | Format | None
    special: frozenset[str]
    stops: frozenset[str] = frozenset()

    @classmethod
    def of(cls, tokenizer: Tokenizer, server: ServerConfig, stop_ids: Collection[int]) -> Formats:
        """What the server's settings say, or the chat template where they say `auto`.

        Raises:
            ValueError: a name that no format has.
        """
        template = tokenizer.template_text
        return cls(
            find_format(server.tool_call_parser, template),
            find_thinking(server.reasoning_parser, template),
            tokenizer.special_texts,
            frozenset(tokenizer.token_texts(list(stop_ids))),
        )

    @property
    def marks(self) -> Marks | None:
        """The marks of thinking, for formats that have such."""
        return self.thinking if isinstance(self.thinking, Marks) else None

    def needs_special(self, *, has_tools: bool) -> bool:
        """Whether a mark that tells parts apart is a special token."""
        texts = [*(self.calls.texts if self.calls is not None and has_tools else ())]
        if isinstance(self.thinking, Marks):
            texts += [self.thinking.begin, self.thinking.end]
        elif self.thinking is not None:
            texts += self.thinking.texts
        return any(special in text for text in texts for special in self.special)


class Answer:
    """One answer, told apart.

    Args:
        formats: how it is written.
        tools: those that it may call: schemas of their arguments, by name.
        is_open: it begins inside the thinking.
        separates: tell thinking apart, else it is part of the content.
        streams: tell parts as they come, else whole ones.
        streams_thinking: tell thinking as it comes, too.
    """

    def __init__(
        self,
        formats: Formats,
        tools: Schemas,
        *,
        is_open: bool,
        separates: bool,
        streams: bool,
        streams_thinking: bool,
    ) -> None:
        marks = formats.marks if separates else None
        self._thinking = ReasoningParser(marks, streams_thinking, is_open) if marks else None
        self._separates = separates
        written = formats.calls if tools else None
        if HARMONY in (formats.calls, formats.thinking):
            written = HARMONY
        self._parser = open_parser(written, tools, streams=streams) if written else None
        self._id_chars = written.id_chars if written is not None else 0
        self.calls = 0

    def feed(self, text: str) -> list[dict[str, Any]]:
        """Take a piece of text; return the deltas of the message that are sure by now."""
        if self._thinking is None:
            return self._deltas("", text)
        return self._deltas(*self._thinking.parse_stream_chunk(text))

    def finish(self) -> list[dict[str, Any]]:
        """The deltas that were held back; the text has ended."""
        deltas = [] if self._thinking is None else self._deltas(*self._thinking.finish())
        events = [] if self._parser is None else self._parser.finish()
        return deltas + [self._delta(event) for event in events]

    def message(self, text: str) -> dict[str, Any]:
        """The message that a whole text is."""
        said, thought, calls = "", "", list[dict[str, Any]]()
        for delta in self.feed(text) + self.finish():
            said += delta.get("content", "")
            thought += delta.get("reasoning_content", "")
            for call in delta.get("tool_calls", ()):
                if "id" in call:
                    calls.append({name: call[name] for name in ("id", "type", "function")})
                else:
                    calls[-1]["function"]["arguments"] += call["function"]["arguments"]
        return {
            "role": "assistant",
            "content": None if calls and not said else said,
            "reasoning_content": thought or None,
            "tool_calls": calls or None,
        }

    def _deltas(self, thought: str, said: str) -> list[dict[str, Any]]:
        events: list[Event] = [Thought(thought)] if thought else []
        if self._parser is not None:
            events += self._parser.feed(said)
        elif said:
            events.append(Said(said))
        return [self._delta(event) for event in events]

    def _delta(self, event: Event) -> dict[str, Any]:
        match event:
            case Said(text):
                return {"content": text}
            case Thought(text):
                return {"reasoning_content" if self._separates else "content": text}
            case Called(index, name, id):
                self.calls += 1
                function = {"name": name, "arguments": ""}
                head = {"index": index, "id": id or self._id(), "type": "function"}
                return {"tool_calls": [{**head, "function": function}]}
            case Argued(index, text):
                return {"tool_calls": [{"index": index, "function": {"arguments": text}}]}

    def _id(self) -> str:
        if self._id_chars:
            letters = string.ascii_letters + string.digits
            return "".join(secrets.choice(letters) for _ in range(self._id_chars))
        return f"call_{uuid.uuid4().hex[:24]}"
