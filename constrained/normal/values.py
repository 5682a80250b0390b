"""Keywords of strings and numbers."""

from __future__ import annotations

import itertools
import math
from typing import Any

from ..automaton import NOTHING
from ..formats import FORMATS, MAX_LENGTHS, NOT_REGULAR, UNKNOWABLE
from ..keywords import malformed
from ..references import Place
from ..regexes import plain_spaces, refused_construct
from .complement import complement_pattern
from .form import Core, Walk, all_of, any_of, bound, count

__all__ = ["NUMBER", "STRING", "no_number", "no_string", "number", "string"]

STRING = ("minLength", "maxLength", "pattern", "format")
NUMBER = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")

MAX_LENGTH = 1 << 20  # longer bounds are not counted
MAX_EXACT = 1 << 53  # integers up to here are doubles
MAX_BOUND = (1 << 63) - 1
MAX_WORD = (1 << 63) + 2048  # 2^63 as it is often rounded: 9223372036854776000, say
LAST_DOUBLE = (1 << 63) - 1024  # below 2^63


def string(walk: Walk, place: Place) -> Core:
    """Write the bounds, the pattern and the format of strings."""
    first: dict[str, Any] = {}
    for keyword in ("minLength", "maxLength"):
        if (length := _length(walk, place, keyword)) is not None:
            first[keyword] = length
    parts: list[Core] = [first]
    patterns = [_pattern(walk, place, keyword) for keyword in ("pattern", "format")]
    parts += [{"pattern": pattern} for pattern in patterns if pattern is not None]
    if (most := MAX_LENGTHS.get(str(place.keywords.get("format")))) is not None:
        parts.append({"maxLength": most})
    for part in parts[1:]:
        if isinstance(part, dict) and not first.keys() & part.keys():
            first |= part
            part.clear()
    return all_of(parts)


def no_string(walk: Walk, place: Place) -> list[Core]:
    """Write, for each keyword, the strings that break it."""
    options: list[Core] = []
    if (low := _length(walk, place, "minLength")) is not None:
        options.append({"maxLength": low - 1} if low else False)
    if (high := _length(walk, place, "maxLength")) is not None:
        options.append({"minLength": high + 1})
    for keyword in ("pattern", "format"):
        if (pattern := _pattern(walk, place, keyword)) is not None:
            opposite = complement_pattern(pattern)
            if opposite is None:
                walk.check(place, keyword, "the strings without it are no small pattern")
            if opposite != NOTHING:
                options.append({} if opposite is None else {"pattern": opposite})
        elif keyword in place.keywords and not is_annotation(place, keyword):
            options.append(True)
    return [all_of([{"type": "string"}, option]) for option in options]


def _length(walk: Walk, place: Place, keyword: str) -> int | None:
    length = count(place, keyword)
    if length is not None and length > MAX_LENGTH:
        walk.check(place, keyword, f"lengths are counted up to {MAX_LENGTH:,}")
        return None
    return length


def _pattern(walk: Walk, place: Place, keyword: str) -> str | None:
    """Return a pattern that stands for `pattern` or `format`; None if there is none to enforce."""
    value = place.keywords.get(keyword)
    if value is None:
        return None
    if not isinstance(value, str):
        raise malformed(f"{place.at}/{keyword}", keyword, "a string", value)
    if keyword == "pattern":
        if (construct := refused_construct(value)) is None:
            return plain_spaces(value)
        walk.check(place, keyword, f"{construct} is no regular language", "Spell out the cases.")
        return None
    if value in NOT_REGULAR:
        hint = f"Write a pattern; these formats are enforced: {', '.join(FORMATS)}."
        walk.check(place, keyword, f"{value} is not a regular language", hint)
    return FORMATS.get(value)


def is_annotation(place: Place, keyword: str) -> bool:
    """Whether the keyword is a format that means nothing here, as the drafts want it."""
    value = place.keywords[keyword]
    return keyword == "format" and value not in (*FORMATS, *NOT_REGULAR, *UNKNOWABLE)


