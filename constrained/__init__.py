"""Constrained decoding: a spec of what text may be generated, compiled to token masks.

    spec.py       what a user asks for: regex, EBNF, JSON Schema, any JSON object, choices
    compiler.py   specs to grammars, on worker threads, each compiled once
    grammar.py    the protocols: a `Grammar` makes `Matcher`s, which fill masks and accept tokens
    bitmask.py    packed masks, and how they are applied to logits
    schema.py     JSON Schema to EBNF (with keywords.py, objects.py, strings.py, numbers.py);
    pattern.py regexes to EBNF errors.py     what can be wrong

Importing the package imports neither torch nor a back end: take what needs them from its module.
"""

from __future__ import annotations

from .errors import (
    GrammarError,
    LimitError,
    MalformedError,
    UnsatisfiableError,
    UnsupportedError,
)
from .spec import GrammarSpec

__all__ = [
    "GrammarError",
    "GrammarSpec",
    "LimitError",
    "MalformedError",
    "UnsatisfiableError",
    "UnsupportedError",
]
