"""Tokens as what they write inside a JSON string, grouped by what an automaton can tell apart.

An automaton that splits all characters into a few classes treats tokens alike whose characters are
of the same classes, one by one, and that end alike. There are some hundreds to thousands of such
*words*, which a state is asked for instead of each of 128,000 tokens.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from contextlib import suppress
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .vocab import Vocabulary

__all__ = ["CLEAN", "CLOSED", "ESCAPES", "NEVER", "PARTIAL", "Spelt", "Words", "codes_of"]

# How what a token writes in a string ends: with a whole character, with the quote that closes the
# string, not in a string at all; from `PARTIAL` on in the middle of a character.
CLEAN, CLOSED, LOST, PARTIAL = 0, 1, 2, 3
NEVER = 1 << 28  # characters that complete a string which cannot be completed
MAX_QUOTES = 4  # of a token that are counted
MAX_KEPT = 16  # partitions, half a megabyte each with 128,256 tokens
ESCAPES = {byte: ord(char) for byte, char in zip(b'nrtbf"\\', '\n\r\t\b\f"\\', strict=True)}

Ranges = list[tuple[int, int]]  # of code points, ends included


class Part(NamedTuple):
    """What a token writes in a string: its characters, and how it ends."""

    text: str
    end: int
    partial: bytes = b""


class Words:
    """The words of a vocabulary for a partition of the characters.

    Attributes:
        ends: what words end with; from `PARTIAL` on, the classes that complete a character.
        longest: characters of the longest.
    """

    def __init__(
        self,
        columns: list[NDArray[np.intp]],
        lengths: NDArray[np.int32],
        end_of: NDArray[np.intp],
        word_of: NDArray[np.intp],
        ends: list[tuple[int, ...]],
    ) -> None:
        """Keep what `Spelt.words` made.

        Args:
            columns: [longest][words] the class of the character there, the longest words first.
            lengths: [words + 1] their characters; the last word is that of no token.
            end_of: [words + 1] indices of `ends`.
            word_of: [ceil(vocab / 32) * 32] the word of each token.
            ends: what words end with.
        """
        self.ends = ends
        self.longest = len(columns)
        self._columns = columns
        self._lengths = lengths
        self._end_of = end_of
        self._word_of = word_of

    def row(
        self, steps: NDArray[np.intp], needs: NDArray[np.int32], state: int, left: int
    ) -> NDArray[np.int32]:
        """Return the mask of the tokens whose words a string may go on with: [ceil(vocab / 32)].

        Args:
            steps: [states * classes] the next state. States are counted in so many classes, so
                that a state and a class add up to an index.
            needs: [ends * states * classes] characters that complete a string behind a word, at
                least; only each first class of a state is read.
            state: where the string stands.
            left: characters that may still come.
        """
        states = np.full(len(self._lengths), state, dtype=np.intp)
        for column in self._columns:
            size = len(column)
            np.take(steps, states[:size] + column, out=states[:size], mode="clip")
        fits = needs[self._end_of * len(steps) + states] + self._lengths <= left
        return np.packbits(fits[self._word_of], bitorder="little").view(np.int32)


class Spelt:
    """The tokens of a vocabulary as parts of JSON strings. Any number of threads may ask.

    Attributes:
        vocabulary: of the tokens.
        all_tokens: their ids.
        behind_quotes: [quotes] the tokens that go on behind so many quotes.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        """Read all tokens: 0.2 s for 128,256."""
        self.vocabulary = vocabulary
        self.all_tokens = np.arange(vocabulary.size)
        quoted = [(token, text) for token, text in enumerate(vocabulary.tokens) if b'"' in text]
        self.behind_quotes = [
            np.array([token for token, text in quoted if _goes_on(text, quotes)], dtype=np.intp)
            for quotes in range(MAX_QUOTES + 1)
        ]
        texts = [token.decode(errors="surrogateescape") for token in vocabulary.tokens]
        ends, partials = [CLEAN] * len(texts), dict[bytes, int]()
        for token, text in enumerate(texts):
            if '"' in text or "\\" in text or not text.isascii():
                part = _part(vocabulary.tokens[token])
                texts[token], ends[token] = part.text, part.end
                if part.partial:
                    ends[token] = partials.setdefault(part.partial, PARTIAL + len(partials))
        self._ends = np.array(ends, dtype=np.intp)
        self._partials = [codes_of(partial) for partial in partials]
        self._lengths = np.array(list(map(len, texts)), dtype=np.int32)
        self._starts = np.cumsum(self._lengths) - self._lengths
        joined = "".join(texts).encode("utf-32-le")
        codes = np.frombuffer(joined, dtype=np.uint32)
        is_used = np.zeros(0x110000, dtype=np.bool_)
        is_used[codes] = True
        self._used = np.flatnonzero(is_used)
        self._codes = (np.cumsum(is_used) - 1)[codes]  # indices of `_used`
        self._size = -(-vocabulary.size // 32) * 32
        self._words: OrderedDict[tuple[tuple[int, ...], tuple[int, ...]], Words] = OrderedDict()

    def words(self, starts: tuple[int, ...], of_start: tuple[int, ...]) -> Words:
        """Return the words for a partition; some are kept.

        Args:
            starts: code points from each of which on characters are of one class.
            of_start: those classes.

        Cost: 20 to 50 ms with 128,256 tokens.
        """
        key = starts, of_start
        found = self._words.get(key)
        if found is None:
            self._words[key] = found = self._grouped(np.array(starts), np.array(of_start))
            while len(self._words) > MAX_KEPT:
                self._words.popitem(last=False)
        return found

    def _grouped(self, starts: NDArray[np.intp], of_start: NDArray[np.intp]) -> Words:
        partials = [_classes(codes, starts, of_start) for codes in self._partials]
        ends: list[tuple[int, ...]] = [(), (), (), *dict.fromkeys(partials)]
        end_of_number = np.array(
            [CLEAN, CLOSED, LOST, *(ends.index(kinds, PARTIAL) for kinds in partials)]
        )
        end_of_token = end_of_number[self._ends]
        kinds = of_start[np.searchsorted(starts, self._used, side="right") - 1][self._codes]
        # Words are told apart by 64 random bits: of 10^5 two collide once in 10^9 vocabularies.
        rng = np.random.default_rng(0)
        noise = rng.integers(1 << 63, size=(int(self._lengths.max()), 2), dtype=np.uint64) | 1
        marks = rng.integers(1 << 63, size=len(starts) + len(ends), dtype=np.uint64)
        at = np.arange(len(kinds)) - np.repeat(self._starts, self._lengths)
        hashes = marks[len(starts) + end_of_token]
        is_text = self._lengths > 0
        hashes[is_text] += np.add.reduceat(marks[kinds] * noise[at, 0], self._starts[is_text])
        hashes += noise[self._lengths - 1, 1]
        _, first, word_of = np.unique(hashes, return_index=True, return_inverse=True)
        order = np.argsort(-self._lengths[first], kind="stable")
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        first = first[order]
        lengths = self._lengths[first]
        columns = [
            kinds[self._starts[first[: int((lengths > index).sum())]] + index].astype(np.intp)
            for index in range(int(lengths[0]))
        ]
        padded = np.full(self._size, len(first))
        padded[: len(word_of)] = rank[word_of]
        return Words(
            columns,
            np.append(lengths, 0).astype(np.int32),
            np.append(end_of_token[first], LOST),
            padded,
            ends,
        )


def _goes_on(token: bytes, quotes: int) -> bool:
    """Whether a token goes on behind so many quotes, of which an escaped one may be counted."""
    return token.count(b'"') >= quotes and bool(token.split(b'"', quotes)[-1])


def codes_of(partial: bytes) -> Ranges:
    """Return the characters that a part of one may become: of an escape, or of UTF-8."""
    if partial == b"\\":
        return [(code, code) for code in ESCAPES.values()]
    first = partial[0]
    size = 2 if first < 0xE0 else 3 if first < 0xF0 else 4
    low = high = first & (0x7F >> size)
    for byte in partial[1:]:
        low = high = low << 6 | byte & 0x3F
    rest = 6 * (size - len(partial))
    low, high = low << rest, (high + 1 << rest) - 1
    low, high = max(low, (0x80, 0x800, 0x10000)[size - 2]), min(high, 0x10FFFF)
    pieces = [(low, min(high, 0xD7FF)), (max(low, 0xE000), high)]
    return [(first, last) for first, last in pieces if first <= last]


def _classes(
    ranges: Ranges, starts: NDArray[np.intp], of_start: NDArray[np.intp]
) -> tuple[int, ...]:
    """Return the classes of the characters in some ranges."""
    known = starts.tolist()
    found = {
        int(kind)
        for low, high in ranges
        for kind in of_start[bisect_right(known, low) - 1 : bisect_right(known, high)]
    }
    return tuple(sorted(found))


def _part(token: bytes) -> Part:
    """Read what a token writes in a JSON string."""
    if b'"' not in token and b"\\" not in token:
        with suppress(UnicodeDecodeError):
            return Part(token.decode(), CLEAN)
    codes: list[str] = []
    at = 0
    while at < len(token):
        byte = token[at]
        if byte == ord('"'):
            return Part("".join(codes), CLOSED)
        if byte == ord("\\"):
            if at + 1 == len(token):
                return Part("".join(codes), PARTIAL, b"\\")
            if token[at + 1] not in ESCAPES:
                return Part("", LOST)
            codes.append(chr(ESCAPES[token[at + 1]]))
            at += 2
            continue
        size = 1 if byte < 0x80 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
        piece = token[at : at + size]
        try:
            codes.append(piece.decode())
        except UnicodeDecodeError:
            is_cut = 0xC2 <= byte <= 0xF4 and at + len(piece) == len(token) and len(piece) < size
            if not is_cut or any(0xC0 & other != 0x80 for other in piece[1:]):
                return Part("", LOST)
            partial = bytes(piece)
            return Part("".join(codes), PARTIAL if codes_of(partial) else LOST, partial)
        at += size
    return Part("".join(codes), CLEAN)
