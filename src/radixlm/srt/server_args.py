"""The settings of a server as one object; SGLang's path and name of it."""

from __future__ import annotations

from typing import Any

import msgspec

from ..runtime.config import CacheConfig, ModelConfig, ScheduleConfig, ServerConfig, engine_config


class ServerArgs:
    """Settings of model, cache, schedule and server by name, defaults where none is given.

        args = ServerArgs(model_path="...", port=30001)
        rl.Runtime(**args.given())

    Raises:
        TypeError: an unknown name; the message lists the known.
        ValueError: a value of the wrong type or out of range.
    """

    def __init__(self, **settings: Any) -> None:
        server = {name: settings[name] for name in settings if name in _SERVER}
        rest = {name: value for name, value in settings.items() if name not in _SERVER}
        unknown = sorted(set(rest) - _NAMES)
        if unknown:
            raise TypeError(
                f"no setting is named {', '.join(unknown)}; known: {', '.join(sorted(_NAMES))}"
            )
        try:
            parts = msgspec.convert(server, ServerConfig), engine_config(**rest)
        except msgspec.ValidationError as error:
            raise ValueError(f"a setting cannot be used: {error}") from error
        self._settings = settings
        self.__dict__.update(msgspec.structs.asdict(parts[0]))
        for part in (parts[1].model, parts[1].cache, parts[1].schedule):
            self.__dict__.update(msgspec.structs.asdict(part))

    def given(self) -> dict[str, Any]:
        """The settings that were named, as `Runtime` takes them."""
        return dict(self._settings)

    def __repr__(self) -> str:
        said = ", ".join(f"{name}={value!r}" for name, value in self._settings.items())
        return f"ServerArgs({said})"


_SERVER = frozenset(ServerConfig.__struct_fields__)
_NAMES = _SERVER.union(*(c.__struct_fields__ for c in (ModelConfig, CacheConfig, ScheduleConfig)))
