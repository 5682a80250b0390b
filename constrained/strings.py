"""JSON strings as EBNF: one spelling for each text; by length, pattern, format, or all but some.

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
from .errors import UnsupportedError
from .pattern import lower_pattern

__all__ = ["FORMATS", "Strings", "format_pattern", "json_text", "string_like"]

QUOTE = literal('"')
ESCAPED = charset([(0, 0x1F), (ord('"'), ord('"')), (ord("\\"), ord("\\"))])
PLAIN = complement(ESCAPED)

# Up to here each length is a state of its own, at 80 ms of compiling a state. Longer bounds are a
# counted set, 20 s at most, which cannot hold escapes: such strings have no quotes or line ends.
MAX_UNROLLED = 128


def json_text(value: object) -> str:
    """Return the one JSON text that stands for a value: `json.dumps` with its own separators."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


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

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
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
        # What follows a string in JSON: known, it halves the time of a mask.
        return f"({alternation(options)}) (=[,}}\\]:])"


def _parts(chars: Charset) -> tuple[Charset, list[str]]:
    """Split a set into what stands for itself and the spellings of the rest."""
    plain = complement(charset([*complement(chars), *ESCAPED]))
    escaped = complement(charset([*complement(chars), *PLAIN]))
    codes = [code for low, high in escaped for code in range(low, high + 1)]
    return plain, [literal(json_text(chr(code))[1:-1]) for code in codes]


_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IPV4 = rf"{_OCTET}(?:\.{_OCTET}){{3}}"
_H16 = "[0-9a-fA-F]{1,4}"
_IPV6 = "|".join(
    [rf"(?:{_H16}:){{7}}{_H16}", rf"(?:{_H16}:){{6}}{_IPV4}"]
    + [
        rf"(?:{_H16}(?::{_H16}){{0,{before - 1}}})?::(?:{_H16}(?::{_H16}){{0,{6 - before}}})?"
        if before
        else rf"::(?:{_H16}(?::{_H16}){{0,6}})?"
        for before in range(7)
    ]
)
_YEAR = r"(?:\d{3}[1-9]|\d\d[1-9]0|\d[1-9]00|[1-9]000)"
_LEAP_YEAR = r"(?:\d\d(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
_DATE = (
    rf"(?:{_YEAR}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])"
    r"|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)|02-(?:0[1-9]|1\d|2[0-8]))"
    rf"|{_LEAP_YEAR}-02-29)"
)
_CLOCK = r"(?:[01]\d|2[0-3]):[0-5]\d"
_TIME = rf"{_CLOCK}:[0-5]\d(?:\.\d{{1,6}})?(?:Z|[+-]{_CLOCK})"
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,29}[A-Za-z0-9])?"
_HOST = rf"{_LABEL}(?:\.{_LABEL}){{0,5}}"
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,20}"
_PATH = r"[A-Za-z0-9._~!$&'()*+,;=:@/-]*"
_DURATION_TIME = r"T(?:\d+H(?:\d+M(?:\d+S)?)?|\d+M(?:\d+S)?|\d+S)"

# Each pattern gives less than the format allows, never more: every match is valid under RFC 3339,
# 5321, 3986, ...
FORMATS = {
    "date": _DATE,
    "time": _TIME,
    "date-time": rf"{_DATE}T{_TIME}",
    "duration": (
        rf"P(?:\d+W|(?:\d+Y(?:\d+M(?:\d+D)?)?|\d+M(?:\d+D)?|\d+D)(?:{_DURATION_TIME})?|{_DURATION_TIME})"
    ),
    "email": rf"{_ATOM}(?:\.{_ATOM}){{0,2}}@{_LABEL}(?:\.{_LABEL}){{1,5}}",
    "hostname": _HOST,
    "ipv4": _IPV4,
    "ipv6": _IPV6,
    "uri": rf"[a-z][a-z0-9+.-]{{0,9}}://{_HOST}(?::[1-9]\d{{0,3}})?(?:/{_PATH})?(?:\?{_PATH})?(?:#{_PATH})?",
    "uuid": r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}",
}


def format_pattern(name: str, *, pointer: str) -> str:
    """Return the pattern of a format.

    Raises:
        UnsupportedError: the name is not in `FORMATS`.
    """
    if name not in FORMATS:
        raise UnsupportedError(
            f"format {name!r} is not enforced; these are: {', '.join(FORMATS)}",
            kind="json_schema",
            pointer=pointer,
            hint="Write the form as a pattern, or move the word to the description.",
        )
    return FORMATS[name]
