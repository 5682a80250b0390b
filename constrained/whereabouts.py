"""Where a JSON text stands in a schema whose dear strings are set apart (`apart.py`).

A text is followed byte by byte, between tokens that the back end has allowed or will be asked
about: so nothing but the strings set apart is checked here. Blanks between marks are passed over.
"""

from __future__ import annotations

import enum
import re
from collections import OrderedDict
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .apart import NOWHERE, Apart
from .language import Language
from .spelt import ESCAPES, Spelt

__all__ = ["Follower", "Where"]

_MARK = re.compile(rb'["\\]')
_RUN = re.compile(rb'[^"\\\x80-\xff]+')
MAX_OPTIONS = 32  # alternatives inside each other
MAX_WRONG = 1_000  # places whose tokens are kept


class Mode(enum.IntEnum):
    """What comes next."""

    VALUE = 0
    FIRST_ITEM = 1  # or the end of the array
    FIRST_KEY = 2  # or the end of the object
    KEY = 3  # the quote that begins it
    IN_KEY = 4
    COLON = 5
    IN_STRING = 6  # one that is free, or the back end's
    IN_TEXT = 7  # a string set apart
    IN_SCALAR = 8  # a number or a word
    BEHIND = 9  # a value


class Level(NamedTuple):
    """An array or object that is open."""

    is_object: bool
    shape: int
    item: int  # of an array, up to the first behind its prefix
    outer: Level | None


class Where(NamedTuple):
    """A place; hashable, and equal where the same may follow.

    Attributes:
        mode: what comes next.
        level: the innermost array or object.
        shape: of the value that comes, or whose colon does.
        key: of a key, what stands of it.
        is_escaped: whether a backslash has begun an escape.
        text: the number of a string set apart; `place` is in its language.
        place: there.
        partial: a character that has begun, in such a string.
    """

    mode: Mode
    level: Level | None = None
    shape: int = NOWHERE
    key: bytes = b""
    is_escaped: bool = False
    text: int = -1
    place: tuple[int, int] = (0, 0)
    partial: bytes = b""


