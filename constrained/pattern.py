r"""Regular expressions, as Python's `re` reads them, lowered to EBNF.

xgrammar has a converter of its own. It is not used, because some of what it takes it takes
wrongly: measured on 0.2.8, `a^b` matches "ab", `.` matches a newline, `\A`, `\07` and `[^]a]`
mean other things, and in a JSON string a pattern can emit a raw quote. So CPython's own parser
reads the pattern, and each construct is lowered here or refused by name:

* lowered exactly: literals, escapes, sets, groups (named too), alternation, greedy and lazy
  repetition (the set of whole matches is the same), `.`, `(?s)`, `(?x)`, and `^ $ \A \Z` where
  they can only mean an end of the text;
* lowered to less: `\d \w \s` are ASCII, `(?i)` folds ASCII letters alone. Everything generated
  still matches in Python;
* refused: lookaround, back-references, conditionals, `\b`, atomic groups, possessive repetition,
  `(?m)`, anchors elsewhere.

Chosen against interegular's automata: they blow up on counted repetition (`.*a.{200}`), which
xgrammar's Earley parser does not. `re._parser` is private to CPython but has kept its tree since
2.x; a test pins what is used of it.
"""

from __future__ import annotations

import enum
import re
import sys
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Any, Protocol

from .ebnf import ALL, EMPTY, Charset, alternation, charset, complement, one_of, repeated
from .errors import LimitError, MalformedError, UnsatisfiableError, UnsupportedError

__all__ = ["MAX_PATTERN_CHARS", "MAX_REPEAT", "lower_pattern"]

MAX_PATTERN_CHARS = 16_384
MAX_REPEAT = 100_000  # of one repetition and of nested ones together; a forced run can be so long
MAX_NESTED_GROUPS = 2  # groups that repeat without bound inside each other; see `_repeat`

_parser: Any = import_module("re._parser")  # typeshed does not know it

Item = tuple[Any, Any]  # (operation, argument) of the parser's tree


class Spelling(Protocol):
    """How characters are written as EBNF."""

    def one(self, chars: Charset) -> str:
        """Return an expression for one character of a set, which is not empty."""
        ...

    def many(self, chars: Charset, low: int, high: int | None) -> str:
        """Return an expression for `low` to `high` characters of a set; None is no bound."""
        ...


class Plain:
    """Each character stands for itself."""

    def one(self, chars: Charset) -> str:
        """Return a character class."""
        return one_of(chars)

    def many(self, chars: Charset, low: int, high: int | None) -> str:
        """Return a repeated character class."""
        return repeated(one_of(chars), low, high)


class Edge(enum.Enum):
    """What lies beyond one end of a sub-pattern."""

    TEXT = "the end of the text"
    SEARCH = "any text, unless an anchor says otherwise"
    INSIDE = "more of the pattern: an anchor cannot match"


def lower_pattern(
    pattern: str,
    *,
    spelling: Spelling | None = None,
    search: bool = False,
    min_length: int = 0,
    max_length: int | None = None,
) -> str:
    """Return an EBNF expression for the texts that match.

    Args:
        pattern: as for `re.compile`.
        spelling: how characters are written; None for plainly. A JSON string escapes some of them.
        search: match anywhere in the text (`re.search`, JSON Schema's `pattern`) instead of all
            of it.
        min_length: in characters. Bounds on the length are met where the pattern has at most one
            part of varying length, and that one repeats a part of fixed length.
        max_length: likewise; None for no bound.

    Raises:
        MalformedError: `re` does not accept the pattern.
        UnsupportedError: a construct in it, which the message names, or the bounds, cannot be
            enforced.
        UnsatisfiableError: nothing matches within the bounds.
        LimitError: too long, too deep, or too much repetition.
    """
    if len(pattern) > MAX_PATTERN_CHARS:
        raise LimitError(
            f"the pattern has {len(pattern):,} characters; {MAX_PATTERN_CHARS:,} are allowed",
            kind="regex",
        )
    try:
        tree = _parser.parse(pattern)
        _refuse_multiline(tree.state.flags)
        edge = Edge.SEARCH if search else Edge.TEXT
        items: Sequence[Item] = list(tree)
        lowering = _Lowering(spelling or Plain())
        if min_length or max_length is not None:
            items, edge = _fit(items, tree.state, edge, min_length, max_length)
        return lowering.sequence(items, tree.state.flags, edge, edge)
    except re.error as error:
        raise MalformedError(
            f"{pattern!r} is not a regular expression: {error}", kind="regex"
        ) from error
    except (OverflowError, RecursionError) as error:
        raise LimitError(f"the pattern nests or repeats too much: {error}", kind="regex") from error


