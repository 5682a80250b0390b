"""What can go wrong in the cache.

    CacheError
    ├── OutOfSlotsError     the pool and everything evictable are too small for now
    ├── LeaseReleasedError  a lease is used after its release
    ├── NotCachedError      a prefix to pin is not in the tree
    ├── PinQuotaError       a pin would take more than the pins' share of the pool
    ├── NoPinError          no pin has that name
    └── UnusableFileError   a saved cache is damaged, or of another model

A wrong argument (a negative count, an unknown policy) is a `ValueError` or `TypeError`.
"""

from __future__ import annotations

from collections.abc import Iterable


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


class NotCachedError(CacheError):
    """A pin is for a prefix that is not, or no longer, cached as a whole.

    Attributes:
        name: of the pin.
        cached: leading tokens that are cached.
        wanted: leading tokens, in whole pages, that should be; 0 if there is not one page.
    """

    def __init__(self, name: str, cached: int, wanted: int) -> None:
        missing = f"{cached} of its {wanted} tokens are cached; compute the prefix first"
        super().__init__(
            f"cannot pin {name!r}: "
            + (missing if wanted else "it is shorter than a page; pin a longer prefix")
        )
        self.name = name
        self.cached = cached
        self.wanted = wanted


class PinQuotaError(CacheError):
    """A pin would take the pins over their share of the pool; nothing has changed.

    Attributes:
        name: of the pin.
        wanted: tokens that all pins would hold with it.
        quota: tokens that they may hold.
    """

    def __init__(self, name: str, wanted: int, quota: int) -> None:
        super().__init__(
            f"cannot pin {name!r}: with it the pins would hold {wanted} tokens and {quota} are "
            "allowed (pin_share of the pool); unpin another, or pin a shorter prefix"
        )
        self.name = name
        self.wanted = wanted
        self.quota = quota


class NoPinError(CacheError):
    """No pin has that name: it never had, it was unpinned, or its time is over.

    Attributes:
        name: as asked for.
    """

    def __init__(self, name: str, names: Iterable[str]) -> None:
        known = ", ".join(map(repr, names)) or "none"
        super().__init__(f"nothing is pinned as {name!r} in this namespace; pinned are: {known}")
        self.name = name


class UnusableFileError(CacheError):
    """A file that should hold a saved cache cannot be used; nothing of it was.

    Attributes:
        path: of the file.
        reason: a clause about "it", the file.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path} is not used: {reason}")
        self.path = path
        self.reason = reason
