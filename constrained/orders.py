"""What is said between a compiler and the process that works for it: msgpack, nothing pickled."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from .lowered import Result
from .spec import GrammarSpec

__all__ = [
    "Cancel",
    "Compile",
    "Done",
    "Limits",
    "Notice",
    "Order",
    "Prepare",
    "Setup",
    "Started",
    "decode",
    "encode",
]

T = TypeVar("T")


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Of one grammar."""

    first_s: float = 0.15  # of computing in the first lane; then it begins anew in the next
    turn_s: float = 1.0  # of computing in the second
    slow_s: float = 20.0  # and in the last
    memory_bytes: int = 2 << 30  # of the process that compiles it
    result_bytes: int = 64 << 20  # in its serialised form

    def memory_reason(self) -> str:
        """Say why a process that ended by itself has probably done so."""
        return f"its compiler ended, as it does beyond {self.memory_bytes >> 20:,} MiB"


class Setup(msgspec.Struct, frozen=True):
    """The first message: what to compile for."""

    tokens: tuple[bytes, ...]  # of the vocabulary
    stop_ids: tuple[int, ...]
    backend: str  # a name in `compiler.BACKENDS`
    limits: Limits
    folder: str | None  # of what is kept on disk
    folder_bytes: int  # and how much that may be
    special: tuple[str, ...] = ()  # of the vocabulary


class Compile(msgspec.Struct, frozen=True, tag="compile"):
    """An order, under a number that the answers bear."""

    id: int
    spec: GrammarSpec


class Cancel(msgspec.Struct, frozen=True, tag="cancel"):
    """Nobody wants that grammar any more."""

    id: int


class Prepare(msgspec.Struct, frozen=True, tag="prepare"):
    """Load all that any grammar may need, now that nobody waits."""


class Started(msgspec.Struct, frozen=True, tag="started"):
    """It has left the queue."""

    id: int


class Done(msgspec.Struct, frozen=True, tag="done"):
    """The last word on an order that was not cancelled."""

    id: int
    result: Result
    is_from_disk: bool = False
    is_over_limit: bool = False  # of time or memory


Order = Compile | Cancel | Prepare
Notice = Started | Done


def encode(message: Setup | Order | Notice) -> bytes:
    """Write a message."""
    return msgspec.msgpack.encode(message)


def decode(data: bytes, type: type[T]) -> T:
    """Read a message of a type."""
    return msgspec.msgpack.decode(data, type=type)
