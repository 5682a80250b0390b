"""The functions of `re` that a program may call, each paid for by what backtracking may cost."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from importlib import import_module
from typing import Any, NamedTuple

from .ambiguity import Estimator, Tree, always_matches, character_bit, parse, shape
from .errors import FuelError
from .fuel import Fuel

_constants: Any = import_module("re._constants")  # these two have no stubs
_parser: Any = import_module("re._parser")

MAX_PATTERN = 1_000  # characters
_FLAGS = re.IGNORECASE | re.MULTILINE | re.DOTALL | re.VERBOSE | re.ASCII | re.UNICODE
_ENGINE_STEPS = 64  # of the matcher for one of ours: 5 to 10 ns each
_ROUGH = 65_536  # engine steps up to which the text need not be measured
_SHORT = 20  # characters: a pattern that may take long on so few is refused
_TOO_LONG = 1e8  # engine steps, about a second


def check_pattern(pattern: str, flags: int = 0) -> None:
    """Raise `ValueError`, with the reason and a remedy, for a pattern that may take too long.

    The others take polynomial time, which each call charges for the actual text.

    Raises:
        ValueError: the pattern may not be used.
        re.error: it is no pattern.
    """
    _prepare(pattern, int(flags))


class _Prepared(NamedTuple):
    """A pattern that was checked."""

    compiled: re.Pattern[str]
    tree: Tree
    head: list[Any]  # items up to the last that can fail
    tail: list[Any]  # items that always match something, so that nothing is tried again
    anchored: bool  # whether it can only match at the beginning


@lru_cache(256)
def _prepare(pattern: str, flags: int) -> _Prepared:
    if len(pattern) > MAX_PATTERN:
        raise ValueError(f"a pattern of {len(pattern)} characters; {MAX_PATTERN} are allowed")
    if flags & ~_FLAGS:
        raise ValueError(f"the flags {flags} are not I, M, S, X, A or U")
    tree = parse(pattern, flags)
    head, tail = _parts(list(tree.items))
    starts = tree.items[0] if len(tree.items) else None
    anchors = (_constants.AT_BEGINNING, _constants.AT_BEGINNING_STRING)
    anchored = starts is not None and starts[0] is _constants.AT and starts[1] in anchors
    try:
        estimate = Estimator(tree.flags, lambda mask: _SHORT).sequence(tree.items, 0)
    except RecursionError:
        raise ValueError("the pattern nests too deep") from None
    if not estimate.cost <= _TOO_LONG:
        raise ValueError(
            f"the pattern may take {estimate.cost:.1e} steps on a text of {_SHORT} characters, as "
            "(.*a){20} and (a?){30} do; let the next character decide where each repeat ends"
        )
    multiline = bool(tree.flags & re.MULTILINE)
    return _Prepared(re.compile(pattern, flags), tree, head, tail, anchored and not multiline)


def _parts(items: list[Any]) -> tuple[list[Any], list[Any]]:
    """Split a pattern's items before the end that always matches."""
    tail: list[Any] = []
    while items:
        operation, value = items[-1]
        if always_matches(items[-1]):
            tail.insert(0, items.pop())
        elif operation is _constants.SUBPATTERN:
            items[-1:] = list(value[3])
        elif operation in _parser._REPEATCODES and value[0] < value[1]:
            least, most, body = value  # X{2,} is X{2}X*
            rest = most if most is _constants.MAXREPEAT else most - least
            items[-1] = (operation, (least, least, body))
            tail.insert(0, (operation, (0, rest, body)))
            break
        else:
            break
    return items, tail


# --- Cost --------------------------------------------------------------------------------------


class _Marks(dict[int, str]):
    """Translates the characters of a mask to `1`, the others to `0`."""

    def __init__(self, mask: int) -> None:
        super().__init__()
        self._mask = mask

    def __missing__(self, code: int) -> str:
        mark = "1" if character_bit(chr(code)) & self._mask else "0"
        self[code] = mark
        return mark


