"""Prefixes that stay, under a name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import inf

from .errors import NotCachedError, PinQuotaError
from .lease import Lease
from .namespace import Namespace
from .node import Node
from .tree import Match


@dataclass(frozen=True, slots=True)
class PinInfo:
    """A pin as it was when the pins were listed."""

    name: str
    namespace: Namespace
    num_tokens: int
    age_s: float
    ttl_left_s: float | None  # None: until it is unpinned
    hits: int  # acquisitions that matched the whole prefix since it was pinned

    @property
    def hit_tokens(self) -> int:
        """Tokens that nobody had to compute thanks to the pin."""
        return self.hits * self.num_tokens


@dataclass(frozen=True, slots=True)
class Pin:
    """A lease with a name and an end."""

    name: str
    lease: Lease
    since_s: float
    until_s: float  # inf: until it is unpinned
    earlier_hits: int  # of its node, before it was pinned

    def info(self, now_s: float) -> PinInfo:
        """Return what people may know of it."""
        return PinInfo(
            name=self.name,
            namespace=self.lease.namespace,
            num_tokens=len(self.lease),
            age_s=now_s - self.since_s,
            ttl_left_s=None if self.until_s == inf else self.until_s - now_s,
            hits=self.lease.node.hits - self.earlier_hits,
        )


class Pins:
    """The pins of a cache by namespace and name. `RadixCache` alone changes them.

    They are few: a change looks at all of them.

    Attributes:
        quota: tokens that they may hold together, a shared prefix counted once.
        num_tokens: tokens that they hold.
    """

    def __init__(self, quota: int) -> None:
        self.quota = quota
        self.num_tokens = 0
        self._pins: dict[tuple[Namespace, str], Pin] = {}
        self._first_end_s = inf

    def __iter__(self) -> Iterator[Pin]:
        """Iterate over the pins, oldest first."""
        return iter(self._pins.values())

    def get(self, namespace: Namespace, name: str) -> Pin | None:
        """Return the pin with that name."""
        return self._pins.get((namespace, name))

    def names(self, namespace: Namespace) -> list[str]:
        """Return the names in a namespace."""
        return [name for owner, name in self._pins if owner == namespace]

    def at(self, node: Node) -> tuple[str, ...]:
        """Return the names of the pins whose prefix ends with `node`."""
        return tuple(pin.name for pin in self if pin.lease.node is node)

    def held(self, *, without: Pin | None = None) -> set[Node]:
        """Return the nodes on the paths of all pins but one."""
        nodes: set[Node] = set()
        for pin in self:
            step: Node | None = pin.lease.node if pin is not without else None
            while step is not None and step not in nodes:
                nodes.add(step)
                step = step.parent
        return nodes

    def require_room(self, name: str, found: Match, wanted: int, *, old: Pin | None) -> None:
        """Refuse a pin of `wanted` tokens, of which `found` are cached, once `old` has gone.

        Raises:
            NotCachedError: not all of them are cached, or there are none.
            PinQuotaError: all pins together would hold more than the quota.
        """
        if found.length < wanted or not wanted:
            raise NotCachedError(name, found.length, wanted)
        held = self.held(without=old)
        total = sum(map(len, held.union(found.path)))
        if found.path[-1] not in held:
            total -= found.beyond
        if total > self.quota:
            raise PinQuotaError(name, total, self.quota)

    def put(self, pin: Pin) -> None:
        """Add `pin`, whose name is free in its namespace."""
        self._pins[pin.lease.namespace, pin.name] = pin
        self._recount()

    def pop(self, pin: Pin) -> None:
        """Remove `pin`."""
        del self._pins[pin.lease.namespace, pin.name]
        self._recount()

    def ended(self, now_s: float) -> list[Pin]:
        """Return the pins whose time is over. O(1) while there is none."""
        return [pin for pin in self if pin.until_s <= now_s] if now_s >= self._first_end_s else []

    def check(self, leases: Iterable[Lease]) -> None:
        """Assert that every pin has a live lease and that the counts are right."""
        assert {pin.lease for pin in self} <= set(leases)
        before = self.num_tokens, self._first_end_s
        self._recount()
        assert before == (self.num_tokens, self._first_end_s)
        assert self.num_tokens <= self.quota

    def _recount(self) -> None:
        self.num_tokens = sum(len(node) for node in self.held())
        self._first_end_s = min((pin.until_s for pin in self), default=inf)
