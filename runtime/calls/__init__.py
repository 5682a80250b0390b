"""How families of models write tool calls and thinking: formats as data, and their readers."""

from __future__ import annotations

from .formats import HARMONY, Format
from .harmony import HarmonyParser
from .marked import MarkedParser
from .parser import Parser, Schemas

__all__ = ["open_parser"]


def open_parser(written: Format, tools: Schemas, *, streams: bool) -> Parser:
    """A parser of one answer; see `Parser` for what it takes."""
    if written is HARMONY:
        return HarmonyParser(tools, streams=streams)
    return MarkedParser(written, tools, streams=streams)
