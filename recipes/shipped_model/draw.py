"""Random draws that keep training and held-out material apart.

Every generator takes a `Draw`. A `Draw` for training never sees the wordings, names and made-up
words that a `Draw(held_out=True)` uses: both decide by a hash of the text, so the split does not
depend on the seed, on the order of a list or on how much data is made.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

HELD_OUT_SHARE = 0.12


def rank(text: str) -> float:
    """Return a number in [0, 1) that depends on the text alone."""
    digest = hashlib.blake2b(text.encode(), digest_size=6).digest()
    return int.from_bytes(digest, "big") / 2**48


class Pool:
    """Texts split by hash into those for training and those held out (about one in eight)."""

    def __init__(self, *texts: str, lines: str = "", share: float = HELD_OUT_SHARE) -> None:
        """Take the texts themselves, and those in `lines`, one a line."""
        found = dict.fromkeys([*texts, *(line.strip() for line in lines.splitlines())])
        ranked = sorted((text for text in found if text), key=rank)
        cut = max(1, round(len(ranked) * share))
        self.held_out = tuple(ranked[:cut])
        self.train = tuple(ranked[cut:])
        self.all = self.held_out + self.train
        self.is_wording = bool(lines)


class Words(Pool):
    """A pool written as words separated by spaces.

    An open pool stands for far more words than it lists: training draws half of them from a
    dictionary (`Draw.words`), or the model would remember the list instead of reading the prompt.
    """

    def __init__(self, text: str, *, is_open: bool = False) -> None:
        super().__init__(*text.split())
        self.is_open = is_open


def sections(name: str) -> dict[str, Pool]:
    """Read wordings, one a line under `[section]`, from a file in `wordings/`."""
    found: dict[str, list[str]] = {}
    text = (Path(__file__).parent / "wordings" / name).read_text(encoding="utf-8")
    for line in text.splitlines():
        if line.startswith("[") and line.endswith("]"):
            lines = found[line[1:-1]] = []
        elif line and not line.startswith("#"):
            lines.append(line)
    return {section: Pool(lines="\n".join(lines)) for section, lines in found.items()}


class Draw:
    """A seeded source of choices, for training or for the held-out sets."""

    def __init__(
        self,
        seed: int | str,
        *,
        held_out: bool = False,
        unseen_wordings: bool | None = None,
        words: Sequence[str] = (),
    ) -> None:
        """Start from a seed.

        Args:
            seed: Where the random numbers start.
            held_out: Draw names, cities, products and made-up words of the held-out side.
            unseen_wordings: Draw sentence templates of the held-out side; as `held_out` by default.
            words: A dictionary for the open pools; none of its words may be held out.
        """
        self.words = words
        self.rng = random.Random(seed)
        self.held_out = held_out
        self.unseen_wordings = held_out if unseen_wordings is None else unseen_wordings

    def of(self, pool: Pool) -> str:
        """Draw from this side of the split."""
        if self.words and isinstance(pool, Words) and pool.is_open and self.chance(0.5):
            return self.any(self.words)
        other_side = self.unseen_wordings if pool.is_wording else self.held_out
        return self.rng.choice(pool.held_out if other_side else pool.train)

    def any(self, options: Sequence[T]) -> T:
        """Draw from options that are shared by both sides."""
        return self.rng.choice(options)

    def chance(self, probability: float) -> bool:
        """Return True with this probability."""
        return self.rng.random() < probability

    def number(self, low: int, high: int) -> int:
        """Draw an integer, both ends included."""
        return self.rng.randint(low, high)

    def some(self, options: Sequence[T], count: int) -> list[T]:
        """Draw `count` different options in random order."""
        return self.rng.sample(list(options), min(count, len(options)))

    def owns(self, text: str) -> bool:
        """Say whether a made-up text belongs to this side of the split."""
        return (rank(text) < HELD_OUT_SHARE) == self.held_out
