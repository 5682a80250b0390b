"""How long a regular expression may take, from its parse tree: `re` backtracks.

A matcher that backtracks tries every way in which a pattern can consume the text. `Estimate` bounds
the number of ways and the engine's steps from one place in a text. Where the next character decides
(what a repeat repeats and what follows it begin with different characters), there is one way.
A repeat without a bound whose body has several ways is refused; everything else is polynomial, and
is paid for by the actual text. The rule is conservative: `(a|ab)*c` is harmless and refused.

Not chosen: an engine of our own that runs in linear time, with Python's groups and priorities (in
Python, a hundred times slower than `re`), and the exact test for ambiguity on the automaton
(Weber and Seidl 1991), which does not bound the constants: `(a?){30}a{30}` is finitely ambiguous.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib import import_module
from typing import Any, NamedTuple

_constants: Any = import_module("re._constants")  # these two have no stubs
_parser: Any = import_module("re._parser")

# Characters as bits: one for each of ASCII's, and three classes above.
_HIGH_WORD, _HIGH_SPACE, _HIGH_OTHER = 1 << 128, 1 << 129, 1 << 130
_HIGH = _HIGH_WORD | _HIGH_SPACE | _HIGH_OTHER
_ALL = (1 << 131) - 1
_MAX_RANGE = 4_096  # characters of a range that are looked at one by one


class Estimate(NamedTuple):
    """Bounds for matching a part of a pattern from one place."""

    ways: float = 1.0  # in which it can succeed and be asked for another
    cost: float = 0.0  # engine steps to try all of them
    size: float = 0.0  # engine steps if each of its characters is tried once
    look: float = 0.0  # engine steps of lookarounds in it
    alphabet: int = 0  # characters it can consume


class Shape(NamedTuple):
    """How a part of a pattern begins."""

    first: int  # characters it can begin with
    nullable: bool  # whether it can match nothing


class Tree(NamedTuple):
    """A parsed pattern."""

    items: Sequence[Any]
    flags: int  # a flag that is set for a group counts for all


def parse(pattern: str, flags: int) -> Tree:
    """Return a pattern's tree.

    Raises:
        ValueError: it is wrong (`re.error` is one), or nests too deep.
    """
    try:
        tree = _parser.parse(pattern, flags)
        return Tree(tree, tree.state.flags | _scoped_flags(tree))
    except RecursionError:
        raise ValueError("the pattern nests too deep") from None


def _scoped_flags(items: Sequence[Any]) -> int:
    flags = 0
    for operation, value in items:
        if operation is _constants.SUBPATTERN:
            flags |= value[1]
        for inner in _inner(operation, value):
            flags |= _scoped_flags(inner)
    return flags


def _inner(operation: Any, value: Any) -> Sequence[Sequence[Any]]:
    """Return the sequences inside an item."""
    match str(operation):
        case "SUBPATTERN":
            return [value[3]]
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            return [value[2]]
        case "BRANCH":
            return list(value[1])
        case "ATOMIC_GROUP":
            return [value]
        case "ASSERT" | "ASSERT_NOT":
            return [value[1]]
        case _:
            return []


# --- Characters --------------------------------------------------------------------------------


def character_bit(character: str) -> int:
    """Return the bit of a character's class."""
    if character.isascii():
        return 1 << ord(character)
    if character.isalnum():
        return _HIGH_WORD
    return _HIGH_SPACE if character.isspace() else _HIGH_OTHER


def _mask(test: Callable[[str], bool]) -> int:
    return sum(1 << code for code in range(128) if test(chr(code)))


_LETTERS = _mask(str.isalpha)
_CATEGORIES = {
    "WORD": (_mask(lambda c: c.isalnum() or c == "_"), _HIGH_WORD),
    "SPACE": (_mask(str.isspace), _HIGH_SPACE),
    "DIGIT": (_mask(str.isdigit), 0),
}


