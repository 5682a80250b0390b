"""Python's operators on the values of a program, each paid for before it runs.

A function here takes the `Fuel`, then the operands. The bounds are on sizes that Python would make
or walk in one go, where no step is counted: `"a" * 10**9`, `2 ** 10**9`, `x == y` on nested lists.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, cast

from .fuel import Fuel, Kinds, kind_of

_SMALL: frozenset[type[Any]] = frozenset({float, bool, type(None)})
_WORD = 2**63
_EMPTY: dict[str, str] = {}
_KEYS: type[Any] = type(_EMPTY.keys())
_VALUES: type[Any] = type(_EMPTY.values())
_PAIRS: type[Any] = type(_EMPTY.items())
_PLAIN: Kinds = (str, int, float, list, dict, tuple, set, type(None), complex)
_KNOWN: Kinds = (*_PLAIN, range, re.Match, _KEYS, _VALUES, _PAIRS)
_MATCHES: Kinds = (re.Match,)
_ITERABLE: Kinds = (*_KNOWN, Sequence)
_SUBSCRIPTABLE: Kinds = (*_ITERABLE, Mapping)
_COLLECTIONS: Kinds = (Collection,)
_LISTS: Kinds = (list, tuple)
_TUPLES: Kinds = (tuple,)
_DICTS: Kinds = (dict,)
_KEYED: Kinds = (dict, set, _KEYS, _PAIRS)
# Reversed searches, and forward ones for a short needle, compare up to every pair of characters.
_QUADRATIC_NEEDLE = 100
_QUADRATIC_TEXT = 2_500
_PAIRS_PER_STEP = 256
_MAX_KEY_DEPTH = 100  # `hash` of nested tuples recurses in C without a check


def is_known(value: Any) -> bool:
    """Return whether `value` is of a type that operators and functions may look into."""
    return isinstance(value, _KNOWN)


def refuse_opaque(*values: Any) -> None:
    """Raise `TypeError` for a state or another object that is no value."""
    for value in values:
        if not isinstance(value, _KNOWN):
            raise TypeError(f"{type(value).__name__!r} object is not a value of the language")


def check_iterable(value: Any) -> None:
    """Raise `TypeError` unless `value` is a collection of the language or a sequence of states."""
    if isinstance(value, _MATCHES) or not isinstance(value, _ITERABLE):
        raise TypeError(f"{type(value).__name__!r} object is not iterable")


def is_small(value: Any) -> bool:
    """Return whether no operator takes long on `value`."""
    kind = kind_of(value)
    return kind in _SMALL or (kind is int and -_WORD < value < _WORD)


def bits(value: Any) -> int:
    """Return the bits of an integer, 0 for anything else."""
    return value.bit_length() if isinstance(value, int) else 0


def spend_search(fuel: Fuel, text: Any, part: Any, *, backwards: bool = False) -> None:
    """Pay for looking for `part` in `text`."""
    if isinstance(text, str) and isinstance(part, str):
        needle = len(part)
        if not backwards and len(text) >= _QUADRATIC_TEXT:
            needle = min(needle, _QUADRATIC_NEEDLE)
        fuel.spend(len(text) * (needle + 4) // _PAIRS_PER_STEP)


def add_key(fuel: Fuel, key: Any, container: Collection[Any]) -> None:
    """Pay for looking `key` up in a dict or set, or putting it there."""
    if isinstance(key, str):
        if len(key) > 1_024:
            fuel.spend(len(key) // 1_024)
    elif isinstance(key, _TUPLES):
        # Tuples' hashes can be made equal on purpose, and then each meets all the others.
        fuel.spend(1 + len(container) // 16)
        _check_depth(key)
        fuel.weigh(key)
    elif not is_small(key):
        refuse_unhashable(key)
        if bits(key) > 60:  # likewise: hash(n) is n modulo 2**61 - 1
            fuel.spend(1 + len(container) // 16 + bits(key) // 1_024)
    fuel.check_size(len(container) + 1, "a container")


def refuse_unhashable(key: Any) -> None:
    """Raise Python's `TypeError` for a key that cannot be one, before anything is spent."""
    hash(key)


def _check_depth(key: tuple[Any, ...]) -> None:
    level: list[Any] = [key]
    for _ in range(_MAX_KEY_DEPTH):
        seen = {id(part): part for part in level if isinstance(part, _TUPLES)}
        level = [inner for part in seen.values() for inner in part]
        if not level:
            return
    raise ValueError(f"a key nests deeper than {_MAX_KEY_DEPTH} tuples")


