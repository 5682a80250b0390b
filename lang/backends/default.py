"""Which backend a program runs on when none is named."""

from __future__ import annotations

import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, runtime_checkable

from ...ir.machine import Backend
from ..config import global_config

_shipped: ProgramBackend | None = None
_lock = threading.Lock()
_current: ContextVar[ProgramBackend | None] = ContextVar("radixlm_backend", default=None)


class ProgramBackend(Protocol):
    """What `run(backend=...)` takes: something that can become a machine's backend."""

    async def ready(self) -> Backend:
        """Connect if need be; on the private event loop."""
        ...

    def flush_cache(self) -> bool:
        """Forget cached prefixes; false if requests are running."""
        ...

    def get_server_info(self) -> dict[str, Any]:
        """Settings and state."""
        ...


@runtime_checkable
class Pinning(Protocol):
    """A backend with a cache in which programs keep what they have, by `s.pin`."""

    def pins(self) -> list[dict[str, Any]]:
        """What is pinned, the oldest first."""
        ...

    def unpin(self, name: str) -> None:
        """Let a pin go. Raises `BackendError` if none has that name."""
        ...


def set_default_backend(backend: Any) -> None:
    """Use `backend` for programs that name none: an `Engine`, a `Runtime`, a `RuntimeEndpoint`.

    `None` goes back to the model that ships with the package.
    """
    global_config.default_backend = None if backend is None else as_backend(backend)


def current_backend(backend: Any = None) -> ProgramBackend:
    """The backend that was named, the calling program's, the default, or the shipped model."""
    global _shipped
    if backend is not None:
        return as_backend(backend)
    if (current := _current.get()) is not None:
        return current
    if global_config.default_backend is not None:
        return as_backend(global_config.default_backend)
    with _lock:
        if _shipped is None:
            _shipped = _start_shipped()
        return _shipped


def known_backend(backend: Any = None) -> ProgramBackend | None:
    """`current_backend`, but None instead of starting the shipped model."""
    known = (backend, _current.get(), global_config.default_backend, _shipped)
    return None if all(each is None for each in known) else current_backend(backend)


@contextmanager
def using(backend: ProgramBackend) -> Generator[None]:
    """Let programs that are called within run on `backend`."""
    token = _current.set(backend)
    try:
        yield
    finally:
        _current.reset(token)


def as_backend(thing: Any) -> ProgramBackend:
    """Return `thing` as a backend.

    Raises:
        TypeError: it is none, and has no `.endpoint`.
    """
    thing = getattr(thing, "endpoint", thing)
    if hasattr(thing, "desk"):
        from .local import LocalBackend

        return LocalBackend.of(thing)
    if hasattr(thing, "ready"):
        backend: ProgramBackend = thing
        return backend
    raise TypeError(f"{thing!r} is no backend; give an Engine, a Runtime or a RuntimeEndpoint")


def _start_shipped() -> ProgramBackend:
    print("radixlm: no backend is set; using the small model that ships with it", file=sys.stderr)
    from .local import LocalBackend

    return LocalBackend.shipped()


def flush_cache(backend: Any = None) -> bool:
    """Forget the cached prefixes of a backend; false without any backend."""
    chosen = known_backend(backend)
    return False if chosen is None else chosen.flush_cache()


def get_server_info(backend: Any = None) -> dict[str, Any] | None:
    """Settings and state of a backend; None without any backend."""
    chosen = known_backend(backend)
    return None if chosen is None else chosen.get_server_info()


def pins(backend: Any = None) -> list[dict[str, Any]]:
    """What is pinned in a backend's cache, the oldest first; nothing where there is no cache.

    Each has `name`, `num_tokens`, `age_s`, `ttl_left_s`, `hits` and `namespace`. What programs hold
    by themselves while they wait has names that begin with `~` or `program-`.
    """
    chosen = known_backend(backend)
    return chosen.pins() if isinstance(chosen, Pinning) else []


def unpin(name: str, backend: Any = None) -> None:
    """Let go of what `s.pin(name)` kept; a service without a cache ignores it, as it did the pin.

    Raises:
        BackendError: the cache has no pin of that name.
    """
    chosen = known_backend(backend)
    if isinstance(chosen, Pinning):
        chosen.unpin(name)