class Follower:
    """Follows the texts of one grammar. Any number of threads may ask.

    Attributes:
        languages: of the strings set apart, by their number.
    """

    def __init__(self, apart: Apart, spelt: Spelt) -> None:
        """Make the languages of the strings.

        Args:
            apart: the schema.
            spelt: the tokens of the vocabulary.
        """
        self._shapes = apart.shapes
        self._root = apart.root
        self._spelt = spelt
        self.languages = [Language(text, spelt) for text in apart.texts]
        self._wrong: OrderedDict[tuple[Where, bytes], NDArray[np.intp]] = OrderedDict()

    @property
    def start(self) -> Where:
        """The place at the beginning."""
        return Where(Mode.VALUE, shape=self._root)

    def after(self, where: Where, text: bytes) -> Where | None:
        """Return the place behind some bytes; None where a string set apart cannot have them."""
        at, size = 0, len(text)
        found: Where | None = where
        while at < size and found is not None:
            where = found
            match where.mode:
                case Mode.IN_TEXT:
                    found, at = self._in_text(where, text, at)
                case Mode.IN_STRING | Mode.IN_KEY:
                    found, at = self._in_quotes(where, text, at)
                case _:
                    found = self._between(where, text[at])
                    at += 1
        if found is not None and found.partial:
            language = self.languages[found.text]
            return found if language.goes_on(found.place, found.partial) else None
        return found

    def suspects(self, where: Where) -> NDArray[np.intp]:
        """Return the tokens that may write in a string set apart which they begin themselves.

        Within a character that a token has begun, all tokens: nothing is known of the rest of it.
        """
        if where.partial:
            return self._spelt.all_tokens
        return self._spelt.behind_quotes[self._quotes_before_text(where)]

    def wrong(self, where: Where, tokens: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return those of some tokens that strings set apart cannot have. What is found is kept."""
        key = where, tokens.tobytes()
        found = self._wrong.get(key)
        if found is None:
            texts = self._spelt.vocabulary.tokens
            kept = [token for token in tokens.tolist() if self.after(where, texts[token]) is None]
            found = self._wrong[key] = np.array(kept, dtype=np.intp)
            if len(self._wrong) > MAX_WRONG:
                self._wrong.popitem(last=False)
        return found

    def _quotes_before_text(self, where: Where) -> int:
        """Return how many quotes of a token come before a character of a string set apart may."""
        level = where.level
        is_member = level is not None and level.is_object
        match where.mode:
            case Mode.IN_STRING | Mode.IN_TEXT:
                return 4 if is_member else 2
            case Mode.IN_KEY:
                return 2
            case Mode.FIRST_KEY | Mode.KEY:
                return 3
            case Mode.BEHIND | Mode.IN_SCALAR:
                return 3 if is_member else 1
            case _:
                begun = self._shapes[self._option(where.shape, '"')]
                listed = self._shapes[self._option(where.shape, "[")]
                if begun.text >= 0 or listed.prefix or listed.rest:
                    return 1
                return 3

    def _between(self, where: Where, byte: int) -> Where:
        """Advance by a byte outside of strings."""
        char = chr(byte)
        if char in " \n\t":
            return where
        match where.mode:
            case Mode.FIRST_KEY | Mode.KEY if char == '"':
                return Where(Mode.IN_KEY, where.level)
            case Mode.COLON:
                return Where(Mode.VALUE, where.level, where.shape)
            case Mode.VALUE | Mode.FIRST_ITEM if char not in "]}":
                return self._begun(where, char)
        level = where.level
        if level is None:
            return where
        if char in "]}":
            return Where(Mode.BEHIND, level.outer)
        if char == ",":
            if level.is_object:
                return Where(Mode.KEY, level)
            shape = self._shapes[level.shape]
            item = min(level.item + 1, len(shape.prefix))
            return Where(Mode.VALUE, level._replace(item=item), self._item(level.shape, item))
        return where

    def _begun(self, where: Where, char: str) -> Where:
        """Begin a value by its first character."""
        if char not in '"{[':
            return Where(Mode.IN_SCALAR, where.level)
        number = self._option(where.shape, char)
        shape = self._shapes[number]
        if char == '"':
            if shape.text < 0:
                return Where(Mode.IN_STRING, where.level)
            start = self.languages[shape.text].start
            return Where(Mode.IN_TEXT, where.level, text=shape.text, place=start)
        level = Level(char == "{", number, 0, where.level)
        if level.is_object:
            return Where(Mode.FIRST_KEY, level)
        return Where(Mode.FIRST_ITEM, level, self._item(number, 0))

    def _option(self, number: int, char: str) -> int:
        """Return the shape of the alternative that a value's first character decides for."""
        for _ in range(MAX_OPTIONS):
            if (options := self._shapes[number].options) is None:
                return number
            number = options.get(char, NOWHERE)
        return NOWHERE

    def _item(self, number: int, item: int) -> int:
        shape = self._shapes[number]
        return shape.prefix[item] if item < len(shape.prefix) else shape.rest

    def _in_quotes(self, where: Where, text: bytes, at: int) -> tuple[Where, int]:
        """Advance in a key, or in a string that is not set apart, to its end or that of `text`."""
        begun = at
        if where.is_escaped:
            at += 1
        is_escaped = False
        while (mark := _MARK.search(text, at)) is not None:
            at = mark.end()
            if mark[0] == b'"':
                if where.mode is Mode.IN_STRING:
                    return Where(Mode.BEHIND, where.level), at
                assert where.level is not None
                key = where.key + text[begun : at - 1]
                shape = self._shapes[where.level.shape]
                return Where(Mode.COLON, where.level, shape.members.get(key, shape.other)), at
            if at == len(text):
                is_escaped = True
                break
            at += 1
        key = where.key + text[begun:] if where.mode is Mode.IN_KEY else b""
        return Where(where.mode, where.level, key=key, is_escaped=is_escaped), len(text)

    def _in_text(self, where: Where, text: bytes, at: int) -> tuple[Where | None, int]:
        """Advance in a string set apart: by a run of characters, or a byte of one, or its end."""
        language = self.languages[where.text]
        byte, partial, codes = text[at], where.partial, ""
        if partial:
            partial += text[at : at + 1]
            at += 1
            if partial[0] == ord("\\"):
                if byte not in ESCAPES:
                    return None, at
                codes, partial = chr(ESCAPES[byte]), b""
            elif len(partial) == (2 if partial[0] < 0xE0 else 3 if partial[0] < 0xF0 else 4):
                codes, partial = partial.decode(errors="replace"), b""
        elif byte == ord('"'):
            closed = Where(Mode.BEHIND, where.level)
            return (closed if language.closes(where.place) else None), at + 1
        elif (run := _RUN.match(text, at)) is not None:
            codes, at = run[0].decode(), run.end()
        else:
            partial, at = text[at : at + 1], at + 1
        place: tuple[int, int] | None = where.place
        for char in codes:
            if place is not None:
                place = language.after(place, ord(char))
        return (None if place is None else where._replace(place=place, partial=partial)), at
