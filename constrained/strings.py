"""JSON strings as EBNF: one spelling for each text, by length, pattern, format, or all but some texts.

Each character has exactly one spelling, that of `json.dumps(..., ensure_ascii=False)`: itself, a
short escape where JSON has one (`\\"`, `\\n`), or `\\u00XX` for the other control characters. So
a text has one spelling too, and two keys that differ as text differ as JSON; a lone surrogate,
which xgrammar's own JSON strings allow, cannot be written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from .ebnf import EMPTY, Charset, Rules, alternation, charset, complement, literal, one_of
from .errors import UnsupportedError
from .pattern import lower_pattern, repeated

__all__ = ["FORMATS", "json_text", "spell", "string_except", "string_like", "string_of_length"]

QUOTE = literal('"')
ESCAPED = charset([(0, 0x1F), (ord('"'), ord('"')), (ord("\\"), ord("\\"))])


def json_text(value: object) -> str:
    """Return the one JSON text that stands for a value here, `json.dumps` with its default separators."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def spell(chars: Charset) -> str:
    """Return an expression for one character of a set as it is written inside a JSON string."""
    plain = _both(chars, complement(ESCAPED))
    escaped = [chr(code) for low, high in _both(chars, ESCAPED) for code in range(low, high + 1)]
    options = [literal(json_text(char)[1:-1]) for char in escaped]
    return alternation([*([one_of(plain)] if plain else []), *options])


def string_of_length(char: str, low: int, high: int | None) -> str:
    """Return an expression for strings of `low` to `high` characters, `char` being the rule of one."""
    return f"({QUOTE} {repeated(char, low, high)} {QUOTE})"


def string_like(pattern: str, *, search: bool, low: int = 0, high: int | None = None) -> str:
    """Return an expression for strings whose text matches a pattern; errors as of `lower_pattern`."""
    body = lower_pattern(pattern, spell=spell, search=search, min_length=low, max_length=high)
    return f"({QUOTE} {body} {QUOTE})"


def string_except(texts: Iterable[str], rules: Rules, char: str) -> str:
    """Return an expression for any string but these: a trie of rules, each leaving its path open but for them."""

    def after(suffixes: Sequence[str]) -> str:
        branches: dict[str, list[str]] = {}
        for suffix in suffixes:
            if suffix:
                branches.setdefault(suffix[0], []).append(suffix[1:])
        options = [
            f"({spell(charset([(ord(first), ord(first))]))} {after(rest)})"
            for first, rest in branches.items()
        ]
        other = complement(charset((ord(first), ord(first)) for first in branches))
        options.append(f"({spell(other)} {char}*)")
        if "" not in suffixes:
            options.append(EMPTY)
        return rules.add(alternation(options))

    return f"({QUOTE} {after(list(texts))} {QUOTE})"


def _both(left: Charset, right: Charset) -> Charset:
    return complement(charset([*complement(left), *complement(right)]))


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
_PATH_CHAR = r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-F]{2})"
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
    "uri": (
        rf"[a-z][a-z0-9+.-]{{0,15}}://{_HOST}(?::[1-9]\d{{0,3}})?(?:/{_PATH_CHAR}*)*"
        rf"(?:\?(?:{_PATH_CHAR}|[/?])*)?(?:#(?:{_PATH_CHAR}|[/?])*)?"
    ),
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
