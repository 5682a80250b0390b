"""Special tokens in grammars: each is one character, and three bytes, that no text has.

Families of models write marks, such as `[TOOL_CALLS]` or `<|channel|>`, that their tokenizers hold
as special tokens: not as text. A grammar that names such a mark means the token. So a vocabulary
(`vocab.py`) gives each special token a lone surrogate, for grammars that are strings, and 0xFF with
two bytes more where they are bytes. UTF-8 has neither: a special token comes where a grammar names
it, and nowhere else.
"""

from __future__ import annotations

import re

__all__ = ["MAX_SPECIAL", "character", "decoded", "encoded", "is_code", "pieces"]

FIRST = 0xD800  # of the surrogates
MAX_SPECIAL = 0x800  # there are no more of them

_CODE = re.compile(rb"\xff([\xa0-\xbf][\x80-\xbf])")
_SURROGATE = re.compile(rb"\xed([\xa0-\xbf][\x80-\xbf])")
_CHARACTER = re.compile("([\ud800-\udfff])")


def character(index: int) -> str:
    """Return the character of a vocabulary's special token, by its place among these."""
    return chr(FIRST + index)


def encoded(text: str) -> bytes:
    """Return the UTF-8 of a text, and the codes of the special tokens in it."""
    return _SURROGATE.sub(b"\xff\\1", text.encode("utf-8", "surrogatepass"))


def decoded(data: bytes) -> str:
    """Return the text of what `encoded` wrote; bytes that are no whole character are left out."""
    parts = _CODE.split(data)
    parts[1::2] = [b"\xed" + code for code in parts[1::2]]
    errors = ("ignore", "surrogatepass")
    return "".join(part.decode("utf-8", errors[at % 2]) for at, part in enumerate(parts))


def is_code(token: bytes) -> bool:
    """Whether a vocabulary's token is a special one."""
    return len(token) == 3 and token[0] == 0xFF


def pieces(text: str) -> list[str]:
    """Split a text at its special tokens, which stand alone at the odd places; texts may be ""."""
    return _CHARACTER.split(text)
