"""The free list of slots."""

from __future__ import annotations

import numpy as np

from .node import Slots


class SlotPool:
    """Slots `0 .. capacity - 1`, each either free or handed out.

    The free ones are a stack in one array, so that both directions are a block copy. A fresh pool
    hands out ascending runs, which are kind to the memory system of whoever gathers by them.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.num_free = capacity
        self._stack = np.arange(capacity - 1, -1, -1, dtype=np.int32)  # [capacity], top at the end

    def allocate(self, count: int) -> Slots:
        """Return `count` slots, [count] i32; there must be as many free."""
        assert 0 <= count <= self.num_free
        top = self.num_free
        self.num_free -= count
        return self._stack[self.num_free : top][::-1].copy()

    def free(self, slots: Slots) -> None:
        """Take back `slots`, handed out before. Freeing one twice is found by `check`."""
        top = self.num_free
        self.num_free += len(slots)
        assert self.num_free <= self.capacity
        self._stack[top : self.num_free] = slots[::-1]

    def check(self, used: Slots) -> None:
        """Assert that each slot is exactly once either free or in `used`."""
        slots = np.concatenate([self._stack[: self.num_free], used])
        counts = np.bincount(slots, minlength=self.capacity)
        assert len(counts) == self.capacity
        assert (counts == 1).all(), f"slots lost or owned twice: {np.flatnonzero(counts != 1)}"
