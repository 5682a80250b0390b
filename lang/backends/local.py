"""Programs on an engine in this process. The one file of the language that knows the runtime."""

from __future__ import annotations

import threading
import weakref
from typing import Any

import msgspec

from ...ir import loop
from ...ir.machine import Backend
from ...runtime.desk.sequences import DeskBackend, backend_error
from ...runtime.errors import EngineError
from ...runtime.offline import Engine


class LocalBackend:
    """An `Engine` as a backend."""

    def __init__(self, engine: Engine) -> None:
        self._engine = weakref.ref(engine)
        self._backend: DeskBackend | None = None

    @classmethod
    def of(cls, engine: Engine) -> LocalBackend:
        """The backend of an engine; the same one each time."""
        with _lock:
            return _known.setdefault(engine, cls(engine))

    @classmethod
    def shipped(cls) -> LocalBackend:
        """The shipped model, on a thread of this process; it lives as long as the process."""
        engine = Engine(in_process=True)
        _kept.append(engine)
        return cls.of(engine)

    @property
    def engine(self) -> Engine:
        """The engine.

        Raises:
            ReferenceError: the engine no longer exists.
        """
        engine = self._engine()
        if engine is None:
            raise ReferenceError(
                "the Engine of this backend no longer exists; keep it in a variable"
            )
        return engine

    async def ready(self) -> Backend:
        """See `ProgramBackend`."""
        engine = self.engine
        if self._backend is None:
            self._backend = DeskBackend(engine.desk)
        return self._backend

    def flush_cache(self) -> bool:
        """Forget every cached prefix; false if requests are running."""
        return self.engine.flush_cache()

    def pins(self) -> list[dict[str, Any]]:
        """What is pinned in the engine's cache, the oldest first."""
        return [msgspec.structs.asdict(pin) for pin in loop.wait(self.engine.desk.pins())]

    def unpin(self, name: str) -> None:
        """Let a pinned prefix go.

        Raises:
            BackendError: none has that name.
        """
        try:
            loop.wait(self.engine.desk.unpin(name))
        except EngineError as error:
            raise backend_error(error) from error

    def get_server_info(self) -> dict[str, Any]:
        """Settings and state of the engine."""
        return self.engine.get_server_info()


_lock = threading.Lock()
_known: weakref.WeakKeyDictionary[Engine, LocalBackend] = weakref.WeakKeyDictionary()
_kept: list[Engine] = []  # engines that nobody else holds
