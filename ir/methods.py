"""The methods that a program may call, by the type of the value; each pays for what it touches.

Each takes the `Fuel`, the value, then what Python's own takes. Left out on purpose: what reaches
attributes (`str.format`, `str.format_map`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from .fuel import Fuel, Kinds
from .functions import Function, allow_only, size_of, spend_keys, spend_round, update_dict
from .operators import add_key, sort_steps, spend_scan, spend_search

_TUPLES: Kinds = (tuple,)
_COLLECTIONS: Kinds = (Collection,)


def _linear(apply: Function) -> Function:
    """A method of a text that looks at each character once."""

    def method(fuel: Fuel, text: str, *args: Any, **keywords: Any) -> Any:
        fuel.spend(1 + len(text) // 64)
        return apply(text, *args, **keywords)

    return method


def _searching(apply: Function, *, backwards: bool = False) -> Function:
    """A method of a text that looks for its first argument."""

    def method(fuel: Fuel, text: str, *args: Any) -> Any:
        parts = args[:1] if not args or not isinstance(args[0], _TUPLES) else args[0]
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
    spend_round(fuel, iterable)
    if isinstance(iterable, _COLLECTIONS):
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
    spend_round(fuel, iterable)
    fuel.check_size(len(value) + size_of(iterable))
    value.extend(iterable)


def _scanning(apply: Function) -> Function:
    """A method that compares its first argument with each item."""

    def method(fuel: Fuel, value: Any, *args: Any) -> Any:
        for arg in args[:1]:
            spend_scan(fuel, value, arg)
        return apply(value, *args)

    return method


def _list_sort(fuel: Fuel, value: list[Any], **keywords: Any) -> None:
    allow_only(keywords, "reverse")
    sort_steps(fuel, value)
    value.sort(**keywords)


_LIST: dict[str, Function] = {
    "append": _list_append,
    "clear": _copying(list[Any].clear),
    "copy": _copying(list[Any].copy),
    "count": _scanning(list[Any].count),
    "extend": _list_extend,
    "index": _scanning(list[Any].index),
    "insert": _shifting(list[Any].insert),
    "pop": _shifting(list[Any].pop),
    "remove": _scanning(list[Any].remove),
    "reverse": _copying(list[Any].reverse),
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
    "clear": _copying(dict[Any, Any].clear),
    "copy": _copying(dict[Any, Any].copy),
    "get": _keyed(dict[Any, Any].get),
    "items": _view(dict[Any, Any].items),
    "keys": _view(dict[Any, Any].keys),
    "pop": _keyed(dict[Any, Any].pop),
    "popitem": _view(dict[Any, Any].popitem),
    "setdefault": _keyed(dict[Any, Any].setdefault),
    "update": update_dict,
    "values": _view(dict[Any, Any].values),
}


def _combining(apply: Function) -> Function:
    """A method of a set that takes other collections."""

    def method(fuel: Fuel, value: set[Any], *args: Any) -> Any:
        fuel.weigh(value)
        for arg in args:
            spend_keys(fuel, arg)
        return apply(value, *args)

    return method


_SET: dict[str, Function] = {
    **{name: _keyed(getattr(set, name)) for name in ("add", "discard", "remove")},
    **{name: _combining(getattr(set, name)) for name in _COMBINING},
    "clear": _copying(set[Any].clear),
    "copy": _copying(set[Any].copy),
    "pop": _copying(set[Any].pop),  # it looks for the first one from the beginning
}

_TUPLE: dict[str, Function] = {
    "count": _scanning(tuple[Any, ...].count),
    "index": _scanning(tuple[Any, ...].index),
}


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
