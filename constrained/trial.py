"""A grammar tried out where it can be ended: some texts are begun under it.

Compiling may be cheap and every mask dear, or a forced text without an end: the scheduler, which
fills the masks of all, would find out at everybody's cost. So the process that compiles goes
some way itself. Time is that of the thread, which a busy machine does not stretch.
"""

from __future__ import annotations

import random
import time

import numpy as np

from .errors import LimitError
from .grammar import Grammar, Matcher

__all__ = ["try_out"]

MAX_MASK_S = 0.1
TRIAL_S = 1.0  # of all masks; then the grammar has been slow, but never too slow
TEXTS, TOKENS = 2, 24


def try_out(grammar: Grammar) -> None:
    """Begin texts at random.

    Raises:
        LimitError: a position takes longer than any request may hold up the others.
    """
    rng = random.Random(0)
    begun = time.thread_time()
    for _ in range(TEXTS):
        matcher = grammar.matcher()
        for length in range(TOKENS):
            before = time.thread_time()
            matcher.forced()
            token = _drawn(matcher, rng)
            took_s = time.thread_time() - before
            if took_s > MAX_MASK_S:
                raise LimitError(
                    f"behind {length} tokens a mask takes {took_s * 1e3:.0f} ms of computing; "
                    f"{MAX_MASK_S * 1e3:.0f} ms are allowed",
                    kind=grammar.spec.kind,
                    hint="Repeat less, and let fewer alternatives begin alike.",
                )
            if time.thread_time() - begun > TRIAL_S:
                return
            if token is None:
                break
            if not matcher.accept(token):
                raise LimitError(
                    f"behind {length} tokens too much is open at once",
                    kind=grammar.spec.kind,
                    hint="Let fewer rules and alternatives begin at one place.",
                )
            if matcher.is_finished:
                break


def _drawn(matcher: Matcher, rng: random.Random) -> int | None:
    """Return an allowed token, each word of the mask as likely; None where there is none."""
    row = matcher.row()
    words = np.flatnonzero(row)
    if not len(words):
        return None
    word = int(rng.choice(words))
    bits = int(row[word])
    return word * 32 + rng.choice([bit for bit in range(32) if bits >> bit & 1])
