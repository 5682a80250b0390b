"""Regular expressions of programs, run by `re` within a bound."""

from __future__ import annotations

import re
from typing import Any

from .fuel import Fuel


def match(fuel: Fuel, pattern: str, string: str, flags: int = 0) -> re.Match[str] | None:
    """`re.match`."""
    return _compiled(fuel, pattern, string, flags).match(string)


def search(fuel: Fuel, pattern: str, string: str, flags: int = 0) -> re.Match[str] | None:
    """`re.search`."""
    return _compiled(fuel, pattern, string, flags).search(string)


def fullmatch(fuel: Fuel, pattern: str, string: str, flags: int = 0) -> re.Match[str] | None:
    """`re.fullmatch`."""
    return _compiled(fuel, pattern, string, flags).fullmatch(string)


def findall(fuel: Fuel, pattern: str, string: str, flags: int = 0) -> list[Any]:
    """`re.findall`."""
    return _compiled(fuel, pattern, string, flags).findall(string)


def sub(fuel: Fuel, pattern: str, repl: str, string: str, count: int = 0, flags: int = 0) -> str:
    """`re.sub`."""
    return _compiled(fuel, pattern, string, flags).sub(repl, string, count)


def split(fuel: Fuel, pattern: str, string: str, maxsplit: int = 0, flags: int = 0) -> list[Any]:
    """`re.split`."""
    return list(_compiled(fuel, pattern, string, flags).split(string, maxsplit))


def _compiled(fuel: Fuel, pattern: str, string: str, flags: int) -> re.Pattern[str]:
    if not isinstance(pattern, str) or not isinstance(string, str):
        raise TypeError("expected string or bytes-like object")
    return re.compile(pattern, flags)
