"""Figures of the cache, as plain values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """Where the slots are now: `free + cached + leased == pool`."""

    pool: int
    free: int
    cached: int  # in the tree, held by no lease: evictable
    leased: int  # in the tree under a lease, or private to one


@dataclass(frozen=True, slots=True)
class Statistics:
    """What has happened since the start; `inserted_tokens - evicted_tokens` are in the tree now."""

    hit_tokens: int  # found by `acquire`
    miss_tokens: int  # passed to `acquire` and not found, those beyond its limit included
    inserted_tokens: int
    evicted_tokens: int  # flushed ones included
    num_nodes: int  # now, roots not counted
