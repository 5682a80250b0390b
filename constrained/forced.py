"""Which tokens spell a text that a grammar forces, and how many of them no continuation can change.

Tokens that nobody samples must be those that the model has learned to read: what its tokenizer
makes of the whole text. Two things stand in the way. Tokens before the forced text are there
already, and stay; so the text is tokenised together with the last of them, and if the tokenizer
would join the two, without. And the last tokens of a text that goes on are not certain: after
`"name` may come `s`, and the tokenizer has a token for `names`.

What is certain follows from the merges of BPE: if some token reaches over the end of the text, then
it begins with an end of the text, and the tokens before it are those of the text up to there. So
the text is tokenised up to each place from which a token of the vocabulary goes on past its end,
and the tokens that all of these begin with stay. llguidance (`docs/fast_forward.md`) drops whole
tokens from the end instead, which can keep one that a longer token would have begun inside of.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from .special import decoded, is_code, pieces
from .vocab import Vocabulary

__all__ = ["CONTEXT_TOKENS", "Run", "Spelling"]

CONTEXT_TOKENS = 4  # before the forced text; words and signs seldom have more
MAX_CHARACTERS = 2048  # of a text that is tokenised at once; the rest comes a pass later
MAX_CACHED = 4096  # runs: requests with the same schema force the same texts


class Run(NamedTuple):
    """The tokens of a forced text."""

    tokens: tuple[int, ...]  # all of it, if it ended there
    certain: int  # so many of them, whatever comes after it


NONE = Run((), 0)


class Spelling:
    """Spells forced texts in the tokens of a vocabulary. For one thread."""

    def __init__(self, vocabulary: Vocabulary, encode: Callable[[str], list[int]]) -> None:
        """Sort the vocabulary, some 0.1 s for 128,000 tokens.

        Args:
            vocabulary: the bytes of each token.
            encode: the tokenizer, adding no special tokens. What it gives counts only as far as it
                spells the text byte by byte: one that normalises (NFC) forces nothing there.
        """
        self._tokens = vocabulary.tokens
        self._special = {
            decoded(text): token for token, text in enumerate(vocabulary.tokens) if is_code(text)
        }
        self._encode = encode
        self._sorted = sorted(token for token in vocabulary.tokens if len(token) > 1)
        self._longest = max(map(len, vocabulary.tokens))
        self._spelled = lru_cache(MAX_CACHED)(self._spell)

    def run(self, before: Sequence[int], forced: str) -> Run:
        """Return the tokens that continue a sequence with a forced text.

        Args:
            before: the sequence, of which the last `CONTEXT_TOKENS` are looked at.
            forced: what comes next, beginning with a whole character; its special tokens are
                themselves, and what is before one is certain.

        Cost: as `encode` on a few short texts, for a text that is new in its context.
        """
        context = b""
        for token in reversed(before[-CONTEXT_TOKENS:]):
            spelled = self._tokens[token]
            if not spelled or is_code(spelled):  # what is before it is another text
                break
            context = spelled + context
        text, *rest = pieces(forced)
        run = self._spelled(_whole_characters(context), text[:MAX_CHARACTERS]) if text else NONE
        while rest and len(text) <= MAX_CHARACTERS and (run.tokens or not text):
            special, text, *rest = rest
            run = Run((*run.tokens, self._special[special]), len(run.tokens) + 1)
            if text:
                more = self._spelled("", text[:MAX_CHARACTERS])
                run = Run(run.tokens + more.tokens, run.certain + more.certain)
                if not more.tokens:
                    break
        return run

    def _spell(self, context: str, forced: str) -> Run:
        # Last a line of its own: SentencePiece puts a space in front of a text's first word.
        for before in dict.fromkeys((context, "", "\n")):
            text = before + forced
            tokens = self._encode(text)
            lead = self._lead(tokens, text)
            if lead is None:
                continue
            start = self._tokens_within(tokens, lead + len(before.encode()))
            if start is not None:
                certain = self._certain(text.encode(), tokens)
                return Run(tuple(tokens[start:]), max(certain - start, 0))
        return NONE

    def _lead(self, tokens: Sequence[int], text: str) -> int | None:
        """Return the length of the space that SentencePiece adds in front; None: other text."""
        if not all(0 <= token < len(self._tokens) for token in tokens):
            return None
        spelled, wanted = b"".join(self._tokens[token] for token in tokens), text.encode()
        if spelled == wanted:
            return 0
        return 1 if spelled == b" " + wanted else None

    def _tokens_within(self, tokens: Sequence[int], length: int) -> int | None:
        """Return how many tokens spell the first `length` bytes; None if one reaches over."""
        for count, token in enumerate(tokens):
            if length <= 0:
                return count if length == 0 else None
            length -= len(self._tokens[token])
        return len(tokens) if length == 0 else None

    def _certain(self, text: bytes, tokens: Sequence[int]) -> int:
        """Return how many of a text's tokens stay, whatever comes after it."""
        certain = len(tokens)
        for cut in self._open_places(text):
            start = _whole_characters(text[:cut])
            shorter = self._encode(start)
            # Inside a character the tokenizer cannot be asked: the token before is not certain.
            is_sure = len(start.encode()) == cut
            certain = min(certain, _common(tokens, shorter if is_sure else shorter[:-1]))
        return certain

    def _open_places(self, text: bytes) -> Iterator[int]:
        """Where a token can begin that goes on past the end of the text."""
        for cut in range(max(len(text) - self._longest + 1, 0), len(text)):
            end = text[cut:]
            after = bisect_right(self._sorted, end)
            if after < len(self._sorted) and self._sorted[after].startswith(end):
                yield cut


def _whole_characters(data: bytes) -> str:
    """Return the text of bytes without the parts of characters at both ends."""
    begin = 0
    while begin < len(data) and data[begin] & 0xC0 == 0x80:
        begin += 1
    return data[begin:].decode(errors="ignore")


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    """Return the length of the common prefix."""
    return next(
        (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
    )
