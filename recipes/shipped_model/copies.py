"""Documents of random tokens that can only be continued by copying.

A small model finds the attention pattern that copies ("after A came B, so after A write B") late
when it sees dialogues alone: few of their tokens need it. Here nearly every token does, over the
whole vocabulary, so a few hundred steps are enough. Two kinds: a sequence that is repeated, and a
table that is asked for its values. Digits alone come often: with ten letters in the alphabet, one
token of context does not say where the model is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .corpus import FIRST, LEARN

Encoded = tuple[NDArray[np.int16], NDArray[np.uint8]]
RESERVED = 3  # ids of the special tokens come first


def _alphabet(
    rng: np.random.Generator, common: NDArray[np.int16], digits: NDArray[np.int16]
) -> NDArray[np.int16]:
    roll = rng.random()
    if roll < 0.25:
        return digits
    if roll < 0.75:
        return rng.choice(common, 64)
    return rng.choice(common, 12)


def repeated(
    rng: np.random.Generator, common: NDArray[np.int16], digits: NDArray[np.int16]
) -> Encoded:
    """A sequence, then once or twice the same; the repetitions are learnt."""
    body = rng.choice(_alphabet(rng, common, digits), int(rng.integers(3, 25)))
    mark = rng.choice(common, 1)
    times = int(rng.integers(2, 4))
    ids = np.concatenate([np.concatenate([mark, body])] * times)
    flags = np.full(len(ids), LEARN, np.uint8)
    flags[: len(body) + 1] = 0
    flags[0] |= FIRST
    return ids.astype(np.int16), flags


def looked_up(
    rng: np.random.Generator, common: NDArray[np.int16], digits: NDArray[np.int16]
) -> Encoded:
    """Keys with values, then the keys again in another order; the values are learnt."""
    between, after = rng.choice(common, 1), rng.choice(common, 1)
    count = int(rng.integers(2, 7))
    keys = rng.permutation(np.unique(rng.choice(common, count + 3)))[:count]
    alphabet = _alphabet(rng, common, digits)
    values = [rng.choice(alphabet, int(rng.integers(1, 7))) for _ in keys]
    ids: list[NDArray[np.int16]] = []
    flags: list[int] = []
    order = [*range(len(keys)), *rng.permutation(len(keys))[: int(rng.integers(1, len(keys) + 1))]]
    for place, index in enumerate(order):
        ids += [keys[index : index + 1], between, values[index], after]
        learn = LEARN if place >= len(keys) else 0
        flags += [0, 0, *[learn] * (len(values[index]) + 1)]
    flags[0] |= FIRST
    return np.concatenate(ids).astype(np.int16), np.array(flags, np.uint8)


def copies(
    rng: np.random.Generator,
    count: int,
    dialogue_tokens: NDArray[np.int16],
    digits: NDArray[np.int16],
) -> list[Encoded]:
    """Return documents whose tokens follow the dialogues' frequencies, flattened."""
    used, times = np.unique(dialogue_tokens, return_counts=True)
    kept = used >= RESERVED
    used, weights = used[kept], np.sqrt(times[kept])
    common = rng.choice(used, 200_000, p=weights / weights.sum())
    makers = (repeated, looked_up)
    return [makers[int(rng.integers(2))](rng, common, digits) for _ in range(count)]
