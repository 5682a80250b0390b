"""Reasoning, then constrained text: a match of free text in front of a back end's own.

Bytes decide where a text stands: in the opening mark, in the reasoning, in what closes it, or in
the constrained text. So a token may span two of these. The reasoning is bounded in tokens: behind
the last of them only what closes it is legal, and that last one ends with a whole character: so
a character is begun only where enough tokens are left for the rest of its bytes, one for each.

A mask before the constrained text is made once for each place in the marks: some milliseconds.
"""

from __future__ import annotations

import codecs
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .grammar import Matcher
from .spec import Reasoning
from .special import decoded, encoded, is_code
from .spelling import speller_of
from .vocab import Vocabulary

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Frame", "Reasoned"]

MAX_MISSING = 3  # bytes of a character that has begun
NEVER = MAX_MISSING + 1

Row = NDArray[np.int32]  # of a mask


class Part(IntEnum):
    """Which part of the text is being written."""

    OPENING = 0  # the mark before the reasoning
    FREE = 1  # the reasoning; the offset is how much of the closing mark the text ends with
    CLOSING = 2  # the closing mark and the gap behind it, which must be written now
    ANSWER = 3  # what is constrained


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a text stands."""

    part: Part
    offset: int = 0  # bytes within the part's mark
    begun: bytes = b""  # of a character of the reasoning that is not whole yet
    spent: int = 0  # tokens of reasoning
    answered: int = 0  # tokens that the constrained text's matcher was given for the last token


class Frame:
    """What all matches of a grammar behind reasoning share. Thread-safe."""

    def __init__(
        self, reasoning: Reasoning, vocabulary: Vocabulary, begin: Callable[[], Matcher]
    ) -> None:
        """Keep the marks.

        Args:
            reasoning: marks and bound.
            vocabulary: what masks are over.
            begin: starts a match of the constrained text.
        """
        self.begin = begin
        self.vocabulary = vocabulary
        self.opening = encoded(vocabulary.written(reasoning.begin))
        self.end = encoded(vocabulary.written(reasoning.end))
        self.closing = self.end + encoded(vocabulary.written(reasoning.gap))
        self.max_tokens = reasoning.max_tokens
        self.start = self.placed(Standing(Part.OPENING))
        self._back = _fallbacks(self.end)
        self._rows: dict[tuple[Part, int, bytes, int], Row] = {}
        # Made here, so that no mask waits for it: 0.1 s for a large vocabulary, once.
        self._texts = _texts_of(vocabulary)
        special = [text for text in vocabulary.tokens if is_code(text) and text in self.end]
        self._special = tuple(special)  # of the closing mark
        self._closers = {*_tokens_with(vocabulary, self.end[-1:])}
        self._closers.update(map(vocabulary.tokens.index, special))

    def placed(self, standing: Standing) -> Standing:
        """Return where a text stands before its next token: a part that is whole leads on."""
        part, offset = standing.part, standing.offset
        if part is Part.OPENING and offset == len(self.opening):
            part, offset = Part.FREE, 0
        bound = self.max_tokens
        if part is Part.FREE and bound is not None and standing.spent >= bound:
            part = Part.CLOSING
        if part is Part.CLOSING and offset == len(self.closing):
            part, offset = Part.ANSWER, 0
        return replace(standing, part=part, offset=offset)

    def walked(self, standing: Standing, data: bytes) -> tuple[Standing, bytes] | None:
        """Follow the bytes of a token as far as the constrained text.

        Returns:
            Where the text stands behind them, and the bytes that are the constrained text's; None
            where they cannot come.
        """
        part, offset, free = standing.part, standing.offset, bytearray(standing.begun)
        answer = b""
        for at, byte in enumerate(data):
            if part is Part.OPENING and offset == len(self.opening):
                part, offset = Part.FREE, 0
            if part is Part.CLOSING and offset == len(self.closing):
                answer = data[at:]
                break
            if part is Part.FREE:
                free.append(byte)
                while offset and self.end[offset] != byte:
                    offset = self._back[offset]
                offset += self.end[offset] == byte
                part = Part.CLOSING if offset == len(self.end) else part
            elif (self.opening if part is Part.OPENING else self.closing)[offset] != byte:
                return None
            else:
                offset += 1
        begun = self._begun(bytes(free))
        # A token that begins in the opening mark is one of reasoning if more than the mark is said.
        is_spent = standing.part is Part.FREE or len(free) > min(offset, len(self.end))
        spent = standing.spent + is_spent
        if begun is None or _missing(begun) > self._left(spent):
            return None
        return self.placed(Standing(part, offset, begun, spent)), answer

    def _begun(self, free: bytes) -> bytes | None:
        """As `_begun`; the closing mark's special tokens stand where a character may."""
        for code in self._special:
            free = free.replace(code, b" ")
        return _begun(free)

    def _left(self, spent: int) -> int:
        """How many tokens may come behind so many, of those that end a character; -1: too many."""
        if self.max_tokens is None:
            return MAX_MISSING
        return max(min(self.max_tokens - spent, MAX_MISSING), -1)

    def row(self, standing: Standing) -> Row:
        """Return which tokens may come before the constrained text: [ceil(vocab / 32)] i32."""
        # In a mark nothing, or nothing yet, is spent: the place alone says what may come.
        left = self._left(standing.spent + 1) if standing.part is Part.FREE else 0
        key = standing.part, standing.offset, standing.begun, left
        if key not in self._rows:
            self._rows[key] = self._made(standing, left)
        return self._rows[key]

    def _made(self, standing: Standing, left: int) -> Row:
        tokens = self.vocabulary.tokens
        bits = np.zeros(-(-len(tokens) // 32) * 32, dtype=np.uint8)
        asked: Iterable[int]
        if standing.part is Part.FREE and not standing.begun:
            bits[: len(tokens)] = self._texts.missing <= left
            head = self.end[: standing.offset]
            asked = (
                token
                for token in self._closers
                if is_code(tokens[token]) or self.end in head + tokens[token]
            )
        elif standing.part is Part.FREE:
            firsts = range(0x80, 0xC0)
            asked = (token for byte in firsts for token in self._texts.by_first.get(byte, ()))
        else:
            mark = self.opening if standing.part is Part.OPENING else self.closing
            asked = self._texts.by_first.get(mark[standing.offset], ())
        answer = self.begin()
        for token in asked:
            found = self.walked(standing, tokens[token])
            taken = None if found is None else self.given(answer, found[1])
            bits[token] = taken is not None
            answer.rollback(taken or 0)
        bits[list(self.vocabulary.stop_ids)] = 0
        return np.packbits(bits, bitorder="little").view(np.int32)

    def given(self, answer: Matcher, data: bytes) -> int | None:
        """Give bytes to a match of the constrained text.

        Returns:
            How many tokens spelled them; None, with nothing changed, if they cannot come.
        """
        tokens = (speller_of(self.vocabulary).tokens(data) if data else ()) or ()
        if data and not tokens:
            return None
        taken = sum(1 for _ in itertools.takewhile(answer.accept, tokens))
        if taken < len(tokens):
            answer.rollback(taken)
            return None
        return taken


class Reasoned:
    """A position in reasoning or behind it; see the protocol `Matcher`."""

    def __init__(self, frame: Frame, answer: Matcher, past: Sequence[Standing]) -> None:
        self._frame = frame
        self._answer = answer
        self._past = list(past)  # the first is the beginning, the last the present

    @classmethod
    def of(cls, frame: Frame) -> Reasoned:
        """Start a match at the beginning."""
        return cls(frame, frame.begin(), [frame.start])

    def fill(self, mask: Tensor, row: int) -> None:
        """Write which tokens may come next."""
        if self._past[-1].part is Part.ANSWER:
            self._answer.fill(mask, row)
        else:
            mask.numpy()[row] = self.row()

    def row(self) -> Row:
        """Return which tokens may come next."""
        standing = self._past[-1]
        return self._answer.row() if standing.part is Part.ANSWER else self._frame.row(standing)

    def accept(self, token: int) -> bool:
        """Advance by a token."""
        standing, frame = self._past[-1], self._frame
        if standing.part is Part.ANSWER:
            if not self._answer.accept(token):
                return False
            self._past.append(Standing(Part.ANSWER, spent=standing.spent, answered=1))
            return True
        if token in frame.vocabulary.stop_ids or not frame.vocabulary.is_spelled(token):
            return False
        found = frame.walked(standing, frame.vocabulary.tokens[token])
        if found is None or (taken := frame.given(self._answer, found[1])) is None:
            return False
        self._past.append(replace(found[0], answered=taken))
        return True

    def rollback(self, count: int) -> None:
        """Undo the last tokens."""
        if not 0 <= count < len(self._past):
            raise ValueError(f"cannot undo {count} tokens: {len(self._past) - 1} were accepted")
        if count:
            self._answer.rollback(sum(standing.answered for standing in self._past[-count:]))
            del self._past[-count:]

    def fork(self) -> Reasoned:
        """Return an independent matcher at the same position."""
        return Reasoned(self._frame, self._answer.fork(), self._past)

    def completes(self, tokens: Sequence[int]) -> bool:
        """Whether these tokens may follow and complete the text."""
        taken = sum(1 for _ in itertools.takewhile(self.accept, tokens))
        is_complete = taken == len(tokens) and self.is_accepting
        self.rollback(taken)
        return is_complete

    @property
    def is_accepting(self) -> bool:
        """Whether the text so far is complete."""
        return self._past[-1].part is Part.ANSWER and self._answer.is_accepting

    @property
    def is_finished(self) -> bool:
        """Whether nothing but a stop token is legal any more."""
        return self._past[-1].part is Part.ANSWER and self._answer.is_finished

    def forced(self) -> str:
        """Return the text that must come next."""
        forced = b"".join(self._forced())
        is_boundary = not forced or forced[0] & 0xC0 != 0x80  # else in the middle of a character
        return decoded(forced) if is_boundary else ""

    def _forced(self) -> Iterator[bytes]:
        standing = self._past[-1]
        if standing.part is Part.OPENING:
            yield self._frame.opening[standing.offset :]
        elif standing.part is Part.CLOSING:
            yield self._frame.closing[standing.offset :]
        if standing.part in (Part.CLOSING, Part.ANSWER):
            yield encoded(self._answer.forced())


def _fallbacks(mark: bytes) -> list[int]:
    """Return, for each beginning of a mark, the longest shorter one that it ends with.

    Source: Knuth, Morris and Pratt (1977).
    """
    table, at = [0, 0], 0
    for byte in mark[1:]:
        while at and mark[at] != byte:
            at = table[at]
        at += mark[at] == byte
        table.append(at)
    return table


def _begun(text: bytes) -> bytes | None:
    """Return the bytes of a last character that is not whole; None where it is no UTF-8."""
    try:
        text.decode()
        return b""
    except UnicodeDecodeError:
        decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        decoder.decode(text)
    except UnicodeDecodeError:
        return None
    return decoder.getstate()[0]


def _missing(begun: bytes) -> int:
    """Return how many bytes are missing of a character that begins so; 0 where none has begun."""
    if not begun:
        return 0
    return 2 + (begun[0] >= 0xE0) + (begun[0] >= 0xF0) - len(begun)


def _lacks(text: bytes) -> int:
    begun = _begun(text) if text else None
    return NEVER if begun is None else _missing(begun)


@dataclass(frozen=True, slots=True)
class _Texts:
    """What is known of a vocabulary's tokens as free text."""

    missing: NDArray[np.uint8]  # [vocab] bytes of the last character; NEVER where it is no text
    by_first: Mapping[int, Sequence[int]]  # first byte: tokens


@lru_cache(maxsize=4)
def _texts_of(vocabulary: Vocabulary) -> _Texts:
    by_first: dict[int, list[int]] = {}
    for token, text in enumerate(vocabulary.tokens):
        if text:
            by_first.setdefault(text[0], []).append(token)
    return _Texts(
        np.array([_lacks(text) for text in vocabulary.tokens], dtype=np.uint8),
        by_first,
    )


@lru_cache(maxsize=64)
def _tokens_with(vocabulary: Vocabulary, byte: bytes) -> Sequence[int]:
    return [token for token, text in enumerate(vocabulary.tokens) if byte in text]
