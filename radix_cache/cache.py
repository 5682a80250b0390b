"""The one type that the runtime uses."""

from __future__ import annotations

import numpy as np

from .errors import LeaseReleasedError, OutOfSlotsError
from .evict import find_policy
from .lease import Lease
from .node import Node, Tokens
from .pool import SlotPool
from .stats import Statistics, Usage
from .tree import RadixTree
from .view import NodeInfo, list_nodes


class RadixCache:
    """Which slot holds the keys and values of which token, across requests.

    A request acquires a lease on the longest cached prefix of its prompt, extends it by private
    slots as it computes, commits what it computed so that others find it, and releases it.
    Host state only, for the one thread that schedules; the tensors are in `kv.KVPool`.

    Args:
        num_slots: size of the pool, shared by all namespaces.
        policy: which unlocked leaf is evicted first: "lru", "lfu" or "fifo".
        enabled: with `False` nothing is ever cached; leases work the same.
        page_size: tokens enter the tree and are matched in whole pages of so many.
    """

    def __init__(
        self, num_slots: int, *, policy: str = "lru", enabled: bool = True, page_size: int = 1
    ) -> None:
        _require(num_slots >= 1, f"num_slots must be at least 1, not {num_slots}")
        _require(page_size >= 1, f"page_size must be at least 1, not {page_size}")
        self.enabled = enabled
        self.page_size = page_size
        self._tree = RadixTree(find_policy(policy), page_size)
        self._pool = SlotPool(num_slots)
        self._leases: set[Lease] = set()  # live ones
        self._hit_tokens = self._miss_tokens = 0
        self._inserted_tokens = self._evicted_tokens = 0

    @property
    def available(self) -> int:
        """Slots that `extend` can give now: free or evictable."""
        return self._pool.num_free + self._tree.num_unlocked

    def acquire(self, tokens: Tokens, *, namespace: str = "", limit: int | None = None) -> Lease:
        """Lock the longest cached prefix of `tokens[:limit]`, [n] i32, and lease it.

        A scheduler that needs the logits of the last token passes `limit=len(tokens) - 1`.
        """
        _require_tokens(tokens)
        _require(limit is None or limit >= 0, f"limit must be None or at least 0, not {limit}")
        root = self._tree.root(namespace)
        path = self._tree.descend(root, tokens[:limit])
        node = path[-1] if path else root
        self._tree.lock(node)
        for step in path:
            step.hits += 1
        lease = Lease(namespace, node, np.concatenate([step.slots for step in (root, *path)]))
        self._leases.add(lease)
        self._hit_tokens += lease.num_cached
        self._miss_tokens += len(tokens) - lease.num_cached
        return lease

    def extend(self, lease: Lease, count: int) -> None:
        """Append `count` private slots to `lease.slots`, evicting unlocked leaves if need be.

        Raises:
            OutOfSlotsError: more than `available`; everything is as it was.
        """
        self._require_live(lease, "extend")
        _require(count >= 0, f"count must be at least 0, not {count}")
        if count > self.available:
            raise OutOfSlotsError(count, self.available)
        if count > self._pool.num_free:
            self._evict(count - self._pool.num_free)
        lease.append(self._pool.allocate(count))

    def commit(self, lease: Lease, tokens: Tokens) -> None:
        """Put the first `len(tokens)` tokens of the lease, now computed, in the tree.

        Where the tree has some of them already (another request computed them meanwhile),
        `lease.slots` changes in place to the tree's slots and the private ones are free: read the
        slots again. Whole pages only; the lock moves down to the last. O(len(tokens) - locked).

        Args:
            lease: with a slot for each of the tokens.
            tokens: [n] i32 from position 0; those locked already are trusted to be the path's.
        """
        self._require_live(lease, "commit")
        _require_tokens(tokens)
        _require(
            len(tokens) <= len(lease),
            f"cannot commit {len(tokens)} tokens: the lease has {len(lease)} slots; extend it",
        )
        length = len(tokens) // self.page_size * self.page_size
        if not self.enabled or length <= lease.locked:
            return
        node, shared = self._share(lease, tokens[lease.locked : length])
        if shared < length:
            node = self._tree.append(node, tokens[shared:length], lease.slots[shared:length])
            self._inserted_tokens += length - shared
        self._tree.lock(node, above=lease.node)
        lease.node, lease.locked = node, length

    def truncate(self, lease: Lease, length: int) -> None:
        """Give back the private slots from position `length` on."""
        self._require_live(lease, "truncate")
        _require(
            lease.locked <= length <= len(lease),
            f"cannot truncate to {length}: from {lease.locked} (locked) to {len(lease)} is allowed",
        )
        self._pool.free(lease.cut(length))

    def release(self, lease: Lease) -> None:
        """Unlock the lease's path and give back its private slots. Once only.

        Raises:
            LeaseReleasedError: it was released before.
        """
        self._require_live(lease, "release")
        self._leases.remove(lease)
        self._pool.free(lease.cut(lease.locked))
        self._tree.unlock(lease.node)

    def match_length(self, tokens: Tokens, *, namespace: str = "") -> int:
        """Return how many leading tokens are cached, touching neither locks nor recency."""
        _require_tokens(tokens)
        root = self._tree.roots.get(namespace)
        return 0 if root is None else sum(count for _, count in self._tree.walk(root, tokens))

    def flush(self) -> int:
        """Evict everything unlocked, and return how many slots that freed."""
        return self._evict(self._tree.num_unlocked)

    def usage(self) -> Usage:
        """Return where the slots are now. O(1)."""
        pool, free, cached = self._pool.capacity, self._pool.num_free, self._tree.num_unlocked
        return Usage(pool=pool, free=free, cached=cached, leased=pool - free - cached)

    def statistics(self) -> Statistics:
        """Return the counts since the start. O(1)."""
        return Statistics(
            hit_tokens=self._hit_tokens,
            miss_tokens=self._miss_tokens,
            inserted_tokens=self._inserted_tokens,
            evicted_tokens=self._evicted_tokens,
            num_nodes=self._tree.num_nodes,
        )

    def list_nodes(self, *, max_nodes: int = 1000, max_tokens: int = 8) -> list[NodeInfo]:
        """Return the first nodes of the tree, parents first, with each one's first tokens."""
        return list_nodes(self._tree, max_nodes=max_nodes, max_tokens=max_tokens)

    def check(self) -> None:
        """Assert every invariant by walking everything: for tests, after each operation."""
        self._tree.check(lease.node for lease in self._leases)
        nodes = list(self._tree.nodes())
        used = [node.slots for node in nodes] + [lease.private for lease in self._leases]
        self._pool.check(np.concatenate([np.empty(0, dtype=np.int32), *used]))
        for lease in self._leases:
            path = [node.slots for node in self._tree.path(lease.node)]
            assert np.array_equal(lease.slots[: lease.locked], np.concatenate(path))
        in_tree = sum(len(node) for node in nodes)
        assert self._inserted_tokens - self._evicted_tokens == in_tree

    def _share(self, lease: Lease, tokens: Tokens) -> tuple[Node, int]:
        """Swap the lease's private slots for the tree's where it has the `tokens` after the lock.

        Return the node where they end and their position.
        """
        path = self._tree.descend(lease.node, tokens)
        if not path:
            return lease.node, lease.locked
        slots = np.concatenate([step.slots for step in path])
        duplicates = lease.private[: len(slots)]
        self._pool.free(duplicates)
        duplicates[:] = slots
        return path[-1], lease.locked + len(slots)

    def _evict(self, count: int) -> int:
        slots = self._tree.evict(count)
        self._pool.free(slots)
        self._evicted_tokens += len(slots)
        return len(slots)

    def _require_live(self, lease: Lease, operation: str) -> None:
        if lease not in self._leases:
            raise LeaseReleasedError(operation)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _require_tokens(tokens: Tokens) -> None:
    if tokens.dtype != np.int32 or tokens.ndim != 1:  # other widths would silently never match
        raise TypeError(f"tokens must be [n] int32, not {list(tokens.shape)} {tokens.dtype}")
