"""A checkpoint's JSON settings, read with checks that name the file, the field and the value."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import ModelLoadError

_REQUIRED: Any = object()


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ModelLoadError: the file is missing, is no JSON or holds no object.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelLoadError(f"cannot read {path}: {error}") from error
    if not isinstance(values, dict):
        raise ModelLoadError(f"{path} holds a JSON {type(values).__name__}, not an object")
    return values


class Settings:
    """The fields of one JSON object; null counts as absent."""

    def __init__(self, values: Mapping[str, Any], source: str) -> None:
        self._values = values
        self.source = source  # what messages call it: a path, or a path and a field

    @classmethod
    def read(cls, path: Path) -> Settings:
        """Read the object in a file; see `read_json` for errors."""
        return cls(read_json(path), str(path))

    def __contains__(self, name: str) -> bool:
        return self._values.get(name) is not None

    def integer(self, name: str, default: int = _REQUIRED) -> int:
        """Return a positive integer."""
        value = self._get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self.error(name, "must be a positive integer")
        return value

    def count(self, name: str, default: int = _REQUIRED) -> int:
        """Return an integer of at least 0."""
        value = self._get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise self.error(name, "must be an integer of at least 0")
        return value

    def number(self, name: str, default: float = _REQUIRED) -> float:
        """Return a positive number."""
        value = self._get(name, default)
        if not isinstance(value, int | float) or isinstance(value, bool) or not value > 0:
            raise self.error(name, "must be a positive number")
        return float(value)

    def integer_or_none(self, name: str, default: int | None = None) -> int | None:
        """Return a positive integer; null is None here, and only an absent field the default."""
        if self._values.get(name) is None:
            return None if name in self._values else default
        return self.integer(name)

    def number_or_none(self, name: str, default: float | None = None) -> float | None:
        """Return a positive number; null is None here, and only an absent field the default."""
        if self._values.get(name) is None:
            return None if name in self._values else default
        return self.number(name)

    def numbers(self, name: str) -> tuple[float, ...]:
        """Return a list of positive numbers."""
        value = self._get(name, _REQUIRED)
        if not isinstance(value, list) or not all(
            isinstance(item, int | float) and not isinstance(item, bool) and item > 0
            for item in value
        ):
            raise self.error(name, "must be a list of positive numbers")
        return tuple(map(float, value))

    def flag(self, name: str, default: bool = _REQUIRED) -> bool:
        """Return true or false."""
        value = self._get(name, default)
        if not isinstance(value, bool):
            raise self.error(name, "must be true or false")
        return value

    def choice(self, name: str, allowed: Sequence[str], default: str = _REQUIRED) -> str:
        """Return one of `allowed`; any other value is not supported."""
        value = self._get(name, default)
        if value not in allowed:
            raise self.error(name, f"is not supported; supported: {', '.join(allowed)}")
        return str(value)

    def names(self, name: str) -> tuple[str, ...]:
        """Return a list of strings; absent is empty."""
        value = self._get(name, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.error(name, "must be a list of strings")
        return tuple(value)

    def known(self, *names: str) -> str:
        """Return the first of a field's names that is there, or else the first."""
        return next((name for name in names if self._values.get(name) is not None), names[0])

    def integers(self, name: str) -> tuple[int, ...]:
        """Return a list of integers; absent is empty."""
        value = self._get(name, [])
        if not isinstance(value, list) or not all(
            isinstance(item, int) and not isinstance(item, bool) for item in value
        ):
            raise self.error(name, "must be a list of integers")
        return tuple(value)

    def token_ids(self, name: str) -> tuple[int, ...]:
        """Return the ids of a field that holds one id or a list of them; absent is empty."""
        value = self._get(name, [])
        ids = value if isinstance(value, list) else [value]
        if not all(isinstance(item, int) and not isinstance(item, bool) for item in ids):
            raise self.error(name, "must be a token id or a list of them")
        return tuple(ids)

    def text(self, name: str, default: str = _REQUIRED) -> str:
        """Return a string."""
        value = self._get(name, default)
        if not isinstance(value, str):
            raise self.error(name, "must be a string")
        return value

    def section(self, name: str) -> Settings | None:
        """Return the object in a field, or None where it is absent."""
        value = self._values.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.error(name, "must be an object")
        return Settings(value, f"{self.source}: {name}")

    def error(self, name: str, rule: str) -> ModelLoadError:
        """Return the error that says that field `name`, with the value it has, breaks `rule`."""
        return ModelLoadError(f"{self.source}: {name} is {self._values.get(name)!r}; it {rule}")

    def _get(self, name: str, default: Any) -> Any:
        value = self._values.get(name)
        if value is not None:
            return value
        if default is _REQUIRED:
            raise ModelLoadError(f"{self.source}: the field {name!r} is missing")
        return default
