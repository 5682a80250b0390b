"""Documents of random tokens that can only be continued by copying.

A small model finds the attention pattern that copies ("after A came B, so after A write B") late
when it sees dialogues alone: few of their tokens need it. Here nearly every token does, over the
whole vocabulary, so a few hundred steps are enough. Two kinds: a sequence that is repeated, and a
table that is asked for its values. Digits alone come often: with ten letters in the alphabet, one
token of context does not say where the model is. And a copy may start after a quotation mark,
where a word loses its leading space and is another token: ` lamp` is copied as `"lamp`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from .corpus import FIRST, LEARN

Ids = NDArray[np.int16]
Encoded = tuple[Ids, NDArray[np.uint8]]
RESERVED = 3  # ids of the special tokens come first


@dataclass(frozen=True, slots=True)
class Alphabet:
    """The tokens to draw from."""

    common: Ids  # a long draw by the dialogues' frequencies, flattened
    digits: Ids  # the ten digits
    spaced: Ids  # lowercase words with their space
    bare: Ids  # the same words without
    quote: int  # the quotation mark with its space

    def drawn(self, rng: np.random.Generator) -> Ids:
        """Return the tokens of one document: digits alone, many, or few."""
        roll = rng.random()
        if roll < 0.2:
            return self.digits
        return rng.choice(self.common, 64 if roll < 0.75 else 12)

    def quoted(self, rng: np.random.Generator, count: int) -> tuple[list[Ids], list[Ids]]:
        """Return values that start with a word, with its space and without."""
        at = rng.integers(len(self.spaced), size=(count, 2))
        rest = [rng.choice(self.drawn(rng), int(rng.integers(0, 4))) for _ in range(count)]
        second = [
            self.spaced[at[i, 1:]] if rng.random() < 0.5 else at[i, :0].astype(np.int16)
            for i in range(count)
        ]
        with_space = [
            np.concatenate([self.spaced[at[i, :1]], second[i], rest[i]]) for i in range(count)
        ]
        without = [np.concatenate([self.bare[at[i, :1]], second[i], rest[i]]) for i in range(count)]
        return with_space, without


def alphabet(tokenizer_path: Path, dialogue_tokens: Ids, rng: np.random.Generator) -> Alphabet:
    """Read the vocabulary and the frequencies."""
    vocabulary = Tokenizer.from_file(str(tokenizer_path)).get_vocab()
    used, times = np.unique(dialogue_tokens, return_counts=True)
    kept = used >= RESERVED
    used, weights = used[kept], np.sqrt(times[kept])
    space = "\u0120"  # how byte-level BPE writes a space
    words = [word for word in vocabulary if word.startswith(space) and word[1:] in vocabulary]
    words = [word for word in words if word[1:].isalpha() and word[1:].islower()]
    return Alphabet(
        common=rng.choice(used, 500_000, p=weights / weights.sum()),
        digits=np.array([vocabulary[digit] for digit in "0123456789"], np.int16),
        spaced=np.array([vocabulary[word] for word in words], np.int16),
        bare=np.array([vocabulary[word[1:]] for word in words], np.int16),
        quote=vocabulary[space + '"'],
    )


def repeated(rng: np.random.Generator, letters: Alphabet) -> Encoded:
    """A sequence, then once or twice the same; the repetitions are learnt."""
    body = rng.choice(letters.drawn(rng), int(rng.integers(3, 25)))
    mark = rng.choice(letters.common, 1)
    times = int(rng.integers(2, 4))
    ids = np.concatenate([np.concatenate([mark, body])] * times)
    flags = np.full(len(ids), LEARN, np.uint8)
    flags[: len(body) + 1] = 0
    flags[0] |= FIRST
    return ids.astype(np.int16), flags


def looked_up(rng: np.random.Generator, letters: Alphabet) -> Encoded:
    """Keys with values, then the keys again in another order; the values are learnt."""
    between, after = rng.choice(letters.common, 1), rng.choice(letters.common, 1)
    asked = between
    count = int(rng.integers(2, 7))
    keys = rng.permutation(np.unique(rng.choice(letters.common, count + 3)))[:count]
    drawn = letters.drawn(rng)
    values = [rng.choice(drawn, int(rng.integers(1, 7))) for _ in keys]
    answers = values
    if rng.random() < 0.5:
        values, answers = letters.quoted(rng, len(keys))
        asked = np.array([letters.quote], np.int16)
    ids: list[Ids] = []
    flags: list[int] = []
    for index, value in enumerate(values):
        ids += [keys[index : index + 1], between, value, after]
        flags += [0] * (len(value) + 3)
    for index in rng.permutation(len(keys))[: int(rng.integers(1, len(keys) + 1))]:
        ids += [keys[index : index + 1], asked, answers[index], after]
        flags += [0, 0, *[LEARN] * (len(answers[index]) + 1)]
    flags[0] |= FIRST
    return np.concatenate(ids).astype(np.int16), np.array(flags, np.uint8)


def copies(rng: np.random.Generator, count: int, letters: Alphabet) -> list[Encoded]:
    """Return `count` documents, most of them tables."""
    return [(looked_up if rng.random() < 0.6 else repeated)(rng, letters) for _ in range(count)]