class _Lowering:
    """One walk over a pattern's tree."""

    def __init__(self, spelling: Spelling) -> None:
        self._spelling = spelling
        self._repeats = 1  # product of the bounds around the current place
        self._groups = 0  # unbounded repeats of groups around it

    def sequence(self, items: Sequence[Item], flags: int, left: Edge, right: Edge) -> str:
        """Lower a concatenation, resolving the anchors at its ends."""
        begin, end = 0, len(items)
        while begin < end and _is_anchor(items[begin], _BEGINNINGS, left):
            begin, left = begin + 1, Edge.TEXT
        while begin < end and _is_anchor(items[end - 1], _ENDS, right):
            end, right = end - 1, Edge.TEXT
        if begin == end:
            return (
                EMPTY if left is right is Edge.TEXT or Edge.INSIDE in (left, right) else self._any()
            )
        parts = []
        if left is Edge.SEARCH and not _has_alternatives(items[begin]):
            parts.append(self._any())
            left = Edge.INSIDE
        for index in range(begin, end):
            item_left = left if index == begin else Edge.INSIDE
            item_right = right if index == end - 1 else Edge.INSIDE
            parts.append(self._item(items[index], flags, item_left, item_right))
        if right is Edge.SEARCH and not _has_alternatives(items[end - 1]):
            parts.append(self._any())
        return parts[0] if len(parts) == 1 else "(" + " ".join(parts) + ")"

    def _item(self, item: Item, flags: int, left: Edge, right: Edge) -> str:
        operation, argument = item
        match operation.name:
            case name if name in _ONE_CHAR:
                return self._spelling.one(self._chars(item, flags))
            case "BRANCH":
                return alternation(
                    [self.sequence(list(o), flags, left, right) for o in argument[1]]
                )
            case "SUBPATTERN":
                _, added, removed, body = argument
                _refuse_multiline(added)
                return self.sequence(list(body), (flags | added) & ~removed, left, right)
            case "MAX_REPEAT" | "MIN_REPEAT":
                low, high, body = argument
                return self._repeat(low, high, body, flags)
            case "AT":
                raise _refused(
                    _AT_NAMES[argument.name],
                    "Anchors can stand where they mean an end of the text.",
                )
            case name:
                raise _refused(*_REFUSED[name])

    def _repeat(self, low: int, high: int, body: Sequence[Item], flags: int) -> str:
        """Lower a repetition, with `(x+)*` made `x*`.

        How often groups repeat without bound inside each other is limited: where the levels are
        ambiguous, each adds a power of the text's length to what a token costs xgrammar's parser.
        A token of `(((ab?)+b?)+b?)+` took seconds after a few hundred.
        """
        body = _without_parentheses(body)
        while _is_unbounded(low, high) and len(body) == 1 and _is_repeat(body[0]):
            inner_low, inner_high, inner_body = body[0][1]
            if not _is_unbounded(inner_low, inner_high):
                break
            low, body = low * inner_low, _without_parentheses(inner_body)
        most = None if high == _parser.MAXREPEAT else high
        around = self._repeats, self._groups
        self._repeats *= max(low if most is None else most, 1)
        if self._repeats > MAX_REPEAT:
            raise LimitError(
                f"the pattern repeats a part {self._repeats:,} times; {MAX_REPEAT:,} are allowed",
                kind="regex",
            )
        if len(body) == 1 and body[0][0].name in _ONE_CHAR:
            expression = self._spelling.many(self._chars(body[0], flags), low, most)
        else:
            self._groups += most is None
            if self._groups > MAX_NESTED_GROUPS:
                raise LimitError(
                    f"more than {MAX_NESTED_GROUPS} groups repeat without bound inside each other",
                    kind="regex",
                    hint="Bound the inner ones: (...){0,20}.",
                )
            inner = self.sequence(body, flags, Edge.INSIDE, Edge.INSIDE)
            expression = repeated(inner, low, most)
        self._repeats, self._groups = around
        return expression

    def _chars(self, item: Item, flags: int) -> Charset:
        if not (chars := _chars(item, flags)):
            raise UnsatisfiableError("a set of the pattern has no characters", kind="regex")
        return chars

    def _any(self) -> str:
        return self._spelling.many(ALL, 0, None)


