"""Reading a text that is still being written.

A reading is written as if the whole text were there: where it needs more than there is, it yields,
and goes on when more has come or the text has ended. So what it finds cannot depend on how the
text was cut into pieces.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Generator
from typing import TypeVar

T = TypeVar("T")
Reading = Generator[None, None, T]

MAX_DEPTH = 100  # of nested JSON; what is deeper is no call
_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
_WORD = re.compile(r"[-+.\w]*")
_SCALAR = re.compile(r"true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")


class Reader:
    """A text that grows, and a place in it. Readings that fail stay at what is wrong."""

    def __init__(self) -> None:
        self.text = ""
        self.at = 0
        self.is_ended = False

    def char(self) -> Reading[str]:
        """Return the next character without passing over it; empty at the end of the text."""
        while self.at >= len(self.text) and not self.is_ended:
            yield
        return self.text[self.at : self.at + 1]

    def space(self) -> Reading[None]:
        """Pass over white space."""
        while (yield from self.char()).isspace():
            self.at += 1

    def mark(self, marks: Collection[str]) -> Reading[str | None]:
        """Pass over the longest of `marks` that comes next, and return it."""
        longest = max(map(len, marks), default=0)
        while not self.is_ended:
            rest = self.text[self.at : self.at + longest]
            if not any(len(rest) < len(mark) and mark.startswith(rest) for mark in marks):
                break
            yield
        found = [mark for mark in marks if self.text.startswith(mark, self.at)]
        if not found:
            return None
        self.at += len(max(found, key=len))
        return max(found, key=len)

    def until(self, marks: Collection[str], *, holds_space: bool = False) -> Reading[str | None]:
        """Pass over all before the next of `marks`, and return it; None: there is none.

        Args:
            marks: what to look for; without any all is passed over, as it comes.
            holds_space: stay before the white space that a mark follows.
        """
        pattern = re.compile("|".join(map(re.escape, marks)) or "(?!)")
        while True:
            found = pattern.search(self.text, self.at)
            end = found.start() if found else len(self.text) - self._begun(marks)
            if holds_space and (found or not self.is_ended):
                end = self.at + len(self.text[self.at : end].rstrip())
            self.at = end
            if found or self.is_ended:
                return found.group() if found else None
            yield

    def _begun(self, marks: Collection[str]) -> int:
        """How many of the last characters may be the beginning of a mark."""
        if self.is_ended:
            return 0
        rest = self.text[self.at :][-max(map(len, marks), default=1) :]
        lengths = range(len(rest), 0, -1)
        return next((n for n in lengths if any(m.startswith(rest[-n:]) for m in marks)), 0)

    def matching(self, pattern: re.Pattern[str]) -> Reading[str]:
        """Pass over all that `pattern` matches here; it takes any piece of what it takes."""
        start = self.at
        while True:
            found = pattern.match(self.text, self.at)
            self.at = found.end() if found else self.at
            if self.at < len(self.text) or self.is_ended:
                return self.text[start : self.at]
            yield

    def value(self, depth: int = MAX_DEPTH) -> Reading[bool]:
        """Pass over a JSON value, if one comes next."""
        match (yield from self.char()):
            case "{" | "[":
                return depth > 0 and (yield from self._container(depth - 1))
            case '"':
                return (yield from self.string())
            case _:
                word = yield from self.matching(_WORD)
                return _SCALAR.fullmatch(word) is not None

    def string(self) -> Reading[bool]:
        """Pass over a JSON string, if one comes next."""
        if (yield from self.char()) != '"':
            return False
        self.at += 1
        while True:
            yield from self.matching(_PLAIN)
            match (yield from self.char()):
                case '"':
                    self.at += 1
                    return True
                case "\\":
                    self.at += 1
                case _:
                    return False
            escaped = yield from self.char()
            if not escaped or escaped not in '"\\/bfnrtu':
                return False
            self.at += 1
            for _ in range(4 if escaped == "u" else 0):
                digit = yield from self.char()
                if not digit or digit not in "0123456789abcdefABCDEF":
                    return False
                self.at += 1

    def _container(self, depth: int) -> Reading[bool]:
        opened = self.text[self.at]
        closing = "}" if opened == "{" else "]"
        self.at += 1
        yield from self.space()
        if (yield from self.mark((closing,))):
            return True
        while True:
            if opened == "{":
                if not (yield from self.string()):
                    return False
                yield from self.space()
                if not (yield from self.mark((":",))):
                    return False
                yield from self.space()
            if not (yield from self.value(depth)):
                return False
            yield from self.space()
            match (yield from self.mark((closing, ","))):
                case ",":
                    yield from self.space()
                case found:
                    return found is not None
