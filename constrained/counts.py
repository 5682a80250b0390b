"""What a compiler of grammars tells of itself."""

from __future__ import annotations

import msgspec

__all__ = ["Counts"]


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """What is going on, and what was since the start."""

    queued: int = 0
    compiling: int = 0
    compiled: int = 0  # grammars, those from the disk included
    from_disk: int = 0
    refused: int = 0  # for what they are
    over_limit: int = 0  # refused for the time or the memory that they take
    timed_out: int = 0  # mostly in the queue
    cancelled: int = 0  # nobody wanted them any more
    hits: int = 0  # submitted while they were kept, or in the works
    kept: int = 0
    kept_bytes: int = 0