def _fit(
    items: Sequence[Item], state: Any, edge: Edge, low: int, high: int | None
) -> tuple[Sequence[Item], Edge]:
    """Narrow the one part of varying length so that the whole has `low` to `high` characters."""
    items = _without_parentheses(items)
    if edge is Edge.SEARCH:
        items = [
            *([] if _is_anchor(items[0] if items else None, _BEGINNINGS, edge) else [_PADDING]),
            *items,
            *([] if _is_anchor(items[-1] if items else None, _ENDS, edge) else [_PADDING]),
        ]
    widths = [_width(item, state) for item in items]
    least, most = sum(w[0] for w in widths), sum(w[1] for w in widths)
    if least >= low and (high is None or most <= high):
        return items, Edge.TEXT
    varying = [index for index, (least_, most_) in enumerate(widths) if least_ != most_]
    if len(varying) == 1:
        index = varying[0]
        operation, argument = items[index]
        fixed = least - widths[index][0]
        unit = (
            _width((operation, (1, 1, argument[2])), state) if _is_repeat(items[index]) else (0, 1)
        )
        if unit[0] == unit[1]:
            first = max(argument[0], -(-(low - fixed) // unit[0]))
            last = argument[1] if high is None else min(argument[1], (high - fixed) // unit[0])
            if first > last:
                raise UnsatisfiableError(
                    "the length bounds leave nothing of the pattern", kind="regex"
                )
            fitted = (operation, (first, last, argument[2]))
            return [*items[:index], fitted, *items[index + 1 :]], Edge.TEXT
    if not varying:
        raise UnsatisfiableError("the length bounds leave nothing of the pattern", kind="regex")
    raise UnsupportedError(
        "a pattern with length bounds is enforced only if one part of it varies in length",
        kind="regex",
        hint="Write the bounds into the pattern: ^[a-z]{2,8}$.",
    )


def _width(item: Item, state: Any) -> tuple[int, int]:
    least, most = _parser.SubPattern(state, [item]).getwidth()
    return int(least), int(most)


def _without_parentheses(items: Sequence[Item]) -> Sequence[Item]:
    """Return what a group holds, if the items are but one group without flags."""
    while len(items) == 1 and items[0][0].name == "SUBPATTERN" and not any(items[0][1][1:3]):
        items = list(items[0][1][3])
    return list(items)


def _is_unbounded(low: int, high: int) -> bool:
    """Whether a repetition is `*` or `+`."""
    return low <= 1 and bool(high == _parser.MAXREPEAT)


def _is_repeat(item: Item) -> bool:
    return item[0].name in ("MAX_REPEAT", "MIN_REPEAT")


def _has_alternatives(item: Item) -> bool:
    """Whether an open end is left to the item, whose alternatives may each have an anchor."""
    return item[0].name in ("BRANCH", "SUBPATTERN")


def _is_anchor(item: Item | None, names: tuple[str, ...], edge: Edge) -> bool:
    return (
        item is not None
        and edge is not Edge.INSIDE
        and item[0].name == "AT"
        and item[1].name in names
    )


def _chars(item: Item, flags: int) -> Charset:
    """Return the set that a one-character item matches."""
    operation, argument = item
    ignore_case = bool(flags & re.IGNORECASE)
    match operation.name:
        case "LITERAL":
            return _folded(charset([(argument, argument)]), ignore_case)
        case "ANY":
            return ALL if flags & re.DOTALL else complement(charset([(10, 10)]))
        case "NOT_LITERAL":
            members, negated = [(_parser.LITERAL, argument)], True
        case _:
            negated = argument[0][0].name == "NEGATE"
            members = argument[1:] if negated else argument
    if negated and ignore_case:
        raise _refused("a negated set under (?i)", "List both cases instead.")
    ranges: list[tuple[int, int]] = []
    for kind, value in members:
        match kind.name:
            case "LITERAL":
                ranges.append((value, value))
            case "RANGE":
                ranges.append(value)
            case _:
                ranges.extend(_category(value.name, widest=negated))
    chars = charset(ranges)
    return complement(chars) if negated else _folded(chars, ignore_case)


def _category(name: str, *, widest: bool) -> Charset:
    r"""Return \d, \w, \s or an opposite: less than Python's, or more where it is to be negated."""
    _, _, rest = name.partition("_")
    opposite = rest.startswith("NOT_")
    word = rest.removeprefix("NOT_")
    unicode_wide = widest != opposite
    chars = _unicode_category(word) if unicode_wide else _ASCII[word]
    return complement(chars) if opposite else chars


@cache
def _unicode_category(word: str) -> Charset:
    matches = re.compile({"DIGIT": r"\d", "WORD": r"\w", "SPACE": r"\s"}[word]).match
    codes = range(sys.maxunicode + 1)
    return charset((code, code) for code in codes if matches(chr(code)))


def _folded(chars: Charset, ignore_case: bool) -> Charset:
    if not ignore_case:
        return chars
    other = [
        (code ^ 32, code ^ 32)
        for low, high in chars
        for code in range(low, min(high, 127) + 1)
        if chr(code).isalpha()
    ]
    return charset([*chars, *other])


def _refuse_multiline(flags: int) -> None:
    if flags & re.MULTILINE:
        raise _refused("(?m)", "Write \\n where a line ends.")


def _refused(construct: str, hint: str = "") -> UnsupportedError:
    return UnsupportedError(f"{construct} cannot be enforced", kind="regex", hint=hint)


_ONE_CHAR = ("LITERAL", "NOT_LITERAL", "ANY", "IN")
_ASCII: dict[str, Charset] = {
    "DIGIT": ((48, 57),),
    "WORD": ((48, 57), (65, 90), (95, 95), (97, 122)),
    "SPACE": ((9, 13), (32, 32)),
}
_BEGINNINGS = ("AT_BEGINNING", "AT_BEGINNING_STRING")
_ENDS = ("AT_END", "AT_END_STRING")
_AT_NAMES = {
    "AT_BEGINNING": "^ inside the pattern",
    "AT_BEGINNING_STRING": "\\A inside the pattern",
    "AT_END": "$ inside the pattern",
    "AT_END_STRING": "\\Z inside the pattern",
    "AT_BOUNDARY": "\\b",
    "AT_NON_BOUNDARY": "\\B",
}
_REFUSED = {
    "ASSERT": ("lookahead or lookbehind", "Spell out what may follow."),
    "ASSERT_NOT": ("negative lookahead or lookbehind", "Spell out what may follow."),
    "FAILURE": ("a part that never matches", ""),
    "GROUPREF": ("a back-reference", "Generate the two parts as two variables."),
    "GROUPREF_EXISTS": ("a conditional group", "Write the cases as alternatives."),
    "ATOMIC_GROUP": ("an atomic group", "Use (?:...)."),
    "POSSESSIVE_REPEAT": ("possessive repetition", "Use a greedy one."),
}
_PADDING: Item = _parser.parse("[^\ud800]*")[0]  # any text: a surrogate is no character anyway
