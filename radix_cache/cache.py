"""The one type that the runtime uses."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from math import inf

import numpy as np
from numpy.typing import NDArray

from .errors import LeaseReleasedError, NoPinError, OutOfSlotsError
from .evict import candidates
from .host import HostTier
from .lease import Lease
from .namespace import Namespace
from .node import Claim, Node, Slots, Tokens
from .pins import Pin, PinInfo, Pins
from .pool import SlotPool
from .snapshot import Snapshot, take
from .stats import Counts, Ledger, Statistics, Usage
from .tree import Dropped, Match, RadixTree
from .view import NodeInfo, list_nodes

# Slots evicted beyond those needed, so that rows which each need one slot do not each go to the
# heap. They are free, not lost; in a small pool they would be missed, so at most 1/256 of it.
MAX_AHEAD = 64


class RadixCache:
    """Which slot holds the keys and values of which token, across requests.

    A request acquires a lease on the longest cached prefix of its prompt, extends it by private
    slots as it computes, commits what it computed so that others find it, and releases it.
    A pin is a lease with a name, and holds a prefix while no request does.
    Host state only, for the one thread that schedules; the tensors are in `kv.KVPool`.

    Where a namespace is asked for, a string stands for the tenant of that name.

    Args:
        num_slots: size of the pool, shared by all namespaces.
        policy: which unlocked leaf is evicted first: "lru", "lfu", "fifo", "slru", "priority".
        enabled: with `False` nothing is ever cached; leases work the same.
        page_size: tokens enter the tree and are matched in whole pages of so many.
        pin_share: of the pool, what pins may hold at most.
        host_slots: size of a second pool, in host memory, for what is evicted; see `host`.
        clock: seconds from any start, never falling. Nothing runs in the background: what expired
            is dropped when somebody next looks.
    """

    def __init__(
        self,
        num_slots: int,
        *,
        policy: str = "lru",
        enabled: bool = True,
        page_size: int = 1,
        pin_share: float = 0.5,
        host_slots: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        _require(num_slots >= 1, f"num_slots must be at least 1, not {num_slots}")
        _require(page_size >= 1, f"page_size must be at least 1, not {page_size}")
        _require(0 <= pin_share <= 1, f"pin_share must be from 0 to 1, not {pin_share}")
        _require(host_slots >= 0, f"host_slots must be at least 0, not {host_slots}")
        self.enabled = enabled
        self.page_size = page_size
        self.host = HostTier(host_slots, page_size, clock) if host_slots else None
        self._now_s = clock
        self._tree = RadixTree(candidates(policy), page_size, clock)
        self._pool = SlotPool(num_slots)
        self._leases: set[Lease] = set()  # live ones, those of pins included
        self._pins = Pins(int(num_slots * pin_share))
        self._ledger = Ledger()
        self._ahead = min(MAX_AHEAD, num_slots // 256)

    @property
    def available(self) -> int:
        """Slots that `extend` can give now: free or evictable."""
        self._sweep()
        return self._pool.num_free + self._tree.num_unlocked

    def acquire(
        self,
        tokens: Tokens,
        *,
        namespace: Namespace | str = "",
        limit: int | None = None,
        priority: int = 0,
        ttl_s: float | None = None,
    ) -> Lease:
        """Lock the longest cached prefix of `tokens[:limit]`, [n] i32, and lease it.

        Args:
            tokens: the prompt.
            namespace: whose prefixes it may meet.
            limit: a scheduler that needs the logits of the last token passes `len(tokens) - 1`.
            priority: for the policy "priority": prefixes that only lower ones used go first.
            ttl_s: how long after the release the path, and what is committed, is kept at most,
                unless another lease that used it claims more; `None`: until room is needed.
        """
        _require_tokens(tokens)
        _require(limit is None or limit >= 0, f"limit must be None or at least 0, not {limit}")
        claim = Claim(priority, _lifetime(ttl_s))
        self._sweep()
        lease, path = self._lock(tokens[:limit], Namespace.of(namespace), claim)
        for node in path:
            node.hits += 1
        self._ledger.acquired(lease.namespace, lease.num_cached, len(tokens) - lease.num_cached)
        return lease

    def extend(self, lease: Lease, count: int) -> None:
        """Append `count` private slots to `lease.slots`, evicting unlocked leaves if need be.

        Raises:
            OutOfSlotsError: more than `available`; everything is as it was.
        """
        self._require_live(lease, "extend")
        _require(count >= 0, f"count must be at least 0, not {count}")
        if count > self._pool.num_free:
            available = self.available
            if count > available:
                raise OutOfSlotsError(count, available)
            more = min(count - self._pool.num_free + self._ahead, self._tree.num_unlocked)
            keep = None if self.host is None else self.host.keep
            self._free(self._tree.evict(more, keep=keep))
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
            new, slots = tokens[shared:length], lease.slots[shared:length]
            node = self._tree.append(node, new, slots, lease.claim, held=lease.node)
            self._ledger.inserted(lease.namespace, length - shared)
        self._tree.lock(node, above=lease.node)
        lease.node, lease.locked = node, length

    def arrange(self, lease: Lease, positions: NDArray[np.intp], *, start: int) -> None:
        """Order the private slots from `start` on anew: those at `positions` first, in that order.

        For tokens that were computed beside each other, of which one line is to be committed.
        """
        self._require_live(lease, "arrange")
        _require(start >= lease.locked, f"cannot arrange from {start}: {lease.locked} are locked")
        slots = lease.slots[start:]
        chosen = positions - start
        slots[:] = np.concatenate((slots[chosen], np.delete(slots, chosen)))

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
        self._tree.unlock(lease.node, lease.claim)

    def recall(self, lease: Lease, tokens: Tokens) -> int:
        """Bring back from the host what follows the locked part of a lease, and lock that too.

        It counts as computed from now on: `host.plan` is to be carried out before the next pass.

        Args:
            lease: without private slots, as `acquire` gives it.
            tokens: [n] i32 from position 0, as far as they are wanted.

        Returns:
            How many tokens came back, in whole pages; as many as there is room for.
        """
        self._require_live(lease, "recall")
        _require_tokens(tokens)
        private = len(lease) - lease.locked
        _require(not private, f"cannot recall behind {private} private slots; do it before extend")
        if self.host is None:
            return 0
        node, host = self.host.take(lease.namespace, tokens, lease.locked)
        # Evicting to make room cannot take it from the host meanwhile: it is locked there.
        count = min(len(host), self.available) // self.page_size * self.page_size
        self.extend(lease, count)
        self.host.give(node, host[:count], lease.private)
        self.commit(lease, tokens[: len(lease)])
        return count

    def match_length(self, tokens: Tokens, *, namespace: Namespace | str = "") -> int:
        """Return how many leading tokens are cached, touching neither locks nor recency."""
        _require_tokens(tokens)
        self._sweep()
        return self._match(tokens, Namespace.of(namespace)).length

    def touch(self, tokens: Tokens, *, namespace: Namespace | str = "") -> Match:
        """Find what is cached of `tokens`, [n] i32, and count it as used now: it is waited for.

        It is no hit, in no statistics, and nothing is locked.
        """
        _require_tokens(tokens)
        self._sweep()
        found = self._match(tokens, Namespace.of(namespace))
        self._tree.touch(found.path)
        return found

    def pin(
        self,
        name: str,
        tokens: Tokens,
        *,
        namespace: Namespace | str = "",
        ttl_s: float | None = None,
        priority: int = 0,
    ) -> PinInfo:
        """Keep a cached prefix, whatever the pressure, until `unpin` or for `ttl_s` seconds.

        Another prefix, or the same, that was pinned under the name in this namespace is replaced.

        Args:
            name: of the pin, unique in its namespace.
            tokens: [n] i32; its whole pages are cached and will be pinned.
            namespace: whose prefix it is.
            ttl_s: how long it stays; `None`: until it is unpinned.
            priority: for the policy "priority", which holds on afterwards.

        Raises:
            NotCachedError: it is not cached as a whole, or shorter than a page.
            PinQuotaError: all pins together would hold more than their share of the pool.
        """
        _require_tokens(tokens)
        life_s = _lifetime(ttl_s)
        self._sweep()
        owner, now_s = Namespace.of(namespace), self._now_s()
        tokens = tokens[: len(tokens) // self.page_size * self.page_size]
        old = self._pins.get(owner, name)
        self._pins.require_room(name, self._match(tokens, owner), len(tokens), old=old)
        # A pin claims no time beyond its own: what leases claimed holds on when it ends.
        lease, path = self._lock(tokens, owner, Claim(priority, 0.0))
        if old is not None:
            self._unpin(old)
        pin = Pin(name, lease, since_s=now_s, until_s=now_s + life_s, earlier_hits=path[-1].hits)
        self._pins.put(pin)
        return pin.info(now_s)

    def unpin(self, name: str, *, namespace: Namespace | str = "") -> None:
        """Let a pinned prefix go: it stays cached until room is needed.

        Raises:
            NoPinError: nothing is pinned under that name, or no longer.
        """
        self._sweep()
        owner = Namespace.of(namespace)
        pin = self._pins.get(owner, name)
        if pin is None:
            raise NoPinError(name, self._pins.names(owner))
        self._unpin(pin)

    def pins(self) -> list[PinInfo]:
        """Return the pins of all namespaces, oldest first."""
        self._sweep()
        now_s = self._now_s()
        return [pin.info(now_s) for pin in self._pins]

    def flush(self) -> int:
        """Drop everything unlocked, the host's too, and return how many slots that freed here."""
        if self.host is not None:
            self.host.clear()
        return self._sweep() + self._free(self._tree.evict(self._tree.num_unlocked))

    def usage(self) -> Usage:
        """Return where the slots are now. O(1)."""
        self._sweep()
        pool, free, cached = self._pool.capacity, self._pool.num_free, self._tree.num_unlocked
        leased, pinned = pool - free - cached, self._pins.num_tokens
        return Usage(pool=pool, free=free, cached=cached, leased=leased, pinned=pinned)

    def statistics(self) -> Statistics:
        """Return the counts since the start. O(1)."""
        total = self._ledger.total
        return Statistics(
            hit_tokens=total.hit_tokens,
            miss_tokens=total.miss_tokens,
            inserted_tokens=total.inserted_tokens,
            evicted_tokens=total.evicted_tokens,
            num_nodes=self._tree.num_nodes,
        )

    def namespaces(self) -> dict[Namespace, Counts]:
        """Return the counts of each namespace, the most recently acquired last.

        Beyond `stats.MAX_NAMESPACES`, those that have nothing cached are forgotten.
        """
        return self._ledger.by_namespace()

    def list_nodes(self, *, max_nodes: int = 1000, max_tokens: int = 8) -> list[NodeInfo]:
        """Return the first nodes of the tree, parents first, with each one's first tokens."""
        self._sweep()
        return list_nodes(
            self._tree,
            self._pins,
            now_s=self._now_s(),
            max_nodes=max_nodes,
            max_tokens=max_tokens,
        )

    def snapshot(self, *, max_tokens: int, without: str | None = None) -> Snapshot:
        """Copy what is worth most, `max_tokens` of it, to be kept beyond this process.

        Args:
            max_tokens: the bound; what pins hold goes first, then the most recently used.
            without: the beginning of the names of pins that are not worth it.
        """
        self._sweep()
        return take(
            self._tree, self._pins, max_tokens=max_tokens, now_s=self._now_s(), without=without
        )

    def restore(
        self,
        tokens: Tokens,
        *,
        namespace: Namespace | str = "",
        priority: int = 0,
        ttl_s: float | None = None,
        hits: int = 0,
    ) -> Slots:
        """Put a prefix back as it was, which counts as no request.

        Args:
            tokens: [n] i32, whole pages.
            namespace: whose prefix it is.
            priority: that its last node had.
            ttl_s: that it is kept from now on, at most.
            hits: of its last node.

        Returns:
            [m] i32, the slots of the last `m` tokens, which were not there: nothing may be computed
            before their keys and values are written.

        Raises:
            OutOfSlotsError: they are not free; nothing is evicted for this.
        """
        _require_tokens(tokens)
        claim = Claim(priority, _lifetime(ttl_s))
        lease, _ = self._lock(tokens, Namespace.of(namespace), claim)
        wanted = len(tokens) - len(lease)
        if wanted > self._pool.num_free:
            self.release(lease)
            raise OutOfSlotsError(wanted, self._pool.num_free)
        lease.append(self._pool.allocate(wanted))
        slots = lease.private.copy()
        self.commit(lease, tokens)
        lease.node.hits = max(lease.node.hits, hits)  # while it is no candidate for eviction
        self.release(lease)
        return slots

    def check(self) -> None:
        """Assert every invariant by walking everything: for tests, after each operation."""
        self._tree.check(lease.node for lease in self._leases)
        nodes = list(self._tree.nodes())
        used = [node.slots for node in nodes] + [lease.private for lease in self._leases]
        self._pool.check(np.concatenate([np.empty(0, dtype=np.int32), *used]))
        for lease in self._leases:
            path = [node.slots for node in self._tree.path(lease.node)]
            assert np.array_equal(lease.slots[: lease.locked], np.concatenate(path))
        self._pins.check(self._leases)
        if self.host is not None:
            self.host.check()
        in_tree = Counter[Namespace]()
        for node in nodes:
            in_tree[node.namespace] += len(node)
        assert self._ledger.total.cached_tokens == in_tree.total()
        counts = self._ledger.by_namespace()
        assert +in_tree == +Counter({name: counts[name].cached_tokens for name in counts})

    def _match(self, tokens: Tokens, namespace: Namespace) -> Match:
        root = self._tree.roots.get(namespace)
        return Match([], 0, 0) if root is None else self._tree.match(root, tokens)

    def _lock(self, tokens: Tokens, namespace: Namespace, claim: Claim) -> tuple[Lease, list[Node]]:
        """Lease what is cached of `tokens`; return the nodes too, the root left out."""
        root = self._tree.root(namespace)
        path = self._tree.descend(root, tokens)
        node = path[-1] if path else root
        self._tree.lock(node)
        slots = np.concatenate([step.slots for step in (root, *path)])
        lease = Lease(namespace, node, slots, claim)
        self._leases.add(lease)
        return lease, path

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

    def _sweep(self) -> int:
        """Do what the time has made due, and return how many slots that freed. O(1) if nothing."""
        now_s = self._now_s()
        for pin in self._pins.ended(now_s):
            self._unpin(pin)
        if self.host is not None:
            self.host.expire(now_s)
        return self._free(self._tree.expire(now_s))

    def _free(self, dropped: list[Dropped]) -> int:
        """Take back what left the tree, in one piece, and return how many slots that is."""
        if not dropped:
            return 0
        slots = np.concatenate([each.slots for each in dropped])
        self._pool.free(slots)
        for each in dropped:
            self._ledger.evicted(each.namespace, len(each.slots))
        return len(slots)

    def _unpin(self, pin: Pin) -> None:
        self._pins.pop(pin)
        self.release(pin.lease)

    def _require_live(self, lease: Lease, operation: str) -> None:
        if lease not in self._leases:
            raise LeaseReleasedError(operation)


def _lifetime(ttl_s: float | None) -> float:
    _require(ttl_s is None or ttl_s > 0, f"ttl_s must be None or more than 0, not {ttl_s}")
    return inf if ttl_s is None else ttl_s


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _require_tokens(tokens: Tokens) -> None:
    if tokens.dtype != np.int32 or tokens.ndim != 1:  # other widths would silently never match
        raise TypeError(f"tokens must be [n] int32, not {list(tokens.shape)} {tokens.dtype}")
