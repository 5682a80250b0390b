"""A grammar as a recursive transition network over bytes, with the cheapest way out of each node.

A node is a place in a rule. An edge reads a byte of a set, nothing, or what a rule derives: it then
leads into the rule and comes back behind it. Rules are built from their ends, so that what is
common behind alternatives is shared. The price of a node is a number of tokens that surely suffice
to spell the rest of its rule: a piece of a literal has the tokens that spell it alone, any other
byte one. Prices are found by Knuth's generalisation of Dijkstra's algorithm (1977).

A bound from above on a repetition that is far off its lower one can be left out: what ends a text
never repeats more than it must.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from .ebnf import Charset
from .errors import LimitError, UnsupportedError
from .expressions import Choice, Expression, Literal, OneOf, Reference, Repeat, Rules
from .expressions import Sequence as Concatenation
from .special import encoded

__all__ = ["Network", "Way"]

MAX_NODES = 200_000  # some 0.2 KB each
ROOT = "root"
UNSETTLED = 1 << 40

ByteSet = int  # bit b: byte b is in it
Step = tuple[bytes, int, int]  # the fields of a `Way`; there are many
ONE_BYTE: tuple[ByteSet, ...] = tuple(1 << byte for byte in range(256))


@dataclass(frozen=True, slots=True)
class Way:
    """The first step of the cheapest way from a node to the end of its rule."""

    text: bytes = b""  # to be written
    rule: int = -1  # the first node of a rule to go through; -1: none
    after: int = -1  # the node that follows


@dataclass(frozen=True, eq=False, slots=True)
class Network:
    """The nodes of a grammar, by number.

    Attributes:
        start: the first node of `root`.
        reads: for each node, what it reads and where that leads.
        silent: where it leads without reading.
        calls: the rules that it leads into (their first node), and where it goes on behind each.
        is_end: whether its rule may end at it.
        price: how many tokens suffice from it to the end of its rule.
        ways: how: fields of `Way`; None at an end, and inside literals.
        literals: in rising order, (first node, text, node behind). The nodes of the bytes after
            the first are those just below it, one after the other.
    """

    start: int
    reads: list[tuple[tuple[ByteSet, int], ...]]
    silent: list[tuple[int, ...]]
    calls: list[tuple[tuple[int, int], ...]]
    is_end: list[bool]
    price: list[int]
    ways: list[Step | None]
    literals: list[tuple[int, bytes, int]]

    def way(self, node: int) -> Way | None:
        """Return the cheapest way from a node; None at an end."""
        if (step := self.ways[node]) is not None:
            return Way(*step)
        index = bisect_left(self.literals, (node,))
        if index < len(self.literals):
            first, text, after = self.literals[index]
            if first - len(text) < node:
                return Way(text[first - node :], after=after)
        return None

    @classmethod
    def of(
        cls, rules: Rules, counts: Callable[[bytes], Sequence[int]], *, max_spread: int
    ) -> Network:
        """Build it.

        Args:
            rules: with one named `root`.
            counts: of a text, from each byte on, how many tokens spell the rest alone.
            max_spread: of a repetition's bounds, up to which the upper one is kept.

        Raises:
            UnsupportedError: a rule is missing, or `root` derives no finite text.
            LimitError: there are more than `MAX_NODES` nodes.
        """
        draft = _Draft(rules, max_spread)
        start = draft.rule(ROOT)
        draft.finish()
        price, ways = _prices(draft, counts)
        if ways[start] is None and not draft.is_end[start]:
            raise UnsupportedError("the grammar derives no finite text", kind="ebnf")
        places = (draft.reads, draft.silent, draft.calls, draft.is_end)
        return cls(start, *places, price, ways, draft.literals)


class _Draft:
    """Nodes in the making. Every rule is built once, when it is first met."""

    def __init__(self, rules: Rules, max_spread: int) -> None:
        self._rules = rules
        self._max_spread = max_spread
        self._starts: dict[str, int] = {}
        self._unbuilt: list[tuple[str, int]] = []
        self.reads: list[tuple[tuple[ByteSet, int], ...]] = []
        self.silent: list[tuple[int, ...]] = []
        self.calls: list[tuple[tuple[int, int], ...]] = []
        self.is_end: list[bool] = []
        self.literals: list[tuple[int, bytes, int]] = []  # (first node, text, node behind)

    def rule(self, name: str) -> int:
        """Return the first node of a rule."""
        if name not in self._starts:
            if name not in self._rules:
                raise UnsupportedError(f"there is no rule {name!r}", kind="ebnf")
            self._starts[name] = self._node()
            self._unbuilt.append((name, self._starts[name]))
        return self._starts[name]

    def finish(self) -> None:
        """Build what was met."""
        while self._unbuilt:
            name, start = self._unbuilt.pop()
            end = self._node()
            self.is_end[end] = True
            self.silent[start] = (self._before(self._rules[name], end),)

    def _node(
        self,
        reads: tuple[tuple[ByteSet, int], ...] = (),
        silent: tuple[int, ...] = (),
        calls: tuple[tuple[int, int], ...] = (),
    ) -> int:
        if len(self.reads) >= MAX_NODES:
            raise _limited()
        self.reads.append(reads)
        self.silent.append(silent)
        self.calls.append(calls)
        self.is_end.append(False)
        return len(self.reads) - 1

    def _before(self, expression: Expression, end: int) -> int:
        """Add an expression; return the node before it, given the one behind it."""
        match expression:
            case Literal(text=text):
                return self._literal(encoded(text), end)
            case OneOf(chars=chars):
                return self._set(chars, end)
            case Concatenation(parts=parts):
                for part in reversed(parts):
                    end = self._before(part, end)
                return end
            case Choice(options=options):
                return self._node(silent=tuple(self._before(option, end) for option in options))
            case Repeat(part=part, low=low, high=high):
                return self._repeat(part, low, high, end)
            case Reference(rule=rule):
                return self._node(calls=((self.rule(rule), end),))

    def _literal(self, text: bytes, end: int) -> int:
        if not text:
            return end
        size, node = len(text), len(self.reads)
        if node + size > MAX_NODES:
            raise _limited()
        nodes = (end, *range(node, node + size - 1))
        self.reads += [((ONE_BYTE[b], n),) for b, n in zip(reversed(text), nodes, strict=True)]
        self.silent += [()] * size
        self.calls += [()] * size
        self.is_end += [False] * size
        self.literals.append((node + size - 1, text, end))
        return node + size - 1

    def _set(self, chars: Charset, end: int) -> int:
        shared: dict[tuple[ByteSet, ...], int] = {(): end}
        return self._node(
            tuple((first, self._tail(tuple(rest), shared)) for first, *rest in _spellings(chars))
        )

    def _tail(self, rest: tuple[ByteSet, ...], shared: dict[tuple[ByteSet, ...], int]) -> int:
        if rest not in shared:
            after = self._tail(rest[1:], shared)
            shared[rest] = self._node(((rest[0], after),))
        return shared[rest]

    def _repeat(self, part: Expression, low: int, high: int | None, end: int) -> int:
        if high is None or high - low > self._max_spread:
            loop = self._node()
            self.silent[loop] = (end, self._before(part, loop))
            end = loop
        else:
            final = end
            for _ in range(high - low):
                end = self._node(silent=(final, self._before(part, end)))
        for _ in range(low):
            end = self._before(part, end)
        return end


def _limited() -> LimitError:
    return LimitError(f"the grammar has more than {MAX_NODES:,} places", kind="ebnf")


def _prices(
    draft: _Draft, counts: Callable[[bytes], Sequence[int]]
) -> tuple[list[int], list[Step | None]]:
    """Return the price of each node and the way that has it; cheapest nodes are settled first."""
    size = len(draft.reads)
    price, best = [UNSETTLED] * size, [UNSETTLED] * size
    ways: list[Step | None] = [None] * size
    arrivals = _Arrivals(draft, counts)
    heap = [(0, node) for node in range(size) if draft.is_end[node]]
    for _, node in heap:
        best[node] = 0
    while heap:
        cost, node = heapq.heappop(heap)
        if price[node] != UNSETTLED:
            continue
        price[node] = cost
        offers = [
            (before, cost + more, text, -1, node)
            for before, more, text in arrivals.direct.get(node, ())
        ]
        for before, after in arrivals.callers.get(node, ()):
            if price[after] != UNSETTLED:
                offers.append((before, cost + price[after], b"", node, after))
        for before, rule in arrivals.returns.get(node, ()):
            if price[rule] != UNSETTLED:
                offers.append((before, cost + price[rule], b"", rule, node))
        for before, total, text, rule, after in offers:
            if total < best[before]:
                best[before], ways[before] = total, (text, rule, after)
                heapq.heappush(heap, (total, before))
    for first, text, after in draft.literals:
        rest = price[after]
        found = [min(rest + count, UNSETTLED) for count in reversed(counts(text))]
        price[first - len(text) + 1 : first + 1] = found
    return price, ways


class _Arrivals:
    """What leads to each node, those inside literals left out: their bytes come one after another.

    Attributes:
        direct: (node before, tokens, what is written) of each edge that is no call.
        callers: of a rule's first node, the calls: (node before, node behind).
        returns: of a node behind calls, these: (node before, the rule's first node).
    """

    def __init__(self, draft: _Draft, counts: Callable[[bytes], Sequence[int]]) -> None:
        self.direct: dict[int, list[tuple[int, int, bytes]]] = {}
        self.callers: dict[int, list[tuple[int, int]]] = {}
        self.returns: dict[int, list[tuple[int, int]]] = {}
        inside = bytearray(len(draft.reads))
        for first, text, after in draft.literals:
            inside[first - len(text) + 1 : first + 1] = b"\x01" * len(text)
            self.direct.setdefault(after, []).append((first, counts(text)[0], text))
        for node in range(len(draft.reads)):
            if inside[node]:
                continue
            for bytes_, after in draft.reads[node]:
                self.direct.setdefault(after, []).append((node, 1, _plainest(bytes_)))
            for after in draft.silent[node]:
                self.direct.setdefault(after, []).append((node, 0, b""))
            for rule, after in draft.calls[node]:
                self.callers.setdefault(rule, []).append((node, after))
                self.returns.setdefault(after, []).append((node, rule))


_PLAIN = [*b"a0A 1b", *range(0x20, 0x7F)]  # tokenizers join letters, digits, spaces with others


@lru_cache(maxsize=4096)
def _plainest(bytes_: ByteSet) -> bytes:
    lowest = (bytes_ & -bytes_).bit_length() - 1
    return bytes([next((byte for byte in _PLAIN if bytes_ >> byte & 1), lowest)])


@lru_cache(maxsize=1024)
def _spellings(chars: Charset) -> Sequence[tuple[ByteSet, ...]]:
    """Return the byte sets, one after the other, that spell characters of a set in UTF-8."""
    found: list[tuple[ByteSet, ...]] = []
    for low, high in chars:
        for first, last in ((0, 0x7F), (0x80, 0x7FF), (0x800, 0xFFFF), (0x10000, 0x10FFFF)):
            if max(low, first) <= min(high, last):
                found += _between(chr(max(low, first)).encode(), chr(min(high, last)).encode())
    merged: dict[tuple[ByteSet, ...], ByteSet] = {}
    for spelling in found:
        merged[spelling[1:]] = merged.get(spelling[1:], 0) | spelling[0]
    return tuple((first, *rest) for rest, first in merged.items())


def _between(low: bytes, high: bytes) -> list[tuple[ByteSet, ...]]:
    """Return the spellings between two of the same length."""
    if len(low) == 1:
        return [(_bytes(low[0], high[0]),)]
    rest = len(low) - 1
    if low[0] == high[0]:
        return [(1 << low[0], *tail) for tail in _between(low[1:], high[1:])]
    first, last = low[0], high[0]
    found: list[tuple[ByteSet, ...]] = []
    if low[1:] != b"\x80" * rest:
        found += [(1 << first, *tail) for tail in _between(low[1:], b"\xbf" * rest)]
        first += 1
    if high[1:] != b"\xbf" * rest:
        found += [(1 << last, *tail) for tail in _between(b"\x80" * rest, high[1:])]
        last -= 1
    if first <= last:
        found.append((_bytes(first, last), *[_bytes(0x80, 0xBF)] * rest))
    return found


def _bytes(low: int, high: int) -> ByteSet:
    return (1 << high + 1) - (1 << low)
