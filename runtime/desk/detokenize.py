"""Tokens to text as they come.

A token may end inside a character, of which several tokens give the bytes. So tokens wait until the
text of those that wait ends in a whole character, and are then let out together. How tokens are
written does not depend on what was let out before them, but on whether anything was (SentencePiece
drops the space that begins a text); `Tokenizer.decode_after` knows.
"""

from __future__ import annotations

from ..tokenizer import Tokenizer

UNFINISHED = "\ufffd"


class Detokenizer:
    """Turns one sequence's generated tokens into text.

    The pieces join to what all tokens decode to at once. The one exception are bytes that are no
    UTF-8 in a vocabulary with byte fallback: decoded at once they spoil whole characters next to
    them, here they do not.

    Args:
        tokenizer: of the tokens.
        skip_special_tokens: leave them out of the text.
        follows: whether the tokens come behind others, or begin a text.

    Attributes:
        text: all text let out so far.
        ends: for each token, the length of `text` that includes it. A token whose characters are
            still open counts as reaching beyond the text.
    """

    def __init__(
        self, tokenizer: Tokenizer, *, skip_special_tokens: bool = True, follows: bool = True
    ) -> None:
        self._tokenizer = tokenizer
        self._skip = skip_special_tokens
        self._follows = follows
        self._waiting: list[int] = []
        self.text = ""
        self.ends: list[int] = []
        self._open: int | None = None  # the first token of a character that is not complete

    def feed(self, token: int) -> None:
        """Take the next token."""
        self._waiting.append(token)
        more = self._decode()
        if more and not more.endswith(UNFINISHED):
            self.text += more
            self._waiting.clear()
            self.ends.append(len(self.text))
            if self._open is not None:  # its tokens are of use only together
                for index in range(self._open, len(self.ends)):
                    self.ends[index] = len(self.text)
                self._open = None
        else:
            if more and self._open is None:
                self._open = len(self.ends)
            self.ends.append(len(self.text) + (1 if more else 0))

    def finish(self) -> None:
        """Let out what is still held: bytes that never became a character."""
        self.text += self._decode()
        self._waiting.clear()

    def _decode(self) -> str:
        if self._follows or self.text:
            return self._tokenizer.decode_after(self._waiting, skip_special_tokens=self._skip)
        return self._tokenizer.decode(self._waiting, skip_special_tokens=self._skip)
