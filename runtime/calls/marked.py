"""Calls between marks, in one of the layouts of a format, with text before and behind them."""

from __future__ import annotations

import json
import re
from typing import assert_never

from . import tagged
from .formats import Format, Layout, Writing
from .parser import Parser, Said, Schemas
from .python import read_arguments
from .reader import Reading

_NAME = re.compile(r"[\w.\-]*")
_NUMBER = re.compile(r":?[0-9]*")
# Keys of an object that is a call. Others begin a document that is none.
_ARGUMENTS = frozenset({"arguments", "parameters"})
_OTHER = frozenset({"id", "type"})


class MarkedParser(Parser):
    """Reads what a format's layouts say. No thinking is told apart.

    Args:
        written: the format; it has layouts.
        tools: schemas of the tools' arguments, by name.
        streams: tell calls as they come, else only when they are whole.
    """

    def __init__(self, written: Format, tools: Schemas, *, streams: bool) -> None:
        super().__init__(tools, streams=streams)
        self._format = written

    def _read(self) -> Reading[None]:
        reader, marks = self._reader, self._format.marks
        yield from reader.space()
        if not (yield from self._calls("")):
            reader.at = 0
        while True:
            self._tell_as(Said)
            mark = yield from reader.until(marks, holds_space=True)
            self._tell_as(None)
            if mark is None:
                return
            start = reader.at
            yield from reader.space()
            at = reader.at
            if not (yield from self._calls(mark)):
                reader.at = at + len(mark)
                self._tell_as(Said, start)

    def _calls(self, mark: str) -> Reading[bool]:
        """Read calls in any of the layouts with this mark; return whether there were any."""
        start = self._reader.at
        for layout in self._format.layouts:
            if layout.mark == mark and (yield from self._section(layout)):
                return True
            self._reader.at = start
        return False

    def _section(self, layout: Layout) -> Reading[bool]:
        reader = self._reader
        for text in (layout.opens, layout.first):
            if not (yield from self._pass(text)):
                return False
        before, last = self._count, reader.at
        while True:
            is_whole = yield from self._call(layout)
            if not self._settle(is_whole=is_whole):
                break
            if not is_whole:
                return True
            for word in layout.end.split():  # as many as there are
                if not (yield from self._pass(word)):
                    break
            last = reader.at
            yield from self._pass(layout.separator)
        reader.at = last  # what follows is no other call
        if before == self._count:
            return False
        for text in layout.closes:
            yield from self._pass(text)
        yield from reader.space()
        return True

    def _pass(self, text: str) -> Reading[bool]:
        """Pass over a text of the layout and white space before it, if it comes next.

        Where there is white space in the text, there may be any, or none.
        """
        reader, start = self._reader, self._reader.at
        yield from reader.space()
        for word in text.split():
            yield from reader.space()
            if not (yield from reader.mark((word,))):
                reader.at = start
                return False
        return True

    def _call(self, layout: Layout) -> Reading[bool]:
        if not (yield from self._pass(layout.begin)):
            return False
        yield from self._reader.space()
        match layout.writing:
            case Writing.OBJECT:
                return (yield from self._object())
            case Writing.NAMED:
                return (yield from self._named(layout))
            case Writing.PYTHON:
                return (yield from self._python())
            case Writing.TAGGED:
                return (yield from self._tagged(layout))
            case _:
                assert_never(layout.writing)

    def _named(self, layout: Layout) -> Reading[bool]:
        reader, start = self._reader, self._reader.at
        if layout.id_begin and not (yield from reader.mark((layout.id_begin,))):
            return False
        name = yield from reader.matching(_NAME)
        if layout.id_begin:
            yield from reader.matching(_NUMBER)
        id = reader.text[start : reader.at] if layout.id_begin else ""
        if name not in self._tools or not (yield from self._pass(layout.middle)):
            return False
        yield from reader.space()
        return (yield from self._arguments(name, id))

    def _tagged(self, layout: Layout) -> Reading[bool]:
        reader = self._reader
        name = yield from reader.matching(_NAME)
        if name not in self._tools or not (yield from self._pass(layout.middle)):
            return False
        self._announce(name)
        is_read = yield from tagged.read_arguments(
            reader, layout.argument, self._tools[name], lambda text: self._tell(self._argue(text))
        )
        at = reader.at
        is_ended = not (yield from reader.char()) or (yield from self._pass(layout.end.split()[0]))
        reader.at = at
        return is_read and is_ended

    def _python(self) -> Reading[bool]:
        name = yield from self._reader.matching(_NAME)
        if name not in self._tools or not (yield from self._reader.mark(("(",))):
            return False
        self._announce(name)
        return (yield from read_arguments(self._reader, lambda text: self._tell(self._argue(text))))

    def _object(self) -> Reading[bool]:
        """Read a call that is an object; its arguments wait for its name if they come first."""
        reader = self._reader
        name: str | None = None
        waiting = "{}"
        if not (yield from reader.mark(("{",))):
            return False
        while True:
            key = yield from self._key()
            start = reader.at
            if key == "name" and name is None:
                is_value = yield from reader.string()
                name = json.loads(reader.text[start : reader.at]) if is_value else None
                if name not in self._tools:
                    return False
            elif key in _ARGUMENTS and name is not None and not self._is_begun:
                if not (yield from self._arguments(name)):
                    return False
            elif key in _ARGUMENTS and name is None and waiting == "{}":
                is_value = (yield from reader.char()) == "{" and (yield from reader.value())
                if not is_value:
                    return False
                waiting = reader.text[start : reader.at]
            elif key not in _OTHER or not (yield from reader.value()):
                return False
            yield from reader.space()
            end = yield from reader.mark(("}", ","))
            if end == "}" and name is not None and not self._is_begun:
                self._announce(name)
                self._tell(self._argue(waiting))
            if end != ",":
                return end == "}" and self._is_begun

    def _key(self) -> Reading[str | None]:
        """Read a key and the colon behind it."""
        reader = self._reader
        yield from reader.space()
        start = reader.at
        if not (yield from reader.string()):
            return None
        key: str = json.loads(reader.text[start : reader.at])
        if not (yield from self._pass(":")):
            return None
        yield from reader.space()
        return key
