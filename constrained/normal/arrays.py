"""Keywords of arrays."""

from __future__ import annotations

import itertools
import math
from typing import Any

from ..keywords import malformed, same
from ..references import Place
from .evaluated import is_static_alone
from .form import Core, Walk, all_of, any_of, count, guarded

__all__ = ["ARRAY", "array", "no_array"]

ARRAY = (
    *("items", "prefixItems", "additionalItems", "minItems", "maxItems", "uniqueItems"),
    *("contains", "minContains", "maxContains", "unevaluatedItems"),
)

MAX_ITEMS = 100_000
MAX_ARRANGEMENTS = 400  # of a finite set without repeats, written out
MAX_POSITIONS = 8  # at which `contains` may be met, written out


def array(walk: Walk, place: Place) -> Core:
    """Write what arrays hold."""
    low, high = _counts(walk, place)
    prefix, rest = items(place)
    result: dict[str, Any] = {}
    if prefix:
        result["prefixItems"] = [walk.positive(item) for item in prefix]
    if rest is not None:
        result["items"] = walk.positive(rest)
    if low:
        result["minItems"] = low
    if high is not None:
        result["maxItems"] = high
    parts: list[Core] = []
    if place.keywords.get("uniqueItems") is True:
        parts.append(_unique(walk, place, result))
    if "contains" in place.keywords:
        parts.append(_contains(walk, place, high))
    if place.keywords.get("unevaluatedItems", True) is not True and rest is None:
        if is_static_alone(place):
            result["items"] = walk.positive(place.child("unevaluatedItems"))
        else:
            walk.check(
                place,
                "unevaluatedItems",
                "it stands beside schemas that may evaluate items",
                "Use items beside prefixItems.",
            )
    return all_of([result, *parts])


def no_array(walk: Walk, place: Place) -> list[Core]:
    """Write, for each keyword, the arrays that break it."""
    low, high = _counts(walk, place)
    prefix, rest = items(place)
    options: list[Core] = []
    if low:
        options.append({"maxItems": low - 1})
    if high is not None:
        options.append({"minItems": high + 1})
    for index, item in enumerate(prefix):
        wrong = walk.negative(item)
        if wrong is not False:
            head: list[Core] = [True] * index
            options.append({"prefixItems": [*head, wrong], "minItems": index + 1})
    if rest is not None:
        options.append(_no_rest(walk, place, rest, len(prefix)))
    if place.keywords.get("uniqueItems") is True:
        walk.check(place, "uniqueItems", "arrays with a repeat are not enforced")
        options.append({"minItems": 2})
    if "contains" in place.keywords:
        options.append(_no_contains(walk, place))
    if place.keywords.get("unevaluatedItems", True) is not True and rest is None:
        walk.check(place, "unevaluatedItems", "its opposite is not enforced")
        options.append(True)
    return [all_of([{"type": "array"}, option]) for option in options]


def items(place: Place) -> tuple[list[Place], Place | None]:
    """Return the schemas of the first items, and of the rest; None where they are free."""
    keywords = place.keywords
    keyword, rest = "prefixItems", "items"
    if isinstance(keywords.get("items"), list):  # up to draft 2019-09
        keyword, rest = "items", "additionalItems"
    prefix = keywords.get(keyword, [])
    if keyword == "prefixItems" and place.document.is_old:
        prefix = []
    if not isinstance(prefix, list):
        raise malformed(f"{place.at}/{keyword}", keyword, "a list of schemas", prefix)
    first = [place.child(keyword, index) for index in range(len(prefix))]
    return first, place.child(rest) if rest in keywords else None


def _counts(walk: Walk, place: Place) -> tuple[int, int | None]:
    found: list[int | None] = []
    for keyword in ("minItems", "maxItems"):
        number = count(place, keyword)
        if number is not None and number > MAX_ITEMS:
            walk.check(place, keyword, f"items are counted up to {MAX_ITEMS:,}")
            number = None
        found.append(number)
    return found[0] or 0, found[1]


def _unique(walk: Walk, place: Place, written: dict[str, Any]) -> Core:
    """Write arrays without a repeat: those of a small finite set one by one."""
    low, high = written.get("minItems", 0), written.get("maxItems")
    if high is not None and high <= 1:
        return True
    listed = None if "prefixItems" in written else finite(walk, written.get("items", True))
    if listed is not None:
        high = min(len(listed), len(listed) if high is None else high)
        if sum(math.perm(len(listed), size) for size in range(low, high + 1)) <= MAX_ARRANGEMENTS:
            arrays = [
                list(chosen)
                for size in range(low, high + 1)
                for chosen in itertools.permutations(listed, size)
            ]
            return guarded("array", {"enum": arrays} if arrays else False)
    walk.check(
        place,
        "uniqueItems",
        "the mask does not remember what was written",
        "Name the members as boolean properties of an object, or use an enum of few values.",
    )
    return True if listed is None else {"maxItems": len(listed)}


def finite(walk: Walk, core: Core) -> list[Any] | None:
    """Return the distinct values of a core schema that lists them; None for all others."""
    for _ in range(20):
        if isinstance(core, dict) and core.keys() == {"$ref"}:
            core = walk.definitions.get(core["$ref"].rpartition("/")[2], True)
    if not isinstance(core, dict):
        return None
    if core.get("type") == "boolean" and core.keys() == {"type"}:
        return [True, False]
    if not core.keys() <= {"enum", "const"}:
        return None
    listed: list[Any] = []
    for value in core.get("enum", [core.get("const")]):
        if not any(same(value, other) for other in listed):
            listed.append(value)
    return listed


def _contains(walk: Walk, place: Place, high: int | None) -> Core:
    """Write arrays with enough matching items, where few positions can hold them."""
    least, most = count(place, "minContains"), count(place, "maxContains")
    least = 1 if least is None else least
    parts: list[Core] = []
    inner = place.child("contains")
    if least == 1 and high is not None and high <= MAX_POSITIONS:
        wanted = walk.positive(inner)
        heads: list[list[Core]] = [[True] * index for index in range(high)]
        parts.append(
            any_of([{"prefixItems": [*head, wanted], "minItems": len(head) + 1} for head in heads])
        )
        parts = [guarded("array", parts[0])]
    elif least:
        parts.append({"minItems": least})
        walk.check(
            place,
            "contains",
            "the mask does not remember whether an item matched",
            f"Put the wanted item first with prefixItems, or set maxItems to {MAX_POSITIONS}.",
        )
    if most == 0:
        parts.append({"items": walk.negative(inner)})
    elif most is not None:
        walk.check(place, "maxContains", "the mask does not count matching items", "Use maxItems.")
    return all_of(parts)


def _no_rest(walk: Walk, place: Place, rest: Place, first: int) -> Core:
    """Write arrays with an item past the first ones that breaks `rest`."""
    wrong = walk.negative(rest)
    if wrong is False:
        return False
    if wrong is not True:
        walk.check(rest, "", "arrays with an item that breaks it are not enforced")
    return {"minItems": first + 1}


def _no_contains(walk: Walk, place: Place) -> Core:
    """Write arrays with too few matching items, or too many."""
    least, most = count(place, "minContains"), count(place, "maxContains")
    least = 1 if least is None else least
    options: list[Core] = []
    if least == 1:
        options.append({"items": walk.negative(place.child("contains"))})
    elif least:
        walk.check(place, "minContains", "arrays with too few matches are not enforced")
        options.append(True)
    if most is not None:
        walk.check(place, "maxContains", "arrays with too many matches are not enforced")
        options.append({"minItems": most + 1})
    return any_of(options)
