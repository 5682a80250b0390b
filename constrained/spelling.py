"""Which tokens spell a text with the fewest of them, and a vocabulary's tokens side by side."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .vocab import Vocabulary

__all__ = ["IMPOSSIBLE", "Speller", "speller_of"]

IMPOSSIBLE = 1 << 30  # more tokens than any text has: the vocabulary lacks one of its bytes


class Speller:
    """Spells texts with a vocabulary. Thread-safe.

    Attributes:
        vocabulary: whose tokens.
        data: [bytes] u8 of all tokens, one after the other.
        starts: [vocab] i64 where each begins in `data`.
        lengths: [vocab] i64 in bytes; 0 for those that are no text.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.data: NDArray[np.uint8] = np.frombuffer(b"".join(vocabulary.tokens), dtype=np.uint8)
        self.lengths: NDArray[np.int64] = np.array(
            [len(text) for text in vocabulary.tokens], dtype=np.int64
        )
        self.starts: NDArray[np.int64] = np.cumsum(self.lengths) - self.lengths
        self._ids: dict[bytes, int] = {}
        self._longest: dict[bytes, int] = {}  # of the tokens that begin with two bytes
        for token, text in enumerate(vocabulary.tokens):
            if text and text not in self._ids:
                self._ids[text] = token
                if len(text) > 1:
                    self._longest[text[:2]] = max(self._longest.get(text[:2], 0), len(text))

    def counts(self, text: bytes) -> list[int]:
        """Return, for each end of a text (from byte i on), how many tokens spell it at least."""
        return self._table(text)[0]

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

    def _table(self, text: bytes) -> tuple[list[int], list[int]]:
        """Dynamic programming from the end: (tokens from each byte on, length of the first)."""
        size = len(text)
        counts, lengths = [IMPOSSIBLE] * size + [0], [1] * size
        for at in range(size - 1, -1, -1):
            longest = min(self._longest.get(text[at : at + 2], 1), size - at)
            for length in range(longest, 0, -1):
                count = counts[at + length] + 1
                if count < counts[at] and text[at : at + length] in self._ids:
                    counts[at], lengths[at] = count, length
        return counts[:size], lengths


@lru_cache(maxsize=2)  # a process serves one model; both back ends ask
def speller_of(vocabulary: Vocabulary) -> Speller:
    """Return the speller of a vocabulary, made once."""
    return Speller(vocabulary)
