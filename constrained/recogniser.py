"""Where a text stands in a grammar, and the cheapest text that completes it from there.

A position is a set of places: a node of the network, and the nodes to come back to behind the rules
that are open (a stack whose cells are shared). Positions are made when they are first met and kept,
as are the steps between them, so following a text costs a look-up a byte. This is a deterministic
pushdown automaton, built lazily from a graph-structured stack (Tomita, 1986).

The recogniser is never asked what is legal: masks are the back end's. It proposes completions, and
the back end's matcher verifies them (`completion.py`).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from .network import Network
from .spelling import IMPOSSIBLE, Speller

__all__ = ["Position", "Recogniser"]

MAX_PLACES = 4_000  # of one position
MAX_POSITIONS = 20_000  # that are kept
MAX_REACHES = 4  # that are kept, each with 4 bytes a token


class Cell:
    """A node to come back to, and those below it."""

    __slots__ = ("above", "below", "node", "price")

    def __init__(self, node: int, below: Cell | None, price: int) -> None:
        self.node = node
        self.below = below
        self.price = price  # of going on to the end from here, all cells below included
        self.above: dict[int, Cell] = {}


Place = tuple[int, Cell]


class Position:
    """A set of places that read bytes, and what follows from them.

    Attributes:
        is_accepting: whether the text may end here.
        price: tokens that suffice to complete the text; `IMPOSSIBLE` where no place is left.
    """

    __slots__ = ("_completion", "_ends", "_steps", "is_accepting", "places", "price", "tokens")

    def __init__(self, places: tuple[Place, ...], price: int, *, is_accepting: bool) -> None:
        self.places = places
        self.price = price
        self.is_accepting = is_accepting
        self.tokens: tuple[int, ...] | None = None  # that complete it, once they are asked for
        self._completion: bytes | None = None
        self._ends: list[tuple[Position, int]] | None = None
        self._steps: dict[int, Position] = {}  # by the class of a byte


class Reach:
    """Where each token of a vocabulary leads from a position.

    Attributes:
        positions: those that are met on the way.
        of_token: [vocab] i32 index in `positions`; -1: nowhere.
    """

    __slots__ = ("of_token", "positions")

    def __init__(self, positions: list[Position], of_token: NDArray[np.int32]) -> None:
        self.positions = positions
        self.of_token = of_token

    def ends(self) -> list[tuple[Position, int]]:
        """Return each position that a whole token leads to, with the first such token."""
        reached, tokens = np.unique(self.of_token, return_index=True)
        return [
            (self.positions[index], token)
            for index, token in zip(reached.tolist(), tokens.tolist(), strict=True)
            if index >= 0
        ]


class Recogniser:
    """Follows texts through a network. For one thread at a time."""

    def __init__(self, network: Network, speller: Speller) -> None:
        self._network = network
        self._speller = speller
        self._class_of, self._members = _classes(network)
        self._table = bytes(self._class_of)
        self._kinds_of_token: NDArray[np.uint64] | None = None
        self._reaches: dict[Position, Reach] = {}
        self._known: dict[frozenset[Place], Position] = {}
        self.nowhere = Position((), IMPOSSIBLE, is_accepting=False)
        self._bottom = Cell(-1, None, 0)
        self.start = self._position([(network.start, self._bottom)])

    @property
    def num_nodes(self) -> int:
        """How many nodes its network has."""
        return len(self._network.reads)

    def after(self, position: Position, text: bytes) -> Position:
        """Return the position behind more text; `nowhere` if the grammar does not go on so."""
        for kind in text.translate(self._table):
            following = position._steps.get(kind)
            position = self._step(position, kind) if following is None else following
        return position

    def completion(self, position: Position) -> bytes:
        """Return the cheapest text that completes a position, which has places."""
        if position._completion is None:
            position._completion = b"" if position.is_accepting else self._written(position)
        return position._completion

    def reach(self, position: Position) -> Reach:
        """Return where each token leads. Cost: milliseconds for 128,000 tokens; some are kept."""
        if position not in self._reaches:
            while len(self._reaches) >= MAX_REACHES:
                del self._reaches[next(iter(self._reaches))]
            self._reaches[position] = self._reach(position)
        return self._reaches[position]

    def ends(self, position: Position) -> list[tuple[Position, int]]:
        """Return each position that one token leads to, with such a token; kept."""
        if position._ends is None:
            position._ends = self._reach(position).ends()
        return position._ends

    def _step(self, position: Position, kind: int) -> Position:
        member = self._members[kind]
        reads = self._network.reads
        found = [
            (after, cell)
            for node, cell in position.places
            for bytes_, after in reads[node]
            if bytes_ >> member & 1
        ]
        following = self._position(found) if found else self.nowhere
        position._steps[kind] = following
        return following

    def _position(self, places: Iterable[Place]) -> Position:
        """Return the position of some places and of all that is reached from them unread."""
        network, bottom = self._network, self._bottom
        seen = set(places)
        stack = list(seen)
        reading: list[Place] = []
        is_accepting = False
        while stack:
            node, cell = stack.pop()
            reached: list[Place] = [(after, cell) for after in network.silent[node]]
            for rule, after in network.calls[node]:
                reached.append((rule, self._pushed(after, cell)))
            if network.is_end[node]:
                if cell is bottom:
                    is_accepting = True
                else:
                    assert cell.below is not None
                    reached.append((cell.node, cell.below))
            if network.reads[node]:
                reading.append((node, cell))
            for place in reached:
                if place not in seen:
                    seen.add(place)
                    stack.append(place)
            if len(seen) > MAX_PLACES:  # left recursion, or ambiguity beyond use
                return self.nowhere
        key = frozenset(reading) | ({(-1, bottom)} if is_accepting else set())
        if key not in self._known:
            if len(self._known) >= MAX_POSITIONS:
                self._known.clear()
            prices = (network.price[node] + cell.price for node, cell in reading)
            price = 0 if is_accepting else min(prices, default=IMPOSSIBLE)
            self._known[key] = Position(tuple(reading), price, is_accepting=is_accepting)
        return self._known[key]

    def _pushed(self, node: int, cell: Cell) -> Cell:
        network = self._network
        if network.is_end[node] and not (
            network.silent[node] or network.calls[node] or network.reads[node]
        ):
            return cell  # a call at the end of a rule comes back behind the rule
        if node not in cell.above:
            cell.above[node] = Cell(node, cell, network.price[node] + cell.price)
        return cell.above[node]

    def _written(self, position: Position) -> bytes:
        price = self._network.price
        node, cell = min(position.places, key=lambda place: price[place[0]] + place[1].price)
        text = bytearray()
        stack: list[int] = []
        below: Cell | None = cell
        while below is not None and below.node >= 0:
            stack.append(below.node)
            below = below.below
        stack.reverse()
        stack.append(node)
        while stack:
            way = self._network.way(stack.pop())
            if way is not None:
                text += way.text
                stack.append(way.after)
                if way.rule >= 0:
                    stack.append(way.rule)
        return bytes(text)

    def _reach(self, position: Position) -> Reach:
        """Follow all tokens at once, byte by byte, through a table of the steps that are met.

        Tokens of bytes that all lead back to the position, most of those in a string, are told by
        their classes alone.
        """
        speller, width = self._speller, len(self._members)
        positions, numbers = [position], {position: 0}
        table = np.full((64, width), -1, dtype=np.int32)
        kinds = np.array(self._class_of, dtype=np.uint8)
        of_token = np.full(len(speller.lengths), -1, dtype=np.int32)
        circling = self._circling(position)
        of_token[circling] = 0
        tokens = np.flatnonzero((speller.lengths > 0) & ~circling)
        at = np.zeros(len(tokens), dtype=np.int32)
        depth = 0
        while len(tokens):
            kind = kinds[speller.data[speller.starts[tokens] + depth]]
            following = table[at, kind]
            if (unknown := following == -1).any():
                pairs = np.unique(at[unknown].astype(np.int64) * width + kind[unknown])
                for pair in pairs.tolist():
                    one, step = divmod(pair, width)
                    target = positions[one]._steps.get(step) or self._step(positions[one], step)
                    if target not in numbers:
                        numbers[target] = len(positions)
                        positions.append(target)
                    if len(positions) > len(table):
                        table = np.concatenate([table, np.full_like(table, -1)])
                    table[one, step] = -2 if target is self.nowhere else numbers[target]
                following = table[at, kind]
            depth += 1
            alive = following >= 0
            tokens, at = tokens[alive], following[alive]
            ended = speller.lengths[tokens] == depth
            of_token[tokens[ended]] = at[ended]
            tokens, at = tokens[~ended], at[~ended]
        return Reach(positions, of_token)

    def _circling(self, position: Position) -> NDArray[np.bool_]:
        """Return [vocab] whether every byte of a token leads from the position back to it."""
        width = len(self._members)
        back = sum(
            1 << kind
            for kind in range(width)
            if (position._steps.get(kind) or self._step(position, kind)) is position
        )
        if not back or width > 64:
            return np.zeros(len(self._speller.lengths), dtype=np.bool_)
        if self._kinds_of_token is None:
            speller = self._speller
            bits = np.left_shift(np.uint64(1), np.array(self._class_of, dtype=np.uint64))
            spelled = np.flatnonzero(speller.lengths)
            found = np.full(len(speller.lengths), np.iinfo(np.uint64).max, dtype=np.uint64)
            found[spelled] = np.bitwise_or.reduceat(bits[speller.data], speller.starts[spelled])
            self._kinds_of_token = found
        others = np.uint64((1 << 64) - 1 - back)
        circles: NDArray[np.bool_] = (self._kinds_of_token & others) == 0
        return circles


def _classes(network: Network) -> tuple[list[int], list[int]]:
    """Return the class of each byte, and a byte of each class: no set of the network cuts one."""
    sets = {bytes_ for reads in network.reads for bytes_, _ in reads}
    groups: dict[tuple[bool, ...], int] = {}
    class_of: list[int] = []
    members: list[int] = []
    for byte in range(256):
        key = tuple(bool(bytes_ >> byte & 1) for bytes_ in sets)
        if key not in groups:
            groups[key] = len(members)
            members.append(byte)
        class_of.append(groups[key])
    return class_of, members
