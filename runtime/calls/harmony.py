"""gpt-oss's messages on channels: thinking, answers, and calls of tools.

`<|channel|>analysis<|message|>...<|end|><|start|>assistant<|channel|>final<|message|>...`; a call
is `<|channel|>commentary to=functions.f <|constrain|>json<|message|>{"a": 1}<|call|>`.
Source: the form that gpt-oss's chat template writes, and OpenAI's description of it ("harmony").
"""

from __future__ import annotations

import re
from collections.abc import Callable

from .parser import Event, Parser, Said, Thought
from .reader import Reading

_BEGINNINGS = ("<|start|>", "<|channel|>")
_ENDINGS = ("<|end|>", "<|return|>", "<|call|>")
_MESSAGE = "<|message|>"
_CHANNEL = re.compile(r"<\|channel\|>\s*(analysis|commentary|final)\b")
_RECIPIENT = re.compile(r"\bto=(?:functions\.)?([\w.\-]+)")


class HarmonyParser(Parser):
    """Reads messages; text outside of any is said."""

    def _read(self) -> Reading[None]:
        reader = self._reader
        self._tell_as(Said)
        while (yield from reader.until((*_BEGINNINGS, *_ENDINGS))) is not None:
            self._tell_as(None)
            start = reader.at
            if (yield from reader.mark(_ENDINGS)):
                self._tell_as(Said)
            elif not (yield from self._message()):
                reader.at = start
                yield from reader.mark(_BEGINNINGS)
                self._tell_as(Said, start)
            else:
                self._tell_as(Said)
        self._tell_as(None)

    def _message(self) -> Reading[bool]:
        """Read a message up to its end; False, with nothing told, where none is well-formed."""
        reader = self._reader
        head = reader.at
        yield from reader.mark(("<|start|>",))
        yield from reader.until((_MESSAGE, *_ENDINGS, "<|start|>"))
        header = reader.text[head : reader.at]
        channel = _CHANNEL.search(header)
        if channel is None or not (yield from reader.mark((_MESSAGE,))):
            return False
        recipient = _RECIPIENT.search(header)
        if recipient is not None:
            return (yield from self._call(recipient.group(1)))
        kind: Callable[[str], Event] = Thought if channel.group(1) == "analysis" else Said
        self._tell_as(kind)
        yield from reader.until((*_BEGINNINGS, *_ENDINGS))
        self._tell_as(None)
        return True

    def _call(self, name: str) -> Reading[bool]:
        if name not in self._tools:
            return False
        yield from self._reader.space()
        is_whole = yield from self._arguments(name)
        return self._settle(is_whole=is_whole)
