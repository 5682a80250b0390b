"""The functions that a program may call; each pays in proportion to what it touches.

Each takes the `Fuel`, then what Python's own takes. Nothing else can be called. Left out on
purpose: what calls back (`key=`, `default=`) or reads anything but its arguments.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from typing import Any

from . import patterns
from .fuel import Fuel, Kinds
from .operators import (
    add_key,
    bits,
    check_iterable,
    is_known,
    is_small,
    refuse_opaque,
    sort_steps,
    spend_product,
    text_of,
)

Function = Callable[..., Any]

_SEQUENCES: Kinds = (Sequence,)
_MAPPINGS: Kinds = (Mapping,)
_PAIRS: Kinds = (tuple, list)
_NESTING: Kinds = (dict, list, tuple)
_DICTS: Kinds = (dict,)
_IRREVERSIBLE: Kinds = (set, re.Match)


def size_of(value: Any) -> int:
    """Return the number of items or characters, 0 for what has none or too many to iterate."""
    if not isinstance(value, Sized):
        return 0
    try:
        return len(value)
    except OverflowError:
        return 2**63


def spend_round(fuel: Fuel, value: Any) -> None:
    """Pay for one visit of each item, after a check that there are any."""
    check_iterable(value)
    fuel.spend_items(size_of(value))


def _len(fuel: Fuel, value: Any) -> int:
    return len(value)


def _int(fuel: Fuel, *args: Any, **keywords: Any) -> int:
    refuse_opaque(*args)
    # The base may be a power of two, for which Python allows any length.
    fuel.spend(sum(size_of(arg) // 64 for arg in args))
    return int(*args, **keywords)


def _float(fuel: Fuel, *args: Any) -> float:
    refuse_opaque(*args)
    fuel.spend(sum(size_of(arg) // 64 for arg in args))
    return float(*args)


def _str(fuel: Fuel, value: Any = "") -> str:
    return text_of(fuel, value)


def _repr(fuel: Fuel, value: Any) -> str:
    return text_of(fuel, value, repr)


def _bool(fuel: Fuel, value: Any = False) -> bool:
    return bool(value)


def _extreme(apply: Callable[..., Any]) -> Function:
    def extreme(fuel: Fuel, *args: Any, **keywords: Any) -> Any:
        allow_only(keywords, "default")
        values = args[0] if len(args) == 1 else args
        check_iterable(values)
        refuse_opaque(*values) if isinstance(values, tuple) else None
        if isinstance(values, range):
            fuel.spend(size_of(values))
        else:
            fuel.weigh(values)
        return apply(*args, **keywords)

    return extreme


def _sorted(fuel: Fuel, value: Any, /, **keywords: Any) -> list[Any]:
    allow_only(keywords, "reverse")
    spend_round(fuel, value)
    sort_steps(fuel, value)
    return sorted(value, **keywords)


def _range(fuel: Fuel, *args: Any) -> range:
    return range(*args)


def _enumerate(fuel: Fuel, iterable: Any, start: Any = 0) -> list[tuple[int, Any]]:
    spend_round(fuel, iterable)
    rows: enumerate[Any] = enumerate(iterable, start)
    return list(rows)


def _zip(fuel: Fuel, *args: Any, **keywords: Any) -> list[tuple[Any, ...]]:
    allow_only(keywords, "strict")
    for arg in args:
        check_iterable(arg)
    rounds = min(map(size_of, args), default=0)
    fuel.spend_items(rounds * len(args))
    return list(zip(*args, strict=bool(keywords.get("strict"))))


def _reversed(fuel: Fuel, value: Any) -> list[Any]:
    opaque = not is_known(value) and not isinstance(value, _SEQUENCES)
    if opaque or isinstance(value, _IRREVERSIBLE):
        raise TypeError(f"{type(value).__name__!r} object is not reversible")
    fuel.spend_items(size_of(value))
    items: Iterator[Any] = reversed(value)
    return list(items)


def _abs(fuel: Fuel, value: Any) -> Any:
    refuse_opaque(value)
    fuel.spend(bits(value) // 64)
    return abs(value)


def _sum(fuel: Fuel, iterable: Any, /, start: Any = 0) -> Any:
    # Added one by one, so that lists and large integers pay for each copy.
    if isinstance(start, str):
        raise TypeError("sum() can't sum strings [use ''.join(seq) instead]")
    spend_round(fuel, iterable)
    refuse_opaque(start)
    total = start
    for item in iterable:
        if not (is_small(item) and is_small(total)):
            refuse_opaque(item)
            fuel.spend_items(size_of(item) + size_of(total) + (bits(item) + bits(total)) // 64)
        total = total + item
    return total


def _round(fuel: Fuel, number: Any, ndigits: Any = None) -> Any:
    refuse_opaque(number)
    if isinstance(number, int) and isinstance(ndigits, int) and ndigits < 0:
        if -ndigits > number.bit_length() + 1:
            return 0  # Python would compute 10 ** -ndigits to find that out
        spend_product(fuel, bits(number), bits(number))
    return round(number, ndigits)


def _any(fuel: Fuel, iterable: Any) -> bool:
    spend_round(fuel, iterable)
    return any(iterable)


def _all(fuel: Fuel, iterable: Any) -> bool:
    spend_round(fuel, iterable)
    return all(iterable)


def _list(fuel: Fuel, *args: Any) -> list[Any]:
    for arg in args:
        spend_round(fuel, arg)
    return list(*args)


def _tuple(fuel: Fuel, *args: Any) -> tuple[Any, ...]:
    for arg in args:
        spend_round(fuel, arg)
    return tuple(*args)


def _set(fuel: Fuel, *args: Any) -> set[Any]:
    for arg in args:
        spend_round(fuel, arg)
        spend_keys(fuel, arg)
    return set(*args)


def spend_keys(fuel: Fuel, iterable: Any) -> None:
    """Pay for putting every item into a set or dict."""
    check_iterable(iterable)
    if isinstance(iterable, (str, range)):
        fuel.spend_items(size_of(iterable))
        return
    for item in iterable:
        fuel.spend()
        if not isinstance(item, (str, float, bool)) or len(str(item)) > 1_024:
            add_key(fuel, item, iterable)


def _dict(fuel: Fuel, *args: Any, **keywords: Any) -> dict[Any, Any]:
    result: dict[Any, Any] = {}
    update_dict(fuel, result, *args, **keywords)
    return result


def update_dict(fuel: Fuel, target: dict[Any, Any], *args: Any, **keywords: Any) -> None:
    """`dict.update`."""
    for arg in args:
        spend_round(fuel, arg)
        pairs = arg if not isinstance(arg, _MAPPINGS) else arg.items()
        for pair in pairs:
            if isinstance(pair, _PAIRS) and pair:
                add_key(fuel, pair[0], arg if len(arg) > len(target) else target)
    target.update(*args, **keywords)


def _divmod(fuel: Fuel, a: Any, b: Any) -> Any:
    refuse_opaque(a, b)
    spend_product(fuel, bits(a), bits(b))
    return divmod(a, b)


def _ord(fuel: Fuel, character: Any) -> int:
    return ord(character)


def _chr(fuel: Fuel, code: Any) -> str:
    return chr(code)


def allow_only(keywords: Mapping[str, Any], *names: str) -> None:
    """Raise `TypeError` for a keyword that is not among `names`: the others call back."""
    for name in keywords:
        if name not in names:
            raise TypeError(f"{name!r} is an invalid keyword argument here")


def _json_loads(fuel: Fuel, text: Any) -> Any:
    if not isinstance(text, str):
        kind = type(text).__name__
        raise TypeError(f"the JSON object must be str, bytes or bytearray, not {kind}")
    fuel.check_size(len(text), "a text")
    fuel.spend(len(text) // 8)  # a value may be two characters
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("the JSON text nests too deep") from None


def _json_dumps(fuel: Fuel, value: Any, **keywords: Any) -> str:
    allow_only(keywords, "indent", "sort_keys", "ensure_ascii", "separators")
    length = fuel.weigh(value)
    separators = keywords.get("separators") or ()
    wide = sum(map(size_of, separators)) + size_of(keywords.get("indent"))
    indent = keywords.get("indent")
    if indent is not None:
        wide += abs(indent) if isinstance(indent, int) else 0
        # Each part stands on a line of its own, as deep as it is nested.
        fuel.check_size(length * (1 + wide) * _depth(value), "a text")
    if wide:
        length += length * wide
    if keywords.get("sort_keys"):
        sort_steps(fuel, value)
    fuel.spend_text(length)
    try:
        return json.dumps(value, **keywords)
    except RecursionError:
        raise ValueError("the value nests too deep for JSON") from None


def _depth(value: Any) -> int:
    depth = 0
    level: list[Any] = [value]
    while level:
        depth += 1
        level = [
            part
            for outer in level
            if isinstance(outer, _NESTING)
            for part in (outer.values() if isinstance(outer, _DICTS) else outer)
        ]
    return depth


FUNCTIONS: Mapping[str, Function] = {
    "len": _len,
    "int": _int,
    "float": _float,
    "str": _str,
    "bool": _bool,
    "min": _extreme(min),
    "max": _extreme(max),
    "sorted": _sorted,
    "range": _range,
    "enumerate": _enumerate,
    "zip": _zip,
    "abs": _abs,
    "sum": _sum,
    "round": _round,
    "any": _any,
    "all": _all,
    "list": _list,
    "dict": _dict,
    "set": _set,
    "tuple": _tuple,
    "reversed": _reversed,
    "repr": _repr,
    "divmod": _divmod,
    "ord": _ord,
    "chr": _chr,
    "json.loads": _json_loads,
    "json.dumps": _json_dumps,
    "re.match": patterns.match,
    "re.search": patterns.search,
    "re.fullmatch": patterns.fullmatch,
    "re.findall": patterns.findall,
    "re.sub": patterns.sub,
    "re.split": patterns.split,
}
