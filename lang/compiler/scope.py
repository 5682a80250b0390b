"""What the names of a function stand for outside it: closure, globals, builtins.

Nothing is executed: attributes are read past properties and `__getattr__`. Whatever is looked up is
noted, so that a later compilation can tell whether the world has changed; so are the files whose
images go into a program.
"""

from __future__ import annotations

import builtins
import inspect
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path as File
from types import FunctionType, ModuleType
from typing import Any, cast

MAX_CONSTANT = 10_000  # as programs have at most 20,000 nodes: values in one folded constant
SCALARS = (type(None), bool, int, float, str)


class _Missing:
    def __repr__(self) -> str:
        return "<not defined>"


MISSING: Any = _Missing()
Path = tuple[str, ...]


class Scope:
    """The names around one function."""

    def __init__(self, func: Callable[..., Any]) -> None:
        code = func.__code__
        self._cells = dict(zip(code.co_freevars, func.__closure__ or (), strict=True))
        self._globals: dict[str, Any] = func.__globals__

    def root(self, name: str) -> Any:
        """The object of a name, or `MISSING`."""
        if name in self._cells:
            try:
                return self._cells[name].cell_contents
            except ValueError:  # bound later
                return MISSING
        if name in self._globals:
            return self._globals[name]
        return getattr(builtins, name, MISSING)

    def is_shared(self, other: FunctionType, name: str) -> bool:
        """Whether a name means the same variable in another function."""
        if name in self._cells:
            return any(cell is self._cells[name] for cell in other.__closure__ or ())
        return other.__globals__ is self._globals

    def find(self, path: Path) -> Any:
        """The object of `a.b.c`, or `MISSING` where only running code could tell."""
        found: object = self.root(path[0])
        for name in path[1:]:
            if found is MISSING:
                return MISSING
            owner, found = found, inspect.getattr_static(found, name, MISSING)
            if not isinstance(owner, ModuleType) and hasattr(type(found), "__get__"):
                return MISSING
        return found


def unbound(owner: Any, name: str) -> Any:
    """A method as the plain function that it is made of, or `MISSING`; no property is read."""
    found = inspect.getattr_static(owner, name, MISSING)
    if isinstance(found, staticmethod | classmethod):
        return cast("Any", found).__func__
    return found


@dataclass(slots=True)
class World:
    """What a compilation has looked up, and what it found."""

    _seen: dict[tuple[int, Path], tuple[Scope, Any]] = field(
        default_factory=dict[tuple[int, Path], tuple[Scope, Any]]
    )

    _files: dict[File, tuple[int, int] | None] = field(
        default_factory=dict[File, "tuple[int, int] | None"]
    )

    def note_file(self, file: File) -> None:
        """Note a file whose content goes into the program."""
        self._files[file] = _version(file)

    def find(self, scope: Scope, path: Path) -> Any:
        """Look a path up and note what is there."""
        found = scope.find(path)
        self._seen[id(scope), path] = (scope, _fingerprint(found))
        return found

    def constants(self) -> Iterator[tuple[Scope, str]]:
        """The variables whose values went into the program, or may have."""
        for (_, path), (scope, found) in self._seen.items():
            if isinstance(found, _Value):
                yield scope, path[0]

    def is_unchanged(self) -> bool:
        """Whether every name still stands for what it did, and every file is the same."""
        return all(
            _same(_fingerprint(scope.find(path)), before)
            for (_, path), (scope, before) in self._seen.items()
        ) and all(_version(file) == before for file, before in self._files.items())


@dataclass(frozen=True, slots=True)
class _Value:
    written: str


def _version(file: File) -> tuple[int, int] | None:
    """When a file was changed, in ns, and its bytes; None where there is none."""
    try:
        found = file.stat()
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size


def _fingerprint(found: Any) -> Any:
    """Constants count by value: a list may be changed in place. The rest by identity."""
    return _Value(repr(found)) if is_plain(found) else found


def _same(now: Any, before: Any) -> bool:
    if isinstance(now, _Value) and isinstance(before, _Value):
        return now == before
    return now is before


def is_plain(value: Any) -> bool:
    """Whether a value can be written into a program: JSON's, tuples and sets, of bounded size."""
    pending, seen = [value], 0
    while pending:
        item = pending.pop()
        seen += 1
        if seen > MAX_CONSTANT:
            return False
        if type(item) in (list, tuple, set):
            pending.extend(item)
        elif type(item) is dict:
            held = cast("dict[object, object]", item)
            pending.extend(held)
            pending.extend(held.values())
        elif type(item) not in SCALARS or (type(item) is float and not math.isfinite(item)):
            return False
    return True
