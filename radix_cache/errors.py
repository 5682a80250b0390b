"""What can go wrong in the cache.

    CacheError
    ├── OutOfSlotsError     the pool and everything evictable are too small for now
    └── LeaseReleasedError  a lease is used after its release

A wrong argument (a negative count, an unknown policy) is a `ValueError` or `TypeError`.
"""

from __future__ import annotations


class CacheError(Exception):
    """Any failure of the cache that is not a wrong argument."""


class OutOfSlotsError(CacheError):
    """More slots are wanted than are free or evictable; nothing has changed.

    Attributes:
        wanted: slots asked for.
        available: slots that could have been given at most.
    """

    def __init__(self, wanted: int, available: int) -> None:
        super().__init__(
            f"{wanted} slots are wanted and {available} are available (free or evictable); "
            "release a lease, or ask for fewer"
        )
        self.wanted = wanted
        self.available = available


class LeaseReleasedError(CacheError):
    """The lease was released before, or belongs to another cache.

    Attributes:
        operation: what was asked of it, as in "release".
    """

    def __init__(self, operation: str) -> None:
        super().__init__(
            f"cannot {operation} a lease that is not live here: it was released, or another "
            "cache gave it; acquire a new one"
        )
        self.operation = operation