class _Measured:
    """What a text has of each mask."""

    def __init__(self, text: str, fuel: Fuel) -> None:
        self._text = text
        self._fuel = fuel
        self._found: dict[int, tuple[int, int]] = {}

    def _measure(self, mask: int) -> tuple[int, int]:
        if mask not in self._found:
            self._fuel.spend(len(self._text) // 8)
            marked = self._text.translate(_Marks(mask))
            longest = max(map(len, marked.split("0")))
            self._found[mask] = (longest, marked.count("1"))
        return self._found[mask]

    def run(self, mask: int) -> int:
        """Return the length of the longest run."""
        return self._measure(mask)[0]

    def count(self, mask: int) -> int:
        """Return how many there are."""
        return self._measure(mask)[1]


class _Rough:
    """The same, without a look at the text."""

    def __init__(self, length: int) -> None:
        self._length = length

    def run(self, mask: int) -> int:
        return self._length

    count = run


def _cost(prepared: _Prepared, kind: str, length: int, text: _Measured | _Rough) -> float:
    tree = prepared.tree
    estimator = Estimator(tree.flags, text.run)
    if kind == "fullmatch":
        return estimator.sequence(tree.items, 0).cost
    head = estimator.sequence(prepared.head, 0).cost
    tail = estimator.sequence(prepared.tail, 0).cost
    if kind == "match":
        return head + tail
    begins = shape(prepared.head, tree.flags)
    starts = length + 1 if begins.nullable else text.count(begins.first)
    starts = 1 if prepared.anchored else starts
    if kind == "search":
        return length + starts * head + tail
    simple = all(
        operation in _parser._REPEATCODES and len(value[2]) == 1 and _is_character(value[2][0])
        for operation, value in prepared.tail
    )  # then the tail consumes all that it looks at
    return length + starts * (head + (len(prepared.tail) if simple else tail)) + length * simple


@lru_cache(1_024)
def _rough_cost(pattern: str, flags: int, kind: str, length_bits: int) -> float:
    """Return the cost for any text whose length has so many bits."""
    length = 1 << length_bits
    return _cost(_prepare(pattern, flags), kind, length, _Rough(length))


def _is_character(item: Any) -> bool:
    return item[0] in (
        _constants.ANY,
        _constants.IN,
        _constants.LITERAL,
        _constants.NOT_LITERAL,
    )


def _paid(fuel: Fuel, kind: str, pattern: Any, text: Any, flags: Any) -> re.Pattern[str]:
    """Return the compiled pattern, after paying for one use of it on `text`."""
    if not isinstance(pattern, str):
        raise TypeError("first argument must be string or compiled pattern")
    if not isinstance(text, str):
        raise TypeError(f"expected string or bytes-like object, got {type(text).__name__!r}")
    length = len(text)
    fuel.spend(len(pattern) + length // _ENGINE_STEPS)
    prepared = _prepare(pattern, int(flags))
    cost = _rough_cost(pattern, int(flags), kind, length.bit_length())
    if cost > _ROUGH:
        cost = _cost(prepared, kind, length, _Measured(text, fuel))
    if cost / _ENGINE_STEPS > fuel.steps:
        raise FuelError(
            f"the pattern {pattern!r} may take {cost:.1e} steps of the matcher on this text of "
            f"{length} characters, more than the program's steps allow (limit 'steps')",
            hint="Let the next character decide where each repeat ends, or match a shorter text.",
        )
    fuel.spend(int(cost) // _ENGINE_STEPS)
    return prepared.compiled


# --- Functions ---------------------------------------------------------------------------------


def match(fuel: Fuel, pattern: str, string: str, flags: int = 0) -> re.Match[str] | None:
    """`re.match`."""
    return _paid(fuel, "match", pattern, string, flags).match(string)


def search(fuel: Fuel, pattern: str, string: str, flags: int = 0) -> re.Match[str] | None:
    """`re.search`."""
    return _paid(fuel, "search", pattern, string, flags).search(string)


def fullmatch(fuel: Fuel, pattern: str, string: str, flags: int = 0) -> re.Match[str] | None:
    """`re.fullmatch`."""
    return _paid(fuel, "fullmatch", pattern, string, flags).fullmatch(string)


def _each(fuel: Fuel, compiled: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    for found in compiled.finditer(text):
        fuel.spend(1 + compiled.groups)
        yield found


def findall(fuel: Fuel, pattern: str, string: str, flags: int = 0) -> list[Any]:
    """`re.findall`."""
    compiled = _paid(fuel, "all", pattern, string, flags)
    found = _each(fuel, compiled, string)
    if not compiled.groups:
        return [each.group() for each in found]
    texts = (each.groups("") for each in found)
    return [groups[0] for groups in texts] if compiled.groups == 1 else list(texts)


def sub(fuel: Fuel, pattern: str, repl: Any, string: str, count: int = 0, flags: int = 0) -> str:
    """`re.sub`, with a text to put in."""
    compiled = _paid(fuel, "all", pattern, string, flags)
    if not isinstance(repl, str):
        raise TypeError("the replacement must be a text")
    template = "\\" in repl
    length = len(string)
    if template:
        fuel.spend(len(repl))
        _parser.parse_template(repl, compiled)  # so that an error does not wait for a match

    def put(found: re.Match[str]) -> str:
        nonlocal length
        fuel.spend(1)
        if not template:
            text: str = repl
        else:  # Python parses the template for each match
            fuel.spend(20 + len(repl))
            fuel.check_size(len(repl) * (1 + found.end() - found.start()), "a text")
            text = found.expand(repl)
        length += len(text)
        fuel.spend_text(len(text))
        fuel.check_size(length, "a text")
        return text

    return compiled.sub(put, string, count)


def split(
    fuel: Fuel, pattern: str, string: str, maxsplit: int = 0, flags: int = 0
) -> list[str | Any]:
    """`re.split`."""
    compiled = _paid(fuel, "all", pattern, string, flags)
    parts: list[str | Any] = []
    end = rounds = 0
    if maxsplit >= 0:
        for found in _each(fuel, compiled, string):
            parts += [string[end : found.start()], *found.groups()]
            end = found.end()
            rounds += 1
            if rounds == maxsplit:
                break
    return [*parts, string[end:]]
