"""What was evicted, kept in host memory until it is asked for again.

Bookkeeping only. `HostTier` decides which device slot goes to which host slot and back, and says so
in orders, plain data that an executor carries out (`kv.carry_out` does, plainly): `plan` returns
those that wait, `apply` records that they were carried out. An order is carried out before anything
is computed into the device slots that it names, and after the orders before it; so a plan before
each pass will do.

What comes back stays in the host too: evicting it again costs no copy. The index is a second radix
tree over the whole paths, in which a slot of `ABSENT` stands for a token that is, or was, on the
device alone. LRU, whatever the policy of the device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .evict import Heap, lru
from .namespace import Namespace
from .node import Claim, Node, Slots, Tokens
from .pool import SlotPool
from .tree import RadixTree

ABSENT = -1

_NOTHING = np.empty(0, dtype=np.int32)


@dataclass(frozen=True, slots=True, eq=False)
class Copy:
    """Copy keys and values of all layers between `device[i]` and `host[i]`, for each i.

    No slot is twice among those that are written, so the copies of one order may run in any order.
    """

    to_host: bool  # otherwise to the device
    device: Slots  # [n] slots of the device's pool
    host: Slots  # [n] slots of the host's pool


@dataclass(frozen=True, slots=True)
class HostUsage:
    """Where the host's slots are: `free + stored == pool`."""

    pool: int
    free: int
    stored: int


class HostTier:
    """The host's slots, which tokens they hold, and the copies under way.

    Args:
        num_slots: size of the host's pool.
        page_size: as of the device's tree.
        now_s: the clock of the cache; lifetimes go on in the host.
    """

    def __init__(self, num_slots: int, page_size: int, now_s: Callable[[], float]) -> None:
        self._tree = RadixTree(Heap(lru), page_size, now_s)
        self._pool = SlotPool(num_slots)
        self._now_s = now_s
        self._orders: list[Copy] = []

    def usage(self) -> HostUsage:
        """Return where the slots are now. O(1)."""
        pool, free = self._pool.capacity, self._pool.num_free
        return HostUsage(pool=pool, free=free, stored=pool - free)

    def plan(self) -> list[Copy]:
        """Return the orders that wait, oldest first; neighbours in one direction are joined."""
        groups: list[list[Copy]] = []
        written: set[int] = set()
        for order in self._orders:
            new = (order.host if order.to_host else order.device).tolist()
            if groups and groups[-1][0].to_host == order.to_host and written.isdisjoint(new):
                groups[-1].append(order)
            else:
                groups.append([order])
                written.clear()
            written.update(new)
        self._orders = [_joined(group) for group in groups]
        return list(self._orders)

    def apply(self, plan: Sequence[Copy]) -> None:
        """Record that the orders of the last `plan` were carried out, all of them in turn."""
        assert list(plan) == self._orders[: len(plan)], "what was carried out was not the plan"
        del self._orders[: len(plan)]

    def keep(self, leaf: Node, start: int) -> None:
        """Order a copy of what the device's tree is about to drop: `leaf` from token `start` on.

        Nothing is ordered for tokens that are here already, nor if there is no room even without
        all that is not needed now. O(tokens of the path).
        """
        tokens = _path_tokens(leaf)
        begin = len(tokens) - (len(leaf) - start)
        root = self._tree.root(leaf.namespace)
        path = self._tree.descend(root, tokens)
        end = path[-1] if path else root
        slots = np.full(len(tokens), ABSENT, dtype=np.int32)
        known = sum(map(len, path))
        slots[:known] = _slots_of(path)
        missing = begin + np.flatnonzero(slots[begin:] == ABSENT)
        claim = Claim(leaf.priority, leaf.expires_s - self._now_s())
        self._tree.lock(end)
        if self._make_room(len(missing)):
            slots[missing] = self._pool.allocate(len(missing))
            _fill(path, slots)
            below = end
            if known < len(tokens):
                below = self._tree.append(end, tokens[known:], slots[known:], claim, held=end)
                self._tree.lock(below, above=end)
            end = below
            if len(missing):
                device = leaf.slots[missing - (len(tokens) - len(leaf))]
                self._orders.append(Copy(True, device, slots[missing]))
        self._tree.unlock(end, claim)

    def take(self, namespace: Namespace, tokens: Tokens, start: int) -> tuple[Node, Slots]:
        """Lock what is here of `tokens` from `start` on, without a gap, for a copy back.

        Returns:
            The node for `give`, and the host slots, [n] i32.
        """
        root = self._tree.root(namespace)
        path = self._tree.descend(root, tokens)
        node = path[-1] if path else root
        self._tree.lock(node)
        slots = _slots_of(path)[start:]
        gaps = np.flatnonzero(slots == ABSENT)
        return node, slots[: gaps[0]] if len(gaps) else slots

    def give(self, node: Node, host: Slots, device: Slots) -> None:
        """Order a copy of what `take` found to `device`, [n] i32, and unlock it."""
        if len(device):
            self._orders.append(Copy(False, device.copy(), host))
        self._tree.unlock(node, Claim(ttl_s=0.0))

    def expire(self, now_s: float) -> None:
        """Drop what has outlived its time. O(1) while nothing has."""
        for dropped in self._tree.expire(now_s):
            self._free(dropped.slots)

    def clear(self) -> None:
        """Forget everything. Orders stand, as leases may wait for what they bring back."""
        for dropped in self._tree.evict(self._tree.num_unlocked):
            self._free(dropped.slots)

    def entries(self) -> list[tuple[Namespace, Tokens, Slots]]:
        """Return the path to each leaf, with its host slots or `ABSENT`: for tests and tools."""
        leaves = [
            node for node in self._tree.nodes() if node.parent is not None and not node.children
        ]
        paths = [self._tree.path(leaf)[1:] for leaf in leaves]
        return [(path[-1].namespace, _path_tokens(path[-1]), _slots_of(path)) for path in paths]

    def check(self) -> None:
        """Assert every invariant by walking everything. Between calls nothing is locked."""
        self._tree.check([])
        slots = np.concatenate([_NOTHING, *(node.slots for node in self._tree.nodes())])
        self._pool.check(slots[slots != ABSENT])

    def _make_room(self, count: int) -> bool:
        if count > self._pool.capacity:
            return False  # without dropping all else for nothing
        while self._pool.num_free < count and self._tree.num_unlocked:
            needed = min(count - self._pool.num_free, self._tree.num_unlocked)
            for dropped in self._tree.evict(needed):
                self._free(dropped.slots)
        return self._pool.num_free >= count

    def _free(self, slots: Slots) -> None:
        self._pool.free(slots[slots != ABSENT])


def _path_tokens(node: Node) -> Tokens:
    parts = [node.tokens]
    while (above := node.parent) is not None:
        parts.append(above.tokens)
        node = above
    return np.concatenate(parts[::-1])


def _slots_of(path: Sequence[Node]) -> Slots:
    return np.concatenate([_NOTHING, *(node.slots for node in path)])


def _fill(path: Sequence[Node], slots: Slots) -> None:
    """Write `slots`, from the root on, into the nodes."""
    position = 0
    for node in path:
        node.slots[:] = slots[position : position + len(node)]
        position += len(node)


def _joined(orders: Sequence[Copy]) -> Copy:
    device = np.concatenate([order.device for order in orders])
    host = np.concatenate([order.host for order in orders])
    return Copy(orders[0].to_host, device, host)
