"""Prefixes that stay: by name for users, by key for programs that wait."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from ...radix_cache import CacheError, PinInfo, RadixCache
from ..messages import Answer, Drop, Hold, Pin, Pinned, Unpin

HELD = "~"  # begins the names of programs' holds, and of no user's pin
MAX_PINS = 1024  # a change of one looks at all
HOLD_TTL_S = 3600.0  # a program's host call may last no longer


def hold(cache: RadixCache, message: Hold) -> None:
    """Pin what is cached of a prefix, if the quota allows."""
    tokens = _array(message.tokens)
    tokens = tokens[: cache.match_length(tokens)]
    with suppress(CacheError):
        cache.pin(_name(message.key), tokens, ttl_s=HOLD_TTL_S)


def drop(cache: RadixCache, message: Drop) -> None:
    """Unpin what `hold` pinned, if it did."""
    with suppress(CacheError):
        cache.unpin(_name(message.key))


def pin(cache: RadixCache, message: Pin) -> Answer:
    """Pin for a user."""
    own = (message.name, message.namespace)  # one of that name is replaced
    others = [info for info in cache.pins() if (info.name, info.namespace.tenant) != own]
    if len(others) >= MAX_PINS:
        error = f"{MAX_PINS} prefixes are pinned already; unpin some"
        return Answer(call=message.call, done=False, error=error)
    try:
        info = cache.pin(
            message.name,
            _array(message.tokens),
            namespace=message.namespace,
            ttl_s=message.ttl_s,
            priority=message.priority,
        )
    except (CacheError, ValueError) as error:
        return Answer(call=message.call, done=False, error=str(error))
    return Answer(call=message.call, pins=[_pinned(info)])


def unpin(cache: RadixCache, message: Unpin) -> Answer:
    """Unpin for a user."""
    try:
        cache.unpin(message.name, namespace=message.namespace)
    except CacheError as error:
        return Answer(call=message.call, done=False, error=str(error))
    return Answer(call=message.call)


def listed(cache: RadixCache) -> list[Pinned]:
    """All pins, the oldest first."""
    return [_pinned(info) for info in cache.pins()]


def _pinned(info: PinInfo) -> Pinned:
    return Pinned(
        name=info.name,
        namespace=info.namespace.tenant,
        num_tokens=info.num_tokens,
        age_s=info.age_s,
        ttl_left_s=info.ttl_left_s,
        hits=info.hits,
    )


def _name(key: int) -> str:
    return f"{HELD}{key}"


def _array(tokens: list[int]) -> NDArray[np.int32]:
    return np.array(tokens, dtype=np.int32)
