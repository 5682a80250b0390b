"""Which tokens spell a text with the fewest of them, and a vocabulary's tokens side by side."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .vocab import Vocabulary

__all__ = ["IMPOSSIBLE", "Speller", "speller_of"]

MAX_COUNTED = 20_000  # literals that are kept; a schema has few, many times
IMPOSSIBLE = 1 << 30  # more tokens than any text has: the vocabulary lacks one of its bytes


class Speller:
    """Spells texts with a vocabulary. Thread-safe.

    Attributes:
        vocabulary: whose tokens.
        data: [bytes] u8 of all tokens, one after the other.
        starts: [vocab] i64 where each begins in `data`.
        lengths: [vocab] i64 in bytes; 0 for those that are no text.
        brackets: how many `{` and `[` are in each token that has one.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.data: NDArray[np.uint8] = np.frombuffer(b"".join(vocabulary.tokens), dtype=np.uint8)
        self.lengths: NDArray[np.int64] = np.array(
            [len(text) for text in vocabulary.tokens], dtype=np.int64
        )
        self.starts: NDArray[np.int64] = np.cumsum(self.lengths) - self.lengths
        self.brackets = self._brackets()
        self._ids: dict[bytes, int] = {}
        lengths: dict[bytes, set[int]] = {}
        for token, text in enumerate(vocabulary.tokens):
            if text and text not in self._ids:
                self._ids[text] = token
                if len(text) > 2:
                    lengths.setdefault(text[:3], set()).add(len(text))
        # The lengths of the tokens that begin with three bytes.
        self._lengths = {start: tuple(found) for start, found in lengths.items()}
        self._counts: dict[bytes, list[int]] = {}

    @property
    def has_every_byte(self) -> bool:
        """Whether each byte is a token: no text has more tokens than bytes then."""
        return all(bytes([byte]) in self._ids for byte in range(255))  # 0xFF is in no text

    def counts(self, text: bytes) -> list[int]:
        """Return, from each byte of a text on, how many tokens spell the rest. Some are kept."""
        if text not in self._counts:
            if len(self._counts) >= MAX_COUNTED:
                self._counts.clear()
            self._counts[text] = self._table(text)[0]
        return self._counts[text]

    def tokens(self, text: bytes) -> tuple[int, ...] | None:
        """Return the fewest tokens that spell a text; None where the vocabulary cannot.

        Cost: a look-up for each length that a token of the vocabulary may have, at each byte.
        """
        counts, lengths = self._table(text)
        if text and counts[0] >= IMPOSSIBLE:
            return None
        found: list[int] = []
        at = 0
        while at < len(text):
            found.append(self._ids[text[at : at + lengths[at]]])
            at += lengths[at]
        return tuple(found)

    def _brackets(self) -> dict[int, int]:
        places = np.flatnonzero((self.data == ord("{")) | (self.data == ord("[")))
        tokens = np.searchsorted(self.starts, places, side="right") - 1
        found, counts = np.unique(tokens, return_counts=True)
        return dict(zip(found.tolist(), counts.tolist(), strict=True))

    def _table(self, text: bytes) -> tuple[list[int], list[int]]:
        """Dynamic programming from the end: (tokens from each byte on, length of the first)."""
        size = len(text)
        counts, lengths = [IMPOSSIBLE] * size + [0], [1] * size
        for at in range(size - 1, -1, -1):
            for length in (*self._lengths.get(text[at : at + 3], ()), 2, 1):
                if at + length > size or counts[at + length] + 1 >= counts[at]:
                    continue
                if text[at : at + length] in self._ids:
                    counts[at], lengths[at] = counts[at + length] + 1, length
        return counts[:size], lengths


@lru_cache(maxsize=2)  # a process serves one model; both back ends ask
def speller_of(vocabulary: Vocabulary) -> Speller:
    """Return the speller of a vocabulary, made once."""
    return Speller(vocabulary)
