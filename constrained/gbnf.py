"""llama.cpp's GBNF as xgrammar's EBNF, which has grown out of it but wants a rule on one line,
and its empty alternatives written out.
"""

from __future__ import annotations

import re

__all__ = ["one_line_rules"]

_PIECE = re.compile(r'"(?:\\.|[^"\\])*"|\[(?:\\.|[^\]\\])*\]|#[^\n]*|\n|.', re.DOTALL)
_RULE = re.compile(r"\s*[A-Za-z0-9_-]+\s*::=")


def one_line_rules(text: str) -> str:
    """Return a grammar without comments, each rule on a line of its own."""
    bare = "".join(piece for piece in _PIECE.findall(text) if not piece.startswith("#"))
    lines: list[str] = []
    for line in bare.strip().splitlines():
        if _RULE.match(line) or not lines:
            lines.append(line.strip())
        elif line.strip():
            lines[-1] += " " + line.strip()
    return "\n".join(map(_filled, lines))


def _filled(rule: str) -> str:
    """Write the alternatives of a rule that are left empty as `""`."""
    head, _, body = rule.partition("::=")
    pieces: list[str] = []
    before = "|"
    for piece in [*_PIECE.findall(body), ""]:
        if piece in ("|", ")", "") and before in ("|", "("):
            pieces.append(' "" ')
        pieces.append(piece)
        before = before if piece.isspace() else piece
    return f"{head}::={''.join(pieces)}"
