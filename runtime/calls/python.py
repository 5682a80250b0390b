"""Arguments of a call that is written as in Python: `city="Paris", days=[1, 2])`."""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Callable
from typing import Any

from .reader import Reader, Reading

_KEY = re.compile(r"\w*")
MAX_LITERAL_CHARS = 1 << 16  # of one argument: what Python's own parser is trusted with


def read_arguments(reader: Reader, tell: Callable[[str], None]) -> Reading[bool]:
    """Read arguments up to the closing bracket and tell them as JSON, each when it is whole.

    Returns:
        Whether they are well-formed; what was told before they were not stays told.
    """
    tell("{")
    comma = ""
    while True:
        yield from reader.space()
        if (yield from reader.mark((")",))):
            tell("}")
            return True
        key = yield from reader.matching(_KEY)
        yield from reader.space()
        if not key.isidentifier() or not (yield from reader.mark(("=",))):
            return False
        start = reader.at
        if not (yield from _literal(reader)):
            return False
        value = as_json(reader.text[start : reader.at].strip())
        if value is None:
            return False
        tell(f"{comma}{json.dumps(key)}: {value}")
        comma = ", "
        yield from reader.mark((",",))


def _literal(reader: Reader) -> Reading[bool]:
    """Pass over a value, up to the comma or bracket that ends it."""
    depth = 0
    while True:
        char = yield from reader.char()
        if not char or (not depth and char in ",)"):
            return bool(char)
        if char in "\"'":
            if not (yield from _quoted(reader, char)):
                return False
            continue
        depth += (char in "([{") - (char in ")]}")
        if depth < 0:
            return False
        reader.at += 1


def _quoted(reader: Reader, quote: str) -> Reading[bool]:
    reader.at += 1
    while char := (yield from reader.char()):
        reader.at += 1
        if char == quote:
            return True
        if char == "\\":
            yield from reader.char()
            reader.at += 1
    return False


def as_json(source: str) -> str | None:
    """Return the JSON of a literal of Python or of JSON; None: it is neither."""
    if len(source) > MAX_LITERAL_CHARS:
        return None
    value: Any
    try:
        with warnings.catch_warnings():  # of escapes that Python does not know
            warnings.simplefilter("ignore")
            value = ast.literal_eval(source)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        try:
            value = json.loads(source)  # true, false and null
        except (ValueError, RecursionError):
            return None
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError):  # bytes, sets, infinity
        return None
