r"""Differences between ECMA-262's regular expressions, which JSON Schema means, and others'."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

__all__ = ["plain_spaces", "refused_construct", "rust_syntax"]

_parser: Any = import_module("re._parser")  # typeshed does not know it

# White space and line ends of ECMA-262: with U+FEFF and without U+0085, unlike Unicode's.
SPACES = r"\t-\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
NO_SPACES = (
    r"\x00-\x08\x0e-\x1f!-\u009f\u00a1-\u167f\u1681-\u1fff\u200b-\u2027\u202a-\u202e"
    r"\u2030-\u205e\u2060-\u2fff\u3001-\ufefe\uff00-\U0010ffff"
)
_PIECE = re.compile(r"\\.|\[\^?\]?|\]|[^\\\[\]]+", re.DOTALL)

REFUSED = {
    "ASSERT": "lookaround",
    "ASSERT_NOT": "negative lookaround",
    "GROUPREF": "a back-reference",
    "GROUPREF_EXISTS": "a conditional group",
    "AT_BOUNDARY": r"\b",
    "AT_NON_BOUNDARY": r"\B",
}


def plain_spaces(pattern: str) -> str:
    r"""Write `\s` and `\S` as sets of characters, so that every engine reads them as ECMA-262."""
    if r"\s" not in pattern and r"\S" not in pattern:
        return pattern
    is_set = False
    pieces: list[str] = []
    for piece in _PIECE.findall(pattern):
        if piece in (r"\s", r"\S"):
            chars = SPACES if piece == r"\s" else NO_SPACES
            piece = chars if is_set else f"[{chars}]"
        elif piece[0] == "[":
            is_set = True
        elif piece == "]":
            is_set = False
        pieces.append(piece)
    return "".join(pieces)


def refused_construct(pattern: str) -> str | None:
    """Return the first construct of a pattern that is not regular; None without one.

    A pattern that only ECMA-262 can read, such as one with `\\p{L}`, is left to the back end.
    """
    try:
        return _find(_parser.parse(pattern))
    except (re.error, OverflowError, RecursionError):
        return None


def _find(node: Any) -> str | None:
    if isinstance(node, list | tuple | _parser.SubPattern):
        for part in node:
            if (found := _find(part)) is not None:
                return found
        return None
    return REFUSED.get(getattr(node, "name", ""))


def rust_syntax(ebnf: str) -> str:
    """Write an expression of `lower_pattern` as a regular expression of Rust's `regex` crate."""
    text = ebnf.replace(" ", "").replace('""', "").replace("(", "(?:")
    return re.sub(r"\\U([0-9a-f]{8})", lambda match: f"\\x{{{int(match[1], 16):x}}}", text)
