"""JSON strings as EBNF: one spelling for each text; by length, by pattern, or all but some.

Each character has exactly one spelling, that of `json.dumps(..., ensure_ascii=False)`: itself, a
short escape where JSON has one (`\\"`, `\\n`), or `\\u00XX` for the other control characters. So
a text has one spelling too, and two keys that differ as text differ as JSON; a lone surrogate,
which xgrammar's own JSON strings allow, cannot be written.

The shapes below were chosen by time (xgrammar 0.2.8, 151,936 tokens, two cores). A token is looked
up in a state's cached mask only as far as the rule of that state goes; beyond, it is parsed at
every fill. So `char*` with a rule `char` takes 140 ms a mask, and a rule that ends in itself 0.02
to 0.07.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache

from .ebnf import (
    Charset,
    Rules,
    alternation,
    charset,
    complement,
    literal,
    one_of,
    repeated,
)
from .pattern import lower_pattern

__all__ = ["Strings", "json_text", "string_like"]

QUOTE = literal('"')
ESCAPED = charset([(0, 0x1F), (ord('"'), ord('"')), (ord("\\"), ord("\\"))])
PLAIN = complement(ESCAPED)

# Up to here each length is a state of its own, at 80 ms of compiling a state. Longer bounds are a
# counted set, 20 s at most, which cannot hold escapes: such strings have no quotes or line ends.
MAX_UNROLLED = 128


def json_text(value: object) -> str:
    """Return the one JSON text that stands for a value, without white space."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


class JsonSpelling:
    """How a pattern's characters are written inside a JSON string."""

    def one(self, chars: Charset) -> str:
        """Return an expression for one character of a set."""
        plain, escapes = _parts(chars)
        return alternation([*([one_of(plain)] if plain else []), *escapes])

    def many(self, chars: Charset, low: int, high: int | None) -> str:
        """Return an expression for `low` to `high` characters of a set.

        Without an upper bound it is exact; with one, characters that need an escape are left out if
        there are others.
        """
        plain, escapes = _parts(chars)
        if not (plain and escapes):
            return repeated(self.one(chars), low, high)
        if high is not None:
            return repeated(one_of(plain), low, high)
        run = f"{one_of(plain)}*"
        rest = f"({run} ({alternation(escapes)} {run})*)"
        return f"({repeated(self.one(chars), low, low)} {rest})" if low else rest


def string_like(pattern: str, *, search: bool, low: int = 0, high: int | None = None) -> str:
    """Return an expression for strings whose text matches a pattern; errors: `lower_pattern`."""
    body = lower_pattern(
        pattern, spelling=JsonSpelling(), search=search, min_length=low, max_length=high
    )
    return f"({QUOTE} {body} {QUOTE})"


class Strings:
    """The strings of one grammar, which share rules."""

    def __init__(self, rules: Rules, following: str) -> None:
        """Begin.

        Args:
            rules: of the grammar.
            following: what may follow a string in it, as the inside of a class of characters.
        """
        self._rules = rules
        self._following = following
        self._endings: dict[tuple[int, int | None], str] = {}
        self._escape = ""

    def of_length(self, low: int, high: int | None) -> str:
        """Return an expression for strings of `low` to `high` characters."""
        return f"({QUOTE} {self._ending(low, high)})"

    def all_but(self, texts: Iterable[str]) -> str:
        """Return an expression for any string but these: a trie, open but at its leaves."""
        return f"({QUOTE} {self._beside(list(texts))})"

    def _beside(self, suffixes: Sequence[str]) -> str:
        branches: dict[str, list[str]] = {}
        for suffix in suffixes:
            if suffix:
                branches.setdefault(suffix[0], []).append(suffix[1:])
        options = [] if "" in suffixes else [QUOTE]
        for first, rest in branches.items():
            options.append(f"({literal(json_text(first)[1:-1])} {self._beside(rest)})")
        other = complement(charset((ord(first), ord(first)) for first in branches))
        options.append(f"({JsonSpelling().one(other)} {self._ending(0, None)})")
        return self._rules.add(alternation(options))

    def _ending(self, low: int, high: int | None) -> str:
        """Return the rule for `low` to `high` more characters and the closing quote."""
        if (low, high) not in self._endings:
            name = self._endings[low, high] = self._rules.reserve()
            self._rules.define(name, self._ending_body(name, low, high))
        return self._endings[low, high]

    def _ending_body(self, name: str, low: int, high: int | None) -> str:
        if high is not None and high > MAX_UNROLLED:
            return f"({repeated(one_of(PLAIN), low, high)} {QUOTE})"
        if low > MAX_UNROLLED:
            return f"({repeated(one_of(PLAIN), low, low)} {self._ending(0, None)})"
        options = [] if low else [QUOTE]
        if high != 0:
            is_loop = low == 0 and high is None
            after = name if is_loop else self._ending(max(low - 1, 0), high and high - 1)
            if not self._escape:
                self._escape = self._rules.add(alternation(_parts(ESCAPED)[1]))
            options += [f"({one_of(PLAIN)} {after})", f"({self._escape} {after})"]
        # Known, what follows a string halves the time of a mask.
        return f"({alternation(options)}) (=[{self._following}])"


@lru_cache(maxsize=1024)
def _parts(chars: Charset) -> tuple[Charset, list[str]]:
    """Split a set into what stands for itself and the spellings of the rest."""
    plain = complement(charset([*complement(chars), *ESCAPED]))
    escaped = complement(charset([*complement(chars), *PLAIN]))
    codes = [code for low, high in escaped for code in range(low, high + 1)]
    return plain, [literal(json_text(chr(code))[1:-1]) for code in codes]
