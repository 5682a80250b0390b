"""Which leaf goes first.

A policy turns a node into a rank, least first. `Heap` keeps the leaves that may go in a binary
heap with lazy deletion: an entry whose ticket is no longer its node's is skipped when it
surfaces. A linked list would serve LRU alone in O(1); the heap serves every policy in O(log n):
about 10 µs at 100,000 leaves. A rank only changes while the node is no candidate: a lease holds
it, or `RadixTree.touch` takes it out and puts it back; so entries never need reordering.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Protocol, TypeAlias

from .node import Node

Rank: TypeAlias = tuple[float, int]
Policy: TypeAlias = Callable[[Node], Rank]
Entry: TypeAlias = tuple[float, int, int, Node]  # rank, ticket, node

# The most of the leaves that `Segments` protects.
PROTECTED_SHARE = 0.8


def lru(node: Node) -> Rank:
    """Least recently used first."""
    return node.last_used, node.created


def lfu(node: Node) -> Rank:
    """Least often matched first; among equals, the least recently used."""
    return node.hits, node.last_used


def fifo(node: Node) -> Rank:
    """Oldest first, however often it is matched."""
    return node.created, node.last_used


def priority(node: Node) -> Rank:
    """Lowest claimed priority first; among equals, the least recently used."""
    return node.priority, node.last_used


def deadline(node: Node) -> Rank:
    """Whose time is over first."""
    return node.expires_s, node.created


class Candidates(Protocol):
    """The nodes that may be evicted, in an order."""

    def __len__(self) -> int:
        """Return how many there are."""
        ...

    def __contains__(self, node: Node) -> bool:
        """Return whether `node` is a candidate."""
        ...

    def add(self, node: Node) -> None:
        """Let `node`, no candidate so far, be evicted. O(log n) amortised."""
        ...

    def discard(self, node: Node) -> None:
        """Keep `node` from eviction, if it was a candidate. O(1)."""
        ...

    def first(self) -> Node:
        """Return the candidate to evict next, and leave it one; there must be any."""
        ...

    def check(self, expected: set[Node]) -> None:
        """Assert that the candidates are `expected`, each in its place."""
        ...


class Heap:
    """Candidates in the order of a policy."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._heap: list[Entry] = []
        self._tickets: dict[Node, int] = {}  # node -> the ticket of its one valid entry
        self._next_ticket = count()  # unique, so that the heap never compares nodes

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._tickets)

    def __contains__(self, node: Node) -> bool:
        """Return whether `node` is a candidate."""
        return node in self._tickets

    def add(self, node: Node) -> None:
        """Let `node`, no candidate so far, be evicted. O(log n) amortised."""
        if len(self._heap) > 2 * len(self._tickets) + 64:  # mostly stale: sweep
            self._heap = [entry for entry in self._heap if self._is_valid(entry)]
            heapify(self._heap)
        ticket = self._tickets[node] = next(self._next_ticket)
        heappush(self._heap, (*self._policy(node), ticket, node))

    def discard(self, node: Node) -> None:
        """Keep `node` from eviction, if it was a candidate. O(1)."""
        self._tickets.pop(node, None)

    def first(self) -> Node:
        """Return the candidate to evict next, and leave it one; there must be any."""
        while not self._is_valid(self._heap[0]):
            heappop(self._heap)
        return self._heap[0][3]

    def check(self, expected: set[Node]) -> None:
        """Assert that the candidates are `expected`, each with one entry at its rank."""
        assert self._tickets.keys() == expected
        valid = [entry for entry in self._heap if self._is_valid(entry)]
        assert len(valid) == len(expected)
        assert all((*rank,) == self._policy(node) for *rank, _, node in valid)

    def _is_valid(self, entry: Entry) -> bool:
        return self._tickets.get(entry[3]) == entry[2]


class Segments:
    """Candidates on probation, which go first, and those protected because they were matched.

    Prefixes that nobody asks for again pass through the probation and leave the protected ones
    alone. Protected are at most `PROTECTED_SHARE` of the leaves: beyond, the least recently used
    goes back on probation, until it is matched again. Both segments are LRU.

    Source: segmented LRU (Karedla, Love and Wherry, "Caching strategies to improve disk system
    performance", 1994). Leaves are counted rather than tokens, as a leaf changes its length
    while it is a candidate.
    """

    def __init__(self) -> None:
        self._probation, self._protected = Heap(lru), Heap(lru)

    def __len__(self) -> int:
        """Return how many there are in both segments."""
        return len(self._probation) + len(self._protected)

    def __contains__(self, node: Node) -> bool:
        """Return whether `node` is a candidate."""
        return node in self._probation or node in self._protected

    def add(self, node: Node) -> None:
        """Let `node`, no candidate so far, be evicted. O(log n) amortised."""
        (self._protected if node.hits else self._probation).add(node)

    def discard(self, node: Node) -> None:
        """Keep `node` from eviction, if it was a candidate. O(1)."""
        self._probation.discard(node)
        self._protected.discard(node)

    def first(self) -> Node:
        """Return the candidate to evict next, and leave it one; there must be any."""
        while len(self._protected) > PROTECTED_SHARE * len(self):
            node = self._protected.first()
            self._protected.discard(node)
            self._probation.add(node)
        return self._probation.first()

    def check(self, expected: set[Node]) -> None:
        """Assert that the candidates are `expected`, and that only matched ones are protected."""
        protected = {node for node in expected if node in self._protected}
        assert all(node.hits for node in protected)
        self._protected.check(protected)
        self._probation.check(expected - protected)


POLICIES: dict[str, Callable[[], Candidates]] = {
    "lru": lambda: Heap(lru),
    "lfu": lambda: Heap(lfu),
    "fifo": lambda: Heap(fifo),
    "slru": Segments,
    "priority": lambda: Heap(priority),
}


def candidates(policy: str) -> Candidates:
    """Return no candidates yet, in the order of the policy of that name.

    Raises:
        ValueError: no policy has the name; the message lists the names.
    """
    try:
        return POLICIES[policy]()
    except KeyError:
        names = ", ".join(POLICIES)
        raise ValueError(f"no eviction policy is called {policy!r}; there are {names}") from None
