"""The functions and methods that a program may call; each pays in proportion to what it touches.

Each takes the `Fuel`, then what Python's own takes. Nothing else can be called. Left out on
purpose: what reaches attributes (`str.format`, `str.format_map`) or calls back (`key=`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence, Sized
from typing import Any

from . import patterns
from .fuel import Fuel
from .operators import (
    add_key,
    bits,
    check_iterable,
    is_known,
    is_small,
    refuse_opaque,
    sort_steps,
    spend_product,
    spend_scan,
    spend_search,
    text_of,
)

Function = Callable[..., Any]


def _size(value: Any) -> int:
    """Return the number of items or characters, 0 for what has none or too many to iterate."""
    if not isinstance(value, Sized):
        return 0
    try:
        return len(value)
    except OverflowError:
        return 2**63


def _spend_round(fuel: Fuel, value: Any) -> None:
    """Pay for one visit of each item, after a check that there are any."""
    check_iterable(value)
    fuel.spend_items(_size(value))


# --- Functions ---------------------------------------------------------------------------------


def _len(fuel: Fuel, value: Any) -> int:
    return len(value)


def _int(fuel: Fuel, *args: Any, **keywords: Any) -> int:
    refuse_opaque(*args)
    # The base may be a power of two, for which Python allows any length.
    fuel.spend(sum(_size(arg) // 64 for arg in args))
    return int(*args, **keywords)


def _float(fuel: Fuel, *args: Any) -> float:
    refuse_opaque(*args)
    fuel.spend(sum(_size(arg) // 64 for arg in args))
    return float(*args)


def _str(fuel: Fuel, value: Any = "") -> str:
    return text_of(fuel, value)


def _repr(fuel: Fuel, value: Any) -> str:
    return text_of(fuel, value, repr)


def _bool(fuel: Fuel, value: Any = False) -> bool:
    return bool(value)


def _extreme(apply: Callable[..., Any]) -> Function:
    def extreme(fuel: Fuel, *args: Any, **keywords: Any) -> Any:
        _allow(keywords, "default")
        values = args[0] if len(args) == 1 else args
        check_iterable(values)
        refuse_opaque(*values) if isinstance(values, tuple) else None
        if isinstance(values, range):
            fuel.spend(_size(values))
        else:
            fuel.weigh(values)
        return apply(*args, **keywords)

    return extreme


def _sorted(fuel: Fuel, value: Any, /, **keywords: Any) -> list[Any]:
    _allow(keywords, "reverse")
    _spend_round(fuel, value)
    sort_steps(fuel, value)
    return sorted(value, **keywords)


def _range(fuel: Fuel, *args: Any) -> range:
    return range(*args)


def _enumerate(fuel: Fuel, iterable: Any, start: Any = 0) -> list[tuple[int, Any]]:
    _spend_round(fuel, iterable)
    return list(enumerate(iterable, start))


def _zip(fuel: Fuel, *args: Any, **keywords: Any) -> list[tuple[Any, ...]]:
    _allow(keywords, "strict")
    for arg in args:
        check_iterable(arg)
    rounds = min(map(_size, args), default=0)
    fuel.spend_items(rounds * len(args))
    return list(zip(*args, strict=bool(keywords.get("strict"))))


def _reversed(fuel: Fuel, value: Any) -> list[Any]:
    opaque = not is_known(value) and not isinstance(value, Sequence)
    if opaque or isinstance(value, (set, re.Match)):
        raise TypeError(f"{type(value).__name__!r} object is not reversible")
    fuel.spend_items(_size(value))
    return list(reversed(value))


def _abs(fuel: Fuel, value: Any) -> Any:
    refuse_opaque(value)
    fuel.spend(bits(value) // 64)
    return abs(value)


def _sum(fuel: Fuel, iterable: Any, /, start: Any = 0) -> Any:
    # Added one by one, so that lists and large integers pay for each copy.
    if isinstance(start, str):
        raise TypeError("sum() can't sum strings [use ''.join(seq) instead]")
    _spend_round(fuel, iterable)
    refuse_opaque(start)
    total = start
    for item in iterable:
        if not (is_small(item) and is_small(total)):
            refuse_opaque(item)
            fuel.spend_items(_size(item) + _size(total) + (bits(item) + bits(total)) // 64)
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
    _spend_round(fuel, iterable)
    return any(iterable)


def _all(fuel: Fuel, iterable: Any) -> bool:
    _spend_round(fuel, iterable)
    return all(iterable)


def _list(fuel: Fuel, *args: Any) -> list[Any]:
    for arg in args:
        _spend_round(fuel, arg)
    return list(*args)


def _tuple(fuel: Fuel, *args: Any) -> tuple[Any, ...]:
    for arg in args:
        _spend_round(fuel, arg)
    return tuple(*args)


def _set(fuel: Fuel, *args: Any) -> set[Any]:
    for arg in args:
        _spend_round(fuel, arg)
        _spend_keys(fuel, arg)
    return set(*args)


def _spend_keys(fuel: Fuel, iterable: Any) -> None:
    """Pay for putting every item into a set or dict."""
    check_iterable(iterable)
    if isinstance(iterable, (str, range)):
        fuel.spend_items(_size(iterable))
        return
    for item in iterable:
        fuel.spend()
        if not isinstance(item, (str, float, bool)) or len(str(item)) > 1_024:
            add_key(fuel, item, iterable)


def _dict(fuel: Fuel, *args: Any, **keywords: Any) -> dict[Any, Any]:
    result: dict[Any, Any] = {}
    _update_dict(fuel, result, *args, **keywords)
    return result


def _update_dict(fuel: Fuel, target: dict[Any, Any], *args: Any, **keywords: Any) -> None:
    for arg in args:
        _spend_round(fuel, arg)
        pairs = arg if not isinstance(arg, Mapping) else arg.items()
        for pair in pairs:
            if isinstance(pair, (tuple, list)) and pair:
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


def _allow(keywords: Mapping[str, Any], *names: str) -> None:
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
    _allow(keywords, "indent", "sort_keys", "ensure_ascii", "separators")
    length = fuel.weigh(value)
    separators = keywords.get("separators") or ()
    wide = sum(map(_size, separators)) + _size(keywords.get("indent"))
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
    depth, level = 0, [value]
    while level:
        depth += 1
        level = [
            part
            for outer in level
            if isinstance(outer, (dict, list, tuple))
            for part in (outer.values() if isinstance(outer, dict) else outer)
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


# --- Methods -----------------------------------------------------------------------------------


def _linear(apply: Function) -> Function:
    """A method of a text that looks at each character once."""

    def method(fuel: Fuel, text: str, *args: Any, **keywords: Any) -> Any:
        fuel.spend(1 + len(text) // 64)
        return apply(text, *args, **keywords)

    return method


def _searching(apply: Function, *, backwards: bool = False) -> Function:
    """A method of a text that looks for its first argument."""

    def method(fuel: Fuel, text: str, *args: Any) -> Any:
        parts = args[:1] if not args or not isinstance(args[0], tuple) else args[0]
        for part in parts:
            spend_search(fuel, text, part, backwards=backwards)
        return apply(text, *args)

    return method


def _splitting(apply: Function, *, backwards: bool = False) -> Function:
    def method(fuel: Fuel, text: str, *args: Any, **keywords: Any) -> Any:
        separator = args[0] if args else keywords.get("sep")
        spend_search(fuel, text, separator, backwards=backwards)
        fuel.spend(1 + len(text) // 64)
        if isinstance(separator, str) and separator:
            fuel.spend(text.count(separator))
        else:
            fuel.spend(len(text) // 4)  # words and lines may be short
        return apply(text, *args, **keywords)

    return method


def _padding(apply: Function) -> Function:
    def method(fuel: Fuel, text: str, *args: Any) -> Any:
        widths = [arg for arg in args if isinstance(arg, int)]
        fuel.spend_text(max([len(text), *widths]))
        return apply(text, *args)

    return method


def _expandtabs(fuel: Fuel, text: str, tabsize: Any = 8) -> str:
    if isinstance(tabsize, int):
        fuel.spend_text(len(text) + text.count("\t") * max(0, tabsize))
    return text.expandtabs(tabsize)


def _str_join(fuel: Fuel, text: str, iterable: Any) -> str:
    _spend_round(fuel, iterable)
    if isinstance(iterable, Collection):
        total = sum(len(part) for part in iterable if isinstance(part, str))
        fuel.spend_text(total + len(text) * len(iterable))
    return text.join(iterable)


def _str_replace(fuel: Fuel, text: str, *args: Any) -> str:
    if len(args) > 1 and isinstance(args[0], str) and isinstance(args[1], str):
        spend_search(fuel, text, args[0])
        count = text.count(args[0])
        if len(args) > 2 and isinstance(args[2], int) and args[2] >= 0:
            count = min(count, args[2])
        fuel.spend_text(len(text) + count * max(0, len(args[1]) - len(args[0])))
    return text.replace(*args)


# fmt: off
_LINEAR = (
    "capitalize", "casefold", "isalnum", "isalpha", "isascii", "isdecimal", "isdigit",
    "isidentifier", "islower", "isnumeric", "isprintable", "isspace", "istitle", "isupper",
    "lower", "swapcase", "title", "upper",
)
_FORWARDS = (
    "count", "endswith", "find", "index", "partition", "removeprefix", "removesuffix",
    "startswith",
)
_BACKWARDS = ("lstrip", "rfind", "rindex", "rpartition", "rstrip", "strip")
_PADDING = ("center", "ljust", "rjust", "zfill")
_COMBINING = (
    "difference", "difference_update", "intersection", "intersection_update", "isdisjoint",
    "issubset", "issuperset", "symmetric_difference", "symmetric_difference_update", "union",
    "update",
)
# fmt: on

_STR: dict[str, Function] = {
    **{name: _linear(getattr(str, name)) for name in _LINEAR},
    **{name: _searching(getattr(str, name)) for name in _FORWARDS},
    **{name: _searching(getattr(str, name), backwards=True) for name in _BACKWARDS},
    **{name: _padding(getattr(str, name)) for name in _PADDING},
    "expandtabs": _expandtabs,
    "join": _str_join,
    "replace": _str_replace,
    "rsplit": _splitting(str.rsplit, backwards=True),
    "split": _splitting(str.split),
    "splitlines": _splitting(str.splitlines),
}


def _copying(apply: Function) -> Function:
    """A method that moves or copies every item."""

    def method(fuel: Fuel, value: Any, *args: Any) -> Any:
        fuel.spend_items(1 + len(value))
        return apply(value, *args)

    return method


def _shifting(apply: Function) -> Function:
    """A method that moves items inside a list, a block at a time."""

    def method(fuel: Fuel, value: list[Any], *args: Any) -> Any:
        fuel.spend(1 + len(value) // 64)
        fuel.check_size(len(value) + 1)
        return apply(value, *args)

    return method


def _list_append(fuel: Fuel, value: list[Any], item: Any) -> None:
    fuel.check_size(len(value) + 1)
    value.append(item)


def _list_extend(fuel: Fuel, value: list[Any], iterable: Any) -> None:
    _spend_round(fuel, iterable)
    fuel.check_size(len(value) + _size(iterable))
    value.extend(iterable)


def _scanning(apply: Function) -> Function:
    """A method that compares its first argument with each item."""

    def method(fuel: Fuel, value: Any, *args: Any) -> Any:
        for arg in args[:1]:
            spend_scan(fuel, value, arg)
        return apply(value, *args)

    return method


def _list_sort(fuel: Fuel, value: list[Any], **keywords: Any) -> None:
    _allow(keywords, "reverse")
    sort_steps(fuel, value)
    value.sort(**keywords)


_LIST: dict[str, Function] = {
    "append": _list_append,
    "clear": _copying(list.clear),
    "copy": _copying(list.copy),
    "count": _scanning(list.count),
    "extend": _list_extend,
    "index": _scanning(list.index),
    "insert": _shifting(list.insert),
    "pop": _shifting(list.pop),
    "remove": _scanning(list.remove),
    "reverse": _copying(list.reverse),
    "sort": _list_sort,
}


def _keyed(apply: Function) -> Function:
    """A method that looks up its first argument."""

    def method(fuel: Fuel, value: Any, *args: Any) -> Any:
        for arg in args[:1]:
            add_key(fuel, arg, value)
        return apply(value, *args)

    return method


def _view(apply: Function) -> Function:
    """A method that takes no time however large the value is."""

    def method(fuel: Fuel, value: Any, *args: Any) -> Any:
        return apply(value, *args)

    return method


_DICT: dict[str, Function] = {
    "clear": _copying(dict.clear),
    "copy": _copying(dict.copy),
    "get": _keyed(dict.get),
    "items": _view(dict.items),
    "keys": _view(dict.keys),
    "pop": _keyed(dict.pop),
    "popitem": _view(dict.popitem),
    "setdefault": _keyed(dict.setdefault),
    "update": _update_dict,
    "values": _view(dict.values),
}


def _combining(apply: Function) -> Function:
    """A method of a set that takes other collections."""

    def method(fuel: Fuel, value: set[Any], *args: Any) -> Any:
        fuel.weigh(value)
        for arg in args:
            _spend_keys(fuel, arg)
        return apply(value, *args)

    return method


_SET: dict[str, Function] = {
    **{name: _keyed(getattr(set, name)) for name in ("add", "discard", "remove")},
    **{name: _combining(getattr(set, name)) for name in _COMBINING},
    "clear": _copying(set.clear),
    "copy": _copying(set.copy),
    "pop": _copying(set.pop),  # it looks for the first one from the beginning
}

_TUPLE: dict[str, Function] = {"count": _scanning(tuple.count), "index": _scanning(tuple.index)}


def _match_method(apply: Function) -> Function:
    def method(fuel: Fuel, value: re.Match[str], *args: Any, **keywords: Any) -> Any:
        fuel.spend(1 + value.re.groups)
        fuel.spend((value.end() - value.start()) // 64)
        return apply(value, *args, **keywords)

    return method


_MATCH: dict[str, Function] = {
    name: _match_method(getattr(re.Match, name))
    for name in ("end", "group", "groupdict", "groups", "span", "start")
}

METHODS: Mapping[type, Mapping[str, Function]] = {
    str: _STR,
    list: _LIST,
    dict: _DICT,
    set: _SET,
    tuple: _TUPLE,
    re.Match: _MATCH,
}


def find_method(value: Any, name: str) -> Function:
    """Return the method `name` of a value, to be called with the fuel and the value.

    Raises:
        AttributeError: the value's type has no such method here.
    """
    for kind in type(value).__mro__:
        methods = METHODS.get(kind)
        if methods is not None and name in methods:
            return methods[name]
    raise AttributeError(f"{type(value).__name__!r} object has no attribute {name!r}")
