"""Counting tokens: ranges, and what a tokenizer (or four characters a token) says of a text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Protocol, cast

import msgspec

from ...ir.roles import PLAIN, RoleFormat

CHARS_PER_TOKEN = 4  # of English, where no tokenizer is known
EMPTY_RUN = 4_096  # ids without text after which a vocabulary is taken to have ended


class Tokenizer(Protocol):
    """What is asked of a tokenizer; the engine's and transformers' fast ones fit.

    If it has `role_format()`, turns are counted as the model writes them, else plainly; if it has
    `encode_literal(text, opens=...)`, texts are encoded as a program's are. If it has `get_vocab()`
    or `token_texts(ids)`, least numbers of tokens are exact.
    """

    def encode(self, text: str, *, add_special_tokens: bool) -> Sequence[int]:
        """Return the ids of a text."""
        ...


class Range(msgspec.Struct, frozen=True):
    """A number that a run decides: at least, and at most (None: no bound)."""

    least: int = 0
    most: int | None = 0

    def __add__(self, other: Range) -> Range:
        most = None if self.most is None or other.most is None else self.most + other.most
        return Range(self.least + other.least, most)

    def __or__(self, other: Range) -> Range:
        """The smallest range that holds both."""
        most = None if self.most is None or other.most is None else max(self.most, other.most)
        return Range(min(self.least, other.least), most)

    def max(self, other: Range) -> Range:
        """The larger of the two numbers."""
        most = None if self.most is None or other.most is None else max(self.most, other.most)
        return Range(max(self.least, other.least), most)

    def times(self, count: int) -> Range:
        """The sum of `count` of it."""
        return Range(self.least * count, None if self.most is None else self.most * count)

    def widened(self, before: Range) -> Range:
        """This range, its ends let go where they have moved since `before`."""
        most = self.most if self.most == before.most else None
        return Range(self.least if self.least >= before.least else 0, most)

    def __contains__(self, number: object) -> bool:
        return (
            isinstance(number, int)
            and self.least <= number
            and (self.most is None or number <= self.most)
        )

    def __str__(self) -> str:
        if self.most == self.least:
            return str(self.least)
        return f"{self.least}..{'' if self.most is None else self.most}"


ANY = Range(0, None)
NONE = Range(0, 0)
Pieces = tuple[str | Range, ...]
"""A text: what is known of it, and the tokens of what is not."""


class Counter:
    """Counts the tokens of texts."""

    def __init__(self, tokenizer: Tokenizer | None) -> None:
        self.tokenizer = tokenizer
        self._counts: dict[tuple[str, bool], int] = {}

    @property
    def is_approximate(self) -> bool:
        """Whether no tokenizer is known."""
        return self.tokenizer is None

    @cached_property
    def roles(self) -> RoleFormat:
        """How turns are written."""
        tokenizer: Any = self.tokenizer
        return tokenizer.role_format() if hasattr(tokenizer, "role_format") else PLAIN

    def ids(self, text: str, *, at_start: bool = False) -> Sequence[int]:
        """The ids of a text; only with a tokenizer."""
        assert self.tokenizer is not None
        tokenizer: Any = self.tokenizer
        if hasattr(tokenizer, "encode_literal"):
            return cast("Sequence[int]", tokenizer.encode_literal(text, opens=at_start))
        return self.tokenizer.encode(text, add_special_tokens=at_start)

    def count(self, text: str, *, at_start: bool = False) -> int:
        """The tokens of a text."""
        if self.tokenizer is None:
            return -(-len(text) // CHARS_PER_TOKEN)
        if (text, at_start) not in self._counts:
            self._counts[text, at_start] = len(self.ids(text, at_start=at_start))
        return self._counts[text, at_start]

    def range(self, pieces: Pieces, *, at_start: bool = False) -> Range:
        """The tokens of pieces that are tokenised as one text.

        A token may span the place where a known and an unknown piece meet; one is allowed for on
        either side of it.
        """
        pieces = merged(pieces)
        if not pieces:
            return NONE
        if len(pieces) == 1 and isinstance(pieces[0], str):
            return _exactly(self.count(pieces[0], at_start=at_start))
        seams = len(pieces) - 1
        total = NONE
        for index, piece in enumerate(pieces):
            if isinstance(piece, str):
                piece = _exactly(self.count(piece, at_start=at_start and index == 0))
            total += piece
        most = None if total.most is None else total.most + seams
        return Range(max(0, total.least - 2 * seams), most)

    @cached_property
    def texts(self) -> frozenset[str] | None:
        """The texts of the vocabulary's tokens; None where the tokenizer does not tell."""
        tokenizer: Any = self.tokenizer
        if hasattr(tokenizer, "token_texts"):
            return frozenset(_all_texts(tokenizer))
        if hasattr(tokenizer, "get_vocab") and hasattr(tokenizer, "batch_decode"):
            ids = cast("Iterable[int]", tokenizer.get_vocab().values())
            return frozenset(tokenizer.batch_decode([[token] for token in ids]))
        return None


def merged(pieces: Pieces) -> Pieces:
    """Join neighbours of one kind, and leave out what is empty."""
    found: list[str | Range] = []
    for piece in pieces:
        if piece == "" or piece == NONE:
            continue
        last = found[-1] if found else None
        if isinstance(last, str) and isinstance(piece, str):
            found[-1] = f"{last}{piece}"
        elif isinstance(last, Range) and isinstance(piece, Range):
            found[-1] = last + piece
        else:
            found.append(piece)
    return tuple(found)


def _exactly(count: int) -> Range:
    return Range(count, count)


def _all_texts(tokenizer: Any) -> Iterable[str]:
    """Ask for the text of every id, until long after the last that has one."""
    start = 0
    while any(texts := tokenizer.token_texts(range(start, start + EMPTY_RUN))):
        yield from texts
        start += EMPTY_RUN
