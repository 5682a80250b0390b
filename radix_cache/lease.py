"""What a request holds of the cache."""

from __future__ import annotations

import numpy as np

from .namespace import Namespace
from .node import Claim, Node, Slots


class Lease:
    """A locked path of the tree, and private slots after it. `RadixCache` alone changes it.

    Attributes:
        namespace: whose tree it is in.
        claim: how it wants what it leaves behind to be kept.
        num_cached: leading tokens that were cached when the lease was acquired.
        locked: leading tokens whose slots are in the tree now; the slots after them are private.
        node: where the locked path ends.
    """

    __slots__ = ("_buffer", "_length", "claim", "locked", "namespace", "node", "num_cached")

    def __init__(self, namespace: Namespace, node: Node, slots: Slots, claim: Claim) -> None:
        self.namespace = namespace
        self.claim = claim
        self.node = node
        self.num_cached = self.locked = self._length = len(slots)
        self._buffer = slots

    def __len__(self) -> int:
        """Return the number of slots, locked and private."""
        return self._length

    def __repr__(self) -> str:
        private = len(self) - self.locked
        return f"Lease({self.namespace.label}: {self.locked} locked, {private} private)"

    @property
    def slots(self) -> Slots:
        """The slot of each token, [n] i32: a view, to be read again after `extend` or `commit`."""
        return self._buffer[: self._length]

    @property
    def private(self) -> Slots:
        """The slots that no other lease can see, [n - locked] i32: a view too."""
        return self._buffer[self.locked : self._length]

    def append(self, slots: Slots) -> None:
        """Add private slots. O(1) amortised: the buffer doubles when it is full."""
        length = self._length + len(slots)
        if length > len(self._buffer):
            buffer = np.empty(max(length, 2 * self._length), dtype=np.int32)
            buffer[: self._length] = self.slots
            self._buffer = buffer
        self._buffer[self._length : length] = slots
        self._length = length

    def cut(self, length: int) -> Slots:
        """Drop the slots from `length` on, and return them: a view that the next append ends."""
        dropped = self._buffer[length : self._length]
        self._length = length
        return dropped