# --- Arithmetic --------------------------------------------------------------------------------


def _spend_add(fuel: Fuel, a: Any, b: Any) -> None:
    if isinstance(a, str) and isinstance(b, str):
        fuel.spend_text(len(a) + len(b))
    elif isinstance(a, _LISTS) and isinstance(b, _LISTS):
        fuel.spend_items(len(a) + len(b))
    else:
        _spend_bits(fuel, bits(a) + bits(b))


def _spend_bits(fuel: Fuel, count: int) -> None:
    fuel.check_size(count, "an integer")
    fuel.spend(count // 64)


def _spend_multiply(fuel: Fuel, a: Any, b: Any) -> None:
    orders = ((a, b), (b, a))
    if isinstance(a, int) and isinstance(b, int):
        spend_product(fuel, bits(a), bits(b))
        return
    for sequence, count in orders:
        if isinstance(count, int) and isinstance(sequence, str):
            fuel.spend_text(len(sequence) * max(0, count))
        elif isinstance(count, int) and isinstance(sequence, _LISTS):
            fuel.spend_items(len(sequence) * max(0, count))


def spend_product(fuel: Fuel, a_bits: int, b_bits: int) -> None:
    """Pay for multiplying or dividing integers: 65,536 pairs of bits are a step."""
    fuel.check_size(a_bits + b_bits, "an integer")
    fuel.spend((a_bits * b_bits) >> 16)


def _spend_divide(fuel: Fuel, a: Any, b: Any) -> None:
    spend_product(fuel, bits(a), bits(b))


def _spend_modulo(fuel: Fuel, a: Any, b: Any) -> None:
    if isinstance(a, str):
        _spend_printf(fuel, a, b)
    else:
        _spend_divide(fuel, a, b)


_DIRECTIVE = re.compile(r"[%)][#0\- +]*(\*|\d+)?(?:\.(\*|\d+)?)?")


def _spend_printf(fuel: Fuel, pattern: str, values: Any) -> None:
    for value in values if isinstance(values, _TUPLES) else (values,):
        refuse_opaque(value)
    fuel.spend_text(len(pattern))
    widths = [width for pair in _DIRECTIVE.findall(pattern) for width in pair if width]
    starred = values if isinstance(values, _TUPLES) else ()
    star = max((abs(v) for v in starred if isinstance(v, int)), default=0)
    total = sum(star if width == "*" else _width(width) for width in widths)
    length = fuel.weigh(values)
    if isinstance(values, _DICTS):  # each may be written as often as it is named
        length *= pattern.count("%")
    fuel.spend_text(len(pattern) + total + length)


def _width(digits: str) -> int:
    return int(digits) if len(digits) < 19 else 0  # Python refuses a longer one


def _spend_power(fuel: Fuel, a: Any, b: Any) -> None:
    if isinstance(a, int) and isinstance(b, int) and b > 0 and abs(a) > 1:
        size = bits(a) * b
        spend_product(fuel, size, size)


def _spend_left_shift(fuel: Fuel, a: Any, b: Any) -> None:
    if isinstance(a, int) and isinstance(b, int) and a and b > 0:
        _spend_bits(fuel, bits(a) + b)


def _spend_both(fuel: Fuel, a: Any, b: Any) -> None:
    if isinstance(a, int) and isinstance(b, int):
        _spend_bits(fuel, bits(a) + bits(b))
    else:
        fuel.weigh(a)
        fuel.weigh(b)


def _spend_subtract(fuel: Fuel, a: Any, b: Any) -> None:
    if isinstance(a, int) or isinstance(b, int):
        _spend_bits(fuel, bits(a) + bits(b))
    else:
        _spend_both(fuel, a, b)


def _arithmetic(
    symbol: str, apply: Callable[[Any, Any], Any], spend: Callable[[Fuel, Any, Any], None]
) -> Callable[[Fuel, Any, Any], Any]:
    may_grow = symbol in ("**", "<<")  # even of small integers

    def guarded(fuel: Fuel, a: Any, b: Any) -> Any:
        if may_grow or not (is_small(a) and is_small(b)):
            if not (isinstance(a, _KNOWN) and isinstance(b, _KNOWN)):
                kinds = f"{type(a).__name__!r} and {type(b).__name__!r}"
                raise TypeError(f"unsupported operand type(s) for {symbol}: {kinds}")
            spend(fuel, a, b)
        return apply(a, b)

    return guarded


_OPERATOR = cast("Any", operator)  # half of the stubs have no types
BINARY: dict[str, Callable[[Fuel, Any, Any], Any]] = {
    symbol: _arithmetic(symbol, apply, spend)
    for symbol, apply, spend in (
        ("+", _OPERATOR.add, _spend_add),
        ("-", _OPERATOR.sub, _spend_subtract),
        ("*", _OPERATOR.mul, _spend_multiply),
        ("/", _OPERATOR.truediv, _spend_divide),
        ("//", _OPERATOR.floordiv, _spend_divide),
        ("%", _OPERATOR.mod, _spend_modulo),
        ("**", _OPERATOR.pow, _spend_power),
        ("|", _OPERATOR.or_, _spend_both),
        ("&", _OPERATOR.and_, _spend_both),
        ("^", _OPERATOR.xor, _spend_both),
        ("<<", _OPERATOR.lshift, _spend_left_shift),
        (">>", _OPERATOR.rshift, _spend_add),
    )
}


def _negate(fuel: Fuel, value: Any) -> bool:
    return not value


def _unary(symbol: str, apply: Callable[[Any], Any]) -> Callable[[Fuel, Any], Any]:
    def guarded(fuel: Fuel, value: Any) -> Any:
        if not is_small(value):
            if not isinstance(value, _KNOWN):
                raise TypeError(f"bad operand type for unary {symbol}: {type(value).__name__!r}")
            _spend_bits(fuel, bits(value))
        return apply(value)

    return guarded


UNARY: dict[str, Callable[[Fuel, Any], Any]] = {
    "not": _negate,
    "-": _unary("-", operator.neg),
    "+": _unary("+", operator.pos),
    "~": _unary("~", operator.invert),
}


# --- Comparison --------------------------------------------------------------------------------


def spend_equal(fuel: Fuel, a: Any, b: Any) -> None:
    """Pay for comparing two values."""
    if isinstance(a, str) and isinstance(b, str):
        if len(a) > 1_024 and len(b) > 1_024:
            fuel.spend(min(len(a), len(b)) // 1_024)
    elif isinstance(a, int) and isinstance(b, int):
        fuel.spend(min(bits(a), bits(b)) // 1_024)
    elif isinstance(a, _KNOWN) and isinstance(b, _KNOWN):
        if isinstance(a, range) or isinstance(b, range) or is_small(a) or is_small(b):
            return
        _spend_equal_parts(fuel, a, b)


def _spend_equal_parts(fuel: Fuel, a: Any, b: Any) -> None:
    if isinstance(a, _COLLECTIONS) and isinstance(b, _COLLECTIONS):
        # Each part of one meets at most one part of the other.
        fuel.weigh(a if len(a) < len(b) else b)


def _comparison(symbol: str, apply: Callable[[Any, Any], bool]) -> Callable[[Fuel, Any, Any], bool]:
    ordered = symbol not in ("==", "!=")

    def guarded(fuel: Fuel, a: Any, b: Any) -> bool:
        if not (is_small(a) and is_small(b)):
            if ordered and not (isinstance(a, _KNOWN) and isinstance(b, _KNOWN)):
                kinds = f"{type(a).__name__!r} and {type(b).__name__!r}"
                raise TypeError(f"{symbol!r} not supported between instances of {kinds}")
            spend_equal(fuel, a, b)
        return apply(a, b)

    return guarded


def spend_scan(fuel: Fuel, container: Collection[Any], value: Any) -> None:
    """Pay for comparing `value` with each item of a list or tuple."""
    if is_small(value):
        fuel.spend_items(len(container))
    elif isinstance(value, str):
        fuel.spend(len(container) * (1 + len(value) // 1_024))
    else:
        fuel.spend(len(container) * (1 + bits(value) // 1_024))
        fuel.weigh(container)


def _contains(fuel: Fuel, value: Any, container: Any) -> bool:
    _spend_contains(fuel, value, container)
    return value in container


def _spend_contains(fuel: Fuel, value: Any, container: Any) -> None:
    items: Any = container
    if isinstance(container, str):
        spend_search(fuel, container, value)
    elif isinstance(container, _KEYED):
        add_key(fuel, value, items)
        if isinstance(container, _PAIRS):
            fuel.weigh(value)
    elif isinstance(container, range):
        if not isinstance(value, int):
            fuel.spend(_length(container))
    elif isinstance(container, (*_LISTS, _VALUES)):
        spend_scan(fuel, items, value)
    elif isinstance(container, _MATCHES) or not isinstance(container, _ITERABLE):
        raise TypeError(f"argument of type {type(container).__name__!r} is not iterable")


def _length(numbers: range) -> int:
    try:
        return len(numbers)
    except OverflowError:
        return 2**63


COMPARE: dict[str, Callable[[Fuel, Any, Any], bool]] = {
    "==": _comparison("==", operator.eq),
    "!=": _comparison("!=", operator.ne),
    "<": _comparison("<", operator.lt),
    "<=": _comparison("<=", operator.le),
    ">": _comparison(">", operator.gt),
    ">=": _comparison(">=", operator.ge),
    "in": _contains,
    "not in": lambda fuel, value, container: not _contains(fuel, value, container),
    "is": lambda fuel, a, b: a is b,
    "is not": lambda fuel, a, b: a is not b,
}


# --- Containers --------------------------------------------------------------------------------


def item_of(fuel: Fuel, value: Any, index: Any) -> Any:
    """Return `value[index]`."""
    if isinstance(value, _DICTS):
        add_key(fuel, index, value)
    elif not isinstance(value, _SUBSCRIPTABLE):
        raise TypeError(f"{type(value).__name__!r} object is not subscriptable")
    return value[index]


def slice_of(fuel: Fuel, value: Any, start: Any, stop: Any, step: Any) -> Any:
    """Return `value[start:stop:step]`."""
    if not isinstance(value, _ITERABLE):
        raise TypeError(f"{type(value).__name__!r} object is not subscriptable")
    part = slice(start, stop, step)
    if isinstance(value, str):
        fuel.spend_text(len(range(*part.indices(len(value)))))
    elif isinstance(value, _LISTS):
        fuel.spend_items(len(range(*part.indices(len(value)))))
    return value[part]


def make_set(fuel: Fuel, *values: Any) -> set[Any]:
    """Return the set of the values."""
    for value in values:
        add_key(fuel, value, values)
    return set(values)


def make_dict(fuel: Fuel, *parts: Any) -> dict[Any, Any]:
    """Return the dict of `key, value, key, value, …`."""
    result: dict[Any, Any] = {}
    for key, value in zip(parts[::2], parts[1::2], strict=True):
        add_key(fuel, key, result)
        result[key] = value
    return result


def _add_to_list(fuel: Fuel, out: list[Any], item: Any) -> None:
    fuel.check_size(len(out) + 1)
    out.append(item)


def _add_to_set(fuel: Fuel, out: set[Any], item: Any) -> None:
    add_key(fuel, item, out)
    out.add(item)


def _add_to_dict(fuel: Fuel, out: dict[Any, Any], key: Any, item: Any) -> None:
    add_key(fuel, key, out)
    out[key] = item


ADD: dict[str, Callable[..., None]] = {
    "list": _add_to_list,
    "generator": _add_to_list,
    "set": _add_to_set,
    "dict": _add_to_dict,
}


# --- Text --------------------------------------------------------------------------------------


def text_of(fuel: Fuel, value: Any, convert: Callable[[Any], str] = str) -> str:
    """Return `str(value)`, or what another `convert` makes of it."""
    if isinstance(value, str) and convert is str:
        return str(value)
    if not is_small(value):
        refuse_opaque(value)
        fuel.check_size(fuel.weigh(value), "a text")
    return convert(value)


_DIGITS = re.compile(r"\d+")
_CONVERT: dict[str, Callable[[Any], str]] = {"s": str, "r": repr, "a": ascii}


def formatted(conversion: str) -> Callable[..., str]:
    """Return the function of a replacement field: `(fuel, value)` or `(fuel, value, spec)`."""
    convert = _CONVERT.get(conversion)
    plain = convert in (None, str)

    def field(fuel: Fuel, value: Any, spec: str = "") -> str:
        if plain and not spec:
            if type(value) is str:
                return value
            if is_small(value):
                return str(value)
        if convert is not None:
            value = text_of(fuel, value, convert)
        if not spec:
            return text_of(fuel, value)
        refuse_opaque(value)
        total = sum(_width(digits) for digits in _DIGITS.findall(spec))
        if isinstance(value, (str, int)):
            total += len(value) if isinstance(value, str) else bits(value)
        fuel.spend_text(total + len(spec))
        return format(value, spec)

    return field


def sort_steps(fuel: Fuel, value: Any) -> None:
    """Pay for sorting a collection: each part is compared about `log2(n)` times."""
    count = len(value) if isinstance(value, _COLLECTIONS) else 0
    if count > 1:
        before = fuel.steps
        fuel.weigh(value)
        fuel.spend((before - fuel.steps) * math.ceil(math.log2(count)))