def number(walk: Walk, place: Place) -> Core:
    """Write the bounds and the step of numbers."""
    result: dict[str, Any] = dict(_bounds(walk, place, is_positive=True))
    if (step := _step(walk, place)) is not None:
        result["multipleOf"] = step
    return result


def no_number(walk: Walk, place: Place) -> list[Core]:
    """Write, for each keyword, the numbers that break it."""
    opposite = {
        "minimum": "exclusiveMaximum",
        "maximum": "exclusiveMinimum",
        "exclusiveMinimum": "maximum",
        "exclusiveMaximum": "minimum",
    }
    options: list[Core] = [
        {"type": "number", opposite[keyword]: value}
        for keyword, value in _bounds(walk, place, is_positive=False).items()
    ]
    if _step(walk, place) is not None:
        walk.check(place, "multipleOf", "the numbers that are no multiples are not enforced")
        options.append({"type": "number"})
    return options


def _bounds(walk: Walk, place: Place, *, is_positive: bool) -> dict[str, int | float]:
    """Return the bounds, with draft 4's booleans read.

    Where no double is a bound it is moved to the next one: inwards, or if not `is_positive`, for
    its opposite, outwards. 2^63, rounded or not, is moved likewise where that is inwards.
    """
    found: dict[str, int | float] = {}
    for closed, opened in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        is_open = place.keywords.get(opened) is True
        for keyword in (closed, opened):
            value = bound(place, keyword)
            if value is None:
                continue
            is_upper = closed == "maximum"
            if not -MAX_BOUND <= value <= MAX_BOUND:
                if is_positive and MAX_BOUND < (value if is_upper else -value) <= MAX_WORD:
                    found[closed] = LAST_DOUBLE if is_upper else -LAST_DOUBLE
                else:
                    walk.check(place, keyword, "bounds are enforced up to 2^63")
                continue
            found[opened if is_open else keyword] = _double(value, down=is_upper == is_positive)
    return found


def _double(value: int | float, *, down: bool) -> int | float:
    """Return a bound that a double holds: itself, or the next one, 1,024 away at most."""
    if float(value) == value:
        return value
    near = float(value)
    if down and near > value:
        near = math.nextafter(near, -math.inf)
    elif not down and near < value:
        near = math.nextafter(near, math.inf)
    return int(near)


def _step(walk: Walk, place: Place) -> int | float | None:
    step = bound(place, "multipleOf")
    if step is None:
        return None
    if step <= 0:
        raise malformed(f"{place.at}/multipleOf", "multipleOf", "a number above 0", step)
    if not 1e-9 <= step <= 1e9:
        walk.check(place, "multipleOf", "steps from 1e-9 to 1e9 are enforced")
        return None
    return step


def all_but(listed: list[Any]) -> list[Core] | None:
    """Write the scalars that are in none of `listed`, by type; None if one is no scalar."""
    if any(isinstance(value, dict | list) for value in listed):
        return None
    options: list[Core] = [{"type": ["array", "object"]}]
    if None not in listed:
        options.append({"type": "null"})
    options += [{"const": truth} for truth in (True, False) if not any(v is truth for v in listed)]
    numbers = sorted({v for v in listed if isinstance(v, int | float) and not isinstance(v, bool)})
    if any(abs(value) > MAX_EXACT for value in numbers):
        return None
    edges: list[int | float | None] = [None, *numbers, None]
    for low, high in itertools.pairwise(edges):
        gap: dict[str, Any] = {"type": "number"}
        gap |= {} if low is None else {"exclusiveMinimum": low}
        gap |= {} if high is None else {"exclusiveMaximum": high}
        options.append(gap)
    strings = [value for value in listed if isinstance(value, str)]
    string_core: Core = {"type": "string"}
    if strings:
        pattern = complement_pattern(exactly(strings))
        if pattern is None:
            return None
        string_core = {"type": "string", "pattern": pattern}
    return [any_of([*options, string_core])]


def exactly(strings: list[str]) -> str:
    """Return the pattern of just these strings."""
    return "^(?:" + "|".join(map(literal, strings)) + ")$"


def literal(text: str) -> str:
    """Return a pattern for a text."""
    return "".join(f"\\{char}" if char in r"\^$.|?*+()[]{}/" else char for char in text)
