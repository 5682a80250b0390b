"""What a text of a model says: content, thinking and calls, told apart as the text comes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .reader import Reader, Reading

Schemas = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Said:
    """More of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Thought:
    """More of the thinking."""

    text: str


@dataclass(frozen=True, slots=True)
class Called:
    """A call begins, of a tool that was given; with its id, in formats that write one."""

    index: int
    name: str
    id: str = ""


@dataclass(frozen=True, slots=True)
class Argued:
    """More of a call's arguments, which join to one JSON object."""

    index: int
    text: str


Event = Said | Thought | Called | Argued


class Parser(ABC):
    """Turns the pieces of a text into events. However it is cut, they join to the same.

    Nothing is lost: what is no well-formed call of a known tool is said as it was written, but for
    white space around calls. A call that streams is told as soon as its name and the beginning of
    its arguments are there; if it breaks off later, its arguments end there and the rest is said.

    Args:
        tools: schemas of the tools' arguments, by name; calls of others are said as they were
            written.
        streams: tell calls as they come, else only when they are whole.
    """

    def __init__(self, tools: Schemas, *, streams: bool) -> None:
        self._tools = tools
        self._streams = streams
        self._reader = Reader()
        self._events: list[Event] = []
        self._held: list[Event] = []  # of a call that is not whole yet
        self._count = 0  # calls that were told
        self._is_begun = False  # whether the present call was announced
        self._kind: Callable[[str], Event] | None = None  # what is passed over is told as this
        self._told = 0  # up to where
        self._reading = self._read()

    def feed(self, text: str) -> list[Event]:
        """Take a piece of text; return what is sure by now."""
        self._reader.text += text
        return self._advance()

    def finish(self) -> list[Event]:
        """Return what was held back; the text has ended."""
        self._reader.is_ended = True
        return self._advance()

    @abstractmethod
    def _read(self) -> Reading[None]:
        """Read the whole text."""

    def _advance(self) -> list[Event]:
        next(self._reading, None)
        self._flush()
        events, self._events = self._events, []
        return events

    def _tell_as(self, kind: Callable[[str], Event] | None, start: int | None = None) -> None:
        """From here, or `start`, on tell what is passed over, word for word; None: no more."""
        self._flush()
        self._kind = kind
        self._told = self._reader.at if start is None else start

    def _flush(self) -> None:
        text = self._reader.text[self._told : self._reader.at]
        if self._kind is not None and text:
            self._tell(self._kind(text))
            self._told = self._reader.at

    def _tell(self, event: Event) -> None:
        waits = isinstance(event, Called | Argued) and not self._streams
        events = self._held if waits else self._events
        match event, events[-1:]:
            case Argued(index, more), [Argued(text=text)]:
                events[-1] = Argued(index, text + more)
            case Said(more), [Said(text)]:
                events[-1] = Said(text + more)
            case _:
                events.append(event)

    def _announce(self, name: str, id: str = "") -> None:
        self._is_begun = True
        self._tell(Called(self._count, name, id))

    def _argue(self, text: str) -> Event:
        return Argued(self._count, text)

    def _arguments(self, name: str, id: str = "") -> Reading[bool]:
        """Announce a call of a tool and read its arguments, a JSON object, if one comes next."""
        if (yield from self._reader.char()) != "{":
            return False
        self._announce(name, id)
        self._tell_as(self._argue)
        is_whole = yield from self._reader.value()
        self._tell_as(None)
        return is_whole

    def _settle(self, *, is_whole: bool) -> bool:
        """End the present call; return whether it was told, if only its beginning."""
        is_told = self._is_begun and (is_whole or self._streams)
        if is_told:
            self._events += self._held
        self._count += is_told
        self._held.clear()
        self._is_begun = False
        return is_told
