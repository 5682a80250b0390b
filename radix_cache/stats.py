"""Figures of the cache, as plain values, and the ledger that keeps them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .namespace import Namespace

# Namespaces come from clients: those with nothing cached are forgotten beyond so many.
MAX_NAMESPACES = 1024


@dataclass(frozen=True, slots=True)
class Usage:
    """Where the slots are now: `free + cached + leased == pool`."""

    pool: int
    free: int
    cached: int  # in the tree, held by no lease: evictable
    leased: int  # in the tree under a lease or a pin, or private to a lease
    pinned: int = 0  # of the leased: under a pin


@dataclass(slots=True)
class Counts:
    """Tokens that went in and out."""

    hit_tokens: int = 0  # found by `acquire`
    miss_tokens: int = 0  # passed to `acquire` and not found, those beyond its limit included
    inserted_tokens: int = 0
    evicted_tokens: int = 0  # expired and flushed ones included

    @property
    def cached_tokens(self) -> int:
        """Tokens in the tree now, under leases or not."""
        return self.inserted_tokens - self.evicted_tokens


@dataclass(frozen=True, slots=True)
class Statistics:
    """What has happened since the start; `inserted_tokens - evicted_tokens` are in the tree now."""

    hit_tokens: int  # as in `Counts`
    miss_tokens: int
    inserted_tokens: int
    evicted_tokens: int
    num_nodes: int  # now, roots not counted


class Ledger:
    """Counts of everything and of each namespace. O(1) an entry."""

    def __init__(self) -> None:
        self.total = Counts()
        self._counts: dict[Namespace, Counts] = {}  # least recently acquired first

    def acquired(self, namespace: Namespace, hit: int, miss: int) -> None:
        """Record an acquisition: so many tokens found and not found."""
        counts = self._counts.pop(namespace, None)
        if counts is None:
            self._make_room()
            counts = Counts()
        self._counts[namespace] = counts
        for each in (counts, self.total):
            each.hit_tokens += hit
            each.miss_tokens += miss

    def inserted(self, namespace: Namespace, tokens: int) -> None:
        """Record that the tree has `tokens` more."""
        for counts in (self._counts.setdefault(namespace, Counts()), self.total):
            counts.inserted_tokens += tokens

    def evicted(self, namespace: Namespace, tokens: int) -> None:
        """Record that the tree has `tokens` less."""
        for counts in (self._counts[namespace], self.total):
            counts.evicted_tokens += tokens

    def by_namespace(self) -> dict[Namespace, Counts]:
        """Return copies of the counts, the most recently acquired namespace last."""
        return {namespace: replace(counts) for namespace, counts in self._counts.items()}

    def _make_room(self) -> None:
        """Forget namespaces acquired longest ago that have nothing in the tree.

        A few looks an acquisition, so that it stays O(1); those that have go to the end. While
        all that is looked at has tokens, the list grows, at most to a namespace a slot.
        """
        for _ in range(8):
            if len(self._counts) < MAX_NAMESPACES:
                return
            oldest = next(iter(self._counts))
            counts = self._counts.pop(oldest)
            if counts.cached_tokens:
                self._counts[oldest] = counts