def _set_bounds(items: Sequence[Any], flags: int) -> tuple[int, int]:
    """Return the classes that a set surely covers, and those it may touch."""
    low = high = 0
    negate = False
    for operation, value in items:
        if operation is _constants.NEGATE:
            negate = True
            continue
        if operation is _constants.CATEGORY:
            sure, touched = _category_bounds(str(value), flags)
        else:
            start, end = value if operation is _constants.RANGE else (value, value)
            if flags & re.IGNORECASE and end - start > _MAX_RANGE:  # `re` looks at each one
                raise ValueError(f"a range of more than {_MAX_RANGE} characters ignores case")
            sure, touched = _range_bounds(start, end)
        low, high = low | sure, high | touched
    return (_ALL & ~high, _ALL & ~low) if negate else (low, high)


def _category_bounds(name: str, flags: int) -> tuple[int, int]:
    kind = name.rpartition("_")[2]
    plain, above = _CATEGORIES[kind]
    low = plain | (0 if flags & re.ASCII else above)
    high = plain | above | (_HIGH_WORD if kind == "DIGIT" else 0)
    return (_ALL & ~high, _ALL & ~low) if "_NOT_" in name else (low, high)


@lru_cache(1_024)
def _range_bounds(start: int, end: int) -> tuple[int, int]:
    low = sum(1 << code for code in range(start, min(end, 127) + 1))
    if end < 128:
        return low, low
    above = range(max(start, 128), end + 1)
    if len(above) > _MAX_RANGE:
        return low, low | _HIGH
    high = low
    for code in above:
        high |= character_bit(chr(code))
    return low, high


def _characters(operation: Any, value: Any, flags: int) -> int | None:
    """Return what an item that is one character may be, None for other items."""
    match str(operation):
        case "LITERAL":
            mask = character_bit(chr(value))
        case "NOT_LITERAL":
            mask = _ALL & ~_range_bounds(value, value)[0]
        case "ANY":
            return _ALL if flags & re.DOTALL else _ALL & ~(1 << ord("\n"))
        case "IN":
            mask = _set_bounds(value, flags)[1]
        case _:
            return None
    if flags & re.IGNORECASE and mask & (_LETTERS | _HIGH_WORD):
        # Bit 5 is the case of ASCII's letters; some have relatives above: K and the Kelvin sign.
        letters = _LETTERS if mask & _HIGH_WORD else mask & _LETTERS
        mask |= ((letters << 32) | (letters >> 32)) & _LETTERS | letters | _HIGH_WORD
    return mask


# --- Shapes ------------------------------------------------------------------------------------


def shape(items: Sequence[Any], flags: int) -> Shape:
    """Return how a sequence begins."""
    first = 0
    for item in items:
        begins = _item_shape(item, flags)
        first |= begins.first
        if not begins.nullable:
            return Shape(first, False)
    return Shape(first, True)


def _item_shape(item: Any, flags: int) -> Shape:
    operation, value = item
    mask = _characters(operation, value, flags)
    if mask is not None:
        return Shape(mask, False)
    match str(operation):
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            inner = shape(value[2], flags)
            return Shape(inner.first, inner.nullable or value[0] == 0)
        case "BRANCH":
            shapes = [shape(branch, flags) for branch in value[1]]
            first = 0
            for each in shapes:
                first |= each.first
            return Shape(first, any(each.nullable for each in shapes))
        case "SUBPATTERN" | "ATOMIC_GROUP":
            return shape(_inner(operation, value)[0], flags)
        case "ASSERT" | "ASSERT_NOT":
            return Shape(_ALL, True)  # it may look far before the next character decides
        case _:
            return Shape(0, True)  # the rest has no width


def always_matches(item: Any) -> bool:
    """Return whether an item can never fail, so that nothing before it is ever tried again."""
    operation, value = item
    match str(operation):
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            return bool(value[0] == 0)
        case "SUBPATTERN" | "ATOMIC_GROUP":
            return all(map(always_matches, _inner(operation, value)[0]))
        case "BRANCH":
            return any(all(map(always_matches, branch)) for branch in value[1])
        case _:
            return False


# --- Estimates ---------------------------------------------------------------------------------


