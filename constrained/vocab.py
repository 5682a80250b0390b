"""What a grammar knows of a tokenizer: the bytes that each id stands for, and what stops."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from .special import MAX_SPECIAL, character, encoded

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

__all__ = ["Vocabulary"]

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")


@dataclass(frozen=True, eq=False, slots=True)
class Vocabulary:
    """The token ids that a model's logits speak about. Compared by identity: make one for a model.

    `tokens[t]` is what id `t` adds to the text. It is empty for ids that add none and so are
    never allowed in constrained text: stop tokens, which are let in apart, and ids that pad the
    logits. Special tokens have bytes that no text has (`special.py`); no other token has these.
    """

    tokens: tuple[bytes, ...]  # [vocab_size]
    stop_ids: frozenset[int]
    special: tuple[str, ...] = ()  # texts of special tokens; the place of each gives its code

    def __post_init__(self) -> None:
        if not self.stop_ids:
            raise ValueError("stop_ids is empty; a constrained text needs a token to end with")
        if bad := sorted(t for t in self.stop_ids if not 0 <= t < len(self.tokens)):
            raise ValueError(f"stop_ids {bad} are outside 0..{len(self.tokens) - 1}")

    def is_spelled(self, token: int) -> bool:
        """Whether a grammar can accept the id at all: it adds text, or is special, or stops."""
        return 0 <= token < len(self.tokens) and (
            bool(self.tokens[token]) or token in self.stop_ids
        )

    def written(self, mark: str) -> str:
        """Return a mark as grammars write it: where it is a special token's text, as that token."""
        if not self.special:
            return mark
        places, pattern = _special(self.special)
        return pattern.sub(lambda found: character(places[found[0]]), mark)

    @property
    def size(self) -> int:
        """How many ids there are, padding included: the width of the logits."""
        return len(self.tokens)

    @classmethod
    def from_tokenizer(
        cls, tokenizer: PreTrainedTokenizerFast, *, vocab_size: int, stop_ids: Iterable[int]
    ) -> Vocabulary:
        """Read a fast tokenizer of transformers, byte-level or SentencePiece-like.

        Args:
            tokenizer: its backend's decoder says how tokens are spelled.
            vocab_size: the width of the logits, which may be more or less than `len(tokenizer)`.
            stop_ids: ids that end generation.

        Raises:
            ValueError: the decoder is of neither kind, or `stop_ids` do not fit.
        """
        backend: Any = tokenizer.backend_tokenizer
        to_bytes = _spelling(json.loads(backend.decoder.__getstate__()) if backend.decoder else {})
        added = tokenizer.added_tokens_decoder
        tokens = [b""] * vocab_size
        for text, token in tokenizer.get_vocab().items():
            if token >= vocab_size:
                continue
            if token in added:  # added tokens are spelled as they are
                tokens[token] = b"" if added[token].special else text.encode()
            else:
                tokens[token] = to_bytes(text)
        for token in {*tokenizer.all_special_ids, *stop_ids}:
            if 0 <= token < vocab_size:
                tokens[token] = b""
        # 0xFF is in no UTF-8, so that grammars can do without it.
        tokens = [b"" if b"\xff" in spelled else spelled for spelled in tokens]
        ids = set(added).difference(stop_ids)
        special = sorted(one for one in ids if added[one].special and one < vocab_size)
        special = special[:MAX_SPECIAL]
        for index, token in enumerate(special):
            tokens[token] = encoded(character(index))
        texts = tuple(str(added[token]) for token in special)
        return cls(tuple(tokens), frozenset(stop_ids), texts)


@lru_cache(maxsize=4)
def _special(texts: tuple[str, ...]) -> tuple[dict[str, int], re.Pattern[str]]:
    """Return the place of each special token's text, and what finds them: the longest first."""
    longest_first = sorted(filter(None, texts), key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
    return {text: index for index, text in enumerate(texts)}, pattern


def _spelling(decoder: dict[str, Any]) -> Callable[[str], bytes]:
    """Return the function from a token's text to its bytes, by the kind of decoder."""
    parts = decoder.get("decoders", [decoder])
    kinds = {part.get("type") for part in parts}
    if "ByteLevel" in kinds:
        return _byte_level
    if kinds & {"ByteFallback", "Metaspace"}:
        return _sentence_piece
    raise ValueError(
        f"the tokenizer's decoder {sorted(map(str, kinds))} is not known; "
        "byte-level and SentencePiece-like ones are"
    )


def _byte_level(text: str) -> bytes:
    table = _byte_of_char()
    if all(char in table for char in text):
        return bytes(table[char] for char in text)
    return text.encode()


def _sentence_piece(text: str) -> bytes:
    if match := _BYTE_TOKEN.fullmatch(text):
        return bytes([int(match[1], 16)])
    return text.replace("\u2581", " ").encode()


@cache
def _byte_of_char() -> dict[str, int]:
    """Return GPT-2's table: printable bytes are themselves, the others code points from 256 up."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    return {chr(byte): byte for byte in printable} | {
        chr(256 + index): byte for index, byte in enumerate(others)
    }
