"""Tokens to text as they come.

A token may end inside a character (byte-level vocabularies), and how a token is written can depend
on its neighbour (SentencePiece spaces). So a short window of tokens is decoded twice, with and
without the new ones, and text is let out once it no longer ends in an unfinished character.
Source: the two-offset method of text-generation-inference.
"""

from __future__ import annotations

from ..tokenizer import Tokenizer

UNFINISHED = "\ufffd"


class Detokenizer:
    """Turns one sequence's generated tokens into text.

    Attributes:
        text: all text let out so far.
        ends: for each token, the length of `text` that includes it. A token whose characters are
            still open counts as reaching beyond the text.
    """

    def __init__(self, tokenizer: Tokenizer, *, skip_special_tokens: bool = True) -> None:
        self._tokenizer = tokenizer
        self._skip = skip_special_tokens
        self._ids: list[int] = []
        self._window = 0  # first token of the window
        self._shown = 0  # tokens of the window before this one are in `text`
        self.text = ""
        self.ends: list[int] = []
        self._open: int | None = None  # the first token of a character that is not complete

    def feed(self, token: int) -> None:
        """Take the next token."""
        self._ids.append(token)
        before = self._decode(self._window, self._shown)
        after = self._decode(self._window, len(self._ids))
        if len(after) > len(before) and not after.endswith(UNFINISHED):
            self.text += after[len(before) :]
            self._window, self._shown = self._shown, len(self._ids)
            self.ends.append(len(self.text))
            if self._open is not None:  # its tokens are of use only together
                for index in range(self._open, len(self.ends)):
                    self.ends[index] = len(self.text)
                self._open = None
        else:
            pending = len(after) > len(before)
            if pending and self._open is None:
                self._open = len(self.ends)
            self.ends.append(len(self.text) + (1 if pending else 0))

    def finish(self) -> None:
        """Let out what is still held: bytes that never became a character."""
        before = self._decode(self._window, self._shown)
        after = self._decode(self._window, len(self._ids))
        self.text += after[len(before) :]
        self._shown = len(self._ids)

    def _decode(self, start: int, end: int) -> str:
        return self._tokenizer.decode(self._ids[start:end], skip_special_tokens=self._skip)