class Estimator:
    """Estimates parts of one pattern on texts in which a run of `mask` has at most `run(mask)`."""

    def __init__(self, flags: int, run: Callable[[int], int]) -> None:
        self._flags = flags
        self._run = run

    def sequence(self, items: Sequence[Any], follow: int) -> Estimate:
        """Return the estimate of items one after another, `follow` being what can come next.

        Raises:
            ValueError: the time may be exponential, or cannot be told.
        """
        total = Estimate()
        for item in reversed(items):
            part = self._item(item, follow)
            total = Estimate(
                part.ways * total.ways,
                part.cost + part.ways * total.cost,
                part.size + total.size,
                part.look + total.look,
                part.alphabet | total.alphabet,
            )
            begins = _item_shape(item, self._flags)
            follow = begins.first | (follow if begins.nullable else 0)
        return total

    def _item(self, item: Any, follow: int) -> Estimate:
        operation, value = item
        mask = _characters(operation, value, self._flags)
        if mask is not None:
            return Estimate(1, 1, 1, 0, mask)
        match str(operation):
            case "AT":
                return Estimate(1, 1, 1)
            case "SUBPATTERN":
                return self.sequence(value[3], follow)
            case "ATOMIC_GROUP":
                return self.sequence(value, follow)._replace(ways=1)
            case "BRANCH":
                return self._branch(value[1], follow)
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                return self._repeat(value[0], value[1], value[2], follow)
            case "ASSERT" | "ASSERT_NOT":
                inner = self.sequence(value[1], 0)
                return Estimate(1, inner.cost, 1, inner.cost)
            case "FAILURE":  # (?!)
                return Estimate(1, 1, 1)
            case _:
                raise ValueError(
                    "a pattern with a backreference or a condition cannot be bounded in time; "
                    "match the parts in separate groups and compare those"
                )

    def _branch(self, branches: Sequence[Sequence[Any]], follow: int) -> Estimate:
        parts = [self.sequence(branch, follow) for branch in branches]
        seen, disjoint = 0, True
        for branch in branches:
            begins = shape(branch, self._flags)
            first = begins.first | (follow if begins.nullable else 0)
            disjoint = disjoint and not first & seen
            seen |= first
        alphabet = 0
        for part in parts:
            alphabet |= part.alphabet
        return Estimate(
            (max if disjoint else sum)(part.ways for part in parts),
            sum(part.cost for part in parts) + len(parts),
            sum(part.size for part in parts) + len(parts),
            sum(part.look for part in parts),
            alphabet,
        )

    def _repeat(self, least: int, most: int, body: Sequence[Any], follow: int) -> Estimate:
        begins = shape(body, self._flags)
        part = self.sequence(body, begins.first | follow)
        unbounded = most is _constants.MAXREPEAT
        if unbounded and begins.nullable:
            raise ValueError(
                "a repeat repeats something that may be empty, as in (a*)*; "
                "let each round match at least one character"
            )
        if unbounded and part.ways > 1:
            raise ValueError(
                "a repeat repeats something that can match the same text in several ways, as in "
                "(a+)+ or (a|ab)*, which may take exponential time; make the next character "
                "decide, as in (a+,)+"
            )
        longest = max(self._run(part.alphabet), least)
        if begins.nullable or part.ways > 1:
            rounds = int(most)
        else:
            rounds = longest if unbounded else min(longest, int(most))
        decided = not begins.first & follow and not begins.nullable
        exits = 1 if decided or least == most else rounds - min(least, rounds) + 1
        ways = _power(part.ways, rounds)
        if part.ways == 1:
            # What is consumed is consumed once, and a round that fails is the last.
            cost = 2 * (rounds + 1) * (part.size + part.look) + part.cost
        else:
            cost = part.cost * ways * (rounds + 1)
        size = 2 * part.size + 1  # for each character, however many rounds
        return Estimate(exits * ways, cost, size, cost * bool(part.look), part.alphabet)


def _power(base: float, exponent: int) -> float:
    return base**exponent if exponent * math.log2(base) < 1_000 else math.inf
