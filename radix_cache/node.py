"""One node of the tree, and the arrays that it is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .namespace import Namespace

Tokens: TypeAlias = NDArray[np.int32]  # [n] token ids
Slots: TypeAlias = NDArray[np.int32]  # [n] slots in the pool, one a token


class Claim(NamedTuple):
    """How a lease wants what it leaves in the tree to be kept. Of several, the highest counts."""

    priority: int = 0  # for the policy "priority": lower ones are evicted first
    ttl_s: float = inf  # counted from the release; then it is dropped, pressure or not


@dataclass(eq=False, slots=True)
class Node:
    """A run of tokens and the slots that hold their keys and values.

    A root has no tokens and no parent. `RadixTree.check` asserts the rest: tokens are whole
    pages, one slot each; a lease on a node is counted in each of its ancestors too. The buffers
    behind the two arrays are the node's own and have `room` for as many entries after the last.
    """

    namespace: Namespace
    key: bytes  # its first page, by which its parent finds it; a root's is empty
    tokens: Tokens = field(repr=False)  # [n]
    slots: Slots = field(repr=False)  # [n]
    parent: Node | None = field(repr=False)
    created: int  # ticks of the tree's clock: when its last token was committed
    last_used: int  # ticks: when a lease last took it or let it go
    created_s: float = 0.0  # on the clock of the cache, for people
    priority: int = 0  # the highest that a lease claimed
    expires_s: float = -inf  # the latest that a lease claimed as it let go
    leases: int = 0  # that end here or below
    hits: int = 0  # acquisitions that matched it
    room: int = 0
    children: dict[bytes, Node] = field(default_factory=dict[bytes, "Node"], repr=False)

    def __len__(self) -> int:
        """Return the number of tokens (a root is falsy: compare nodes with `is None`)."""
        return len(self.tokens)

    def append(self, tokens: Tokens, slots: Slots) -> None:
        """Copy `tokens` and `slots`, [n] i32 each, behind the node's own. O(n) amortised."""
        room = self.room if len(tokens) <= self.room else max(len(tokens), len(self))
        self.tokens = _joined(self.tokens, tokens, self.room, room)
        self.slots = _joined(self.slots, slots, self.room, room)
        self.room = room - len(tokens)

    def cut_head(self, count: int) -> tuple[Tokens, Slots]:
        """Remove the first `count` tokens, and return copies of them and their slots.

        O(count) amortised, however long the node is.
        """
        head = self.tokens[:count].copy(), self.slots[:count].copy()
        self._keep(slice(count, None), self.room)
        return head

    def cut_tail(self, start: int) -> Slots:
        """Remove the tokens from `start` on; return their slots, a view until the next append."""
        dropped = self.slots[start:]
        self._keep(slice(start), self.room + len(dropped))
        return dropped

    def _keep(self, part: slice, room: int) -> None:
        """Narrow both arrays, and copy them out of buffers more than twice their size.

        That bounds what cuts leave behind (one kept token could otherwise hold a prompt of
        100,000) at an amortised O(1) per token cut.
        """
        tokens, slots = self.tokens[part], self.slots[part]
        if _buffer(tokens).size > 2 * tokens.size:
            tokens, slots, room = tokens.copy(), slots.copy(), 0
        self.tokens, self.slots, self.room = tokens, slots, room


def common_prefix(a: Tokens, b: Tokens) -> int:
    """Return how many leading tokens of `a` and `b`, neither of them empty, are equal.

    One vectorised pass over the shorter: about 10 µs for 32,768 tokens. Comparing in growing
    blocks would spare work on an early mismatch and cost more on the usual full match.
    """
    count = min(len(a), len(b))
    differs = a[:count] != b[:count]
    first = int(differs.argmax())
    return first if differs[first] else count


def _buffer(view: NDArray[np.int32]) -> NDArray[np.int32]:
    return view if view.base is None else view.base


def _joined(
    view: NDArray[np.int32], more: NDArray[np.int32], room: int, new_room: int
) -> NDArray[np.int32]:
    """Return `view`, with `room` behind it, and `more` as one view; in place if `room` allows."""
    length, buffer = len(view) + len(more), _buffer(view)
    if room == new_room:
        start = buffer.size - room - len(view)
    else:
        buffer, start = np.empty(len(view) + new_room, dtype=np.int32), 0
        buffer[: len(view)] = view
    buffer[start + len(view) : start + length] = more
    return buffer[start : start + length]
