"""Reading a GGUF file: its metadata, and where its tensors lie.

Our own, since the gguf package needs 5 s for the lists of strings of GPT-2's vocabulary, where this
takes 0.05 s. Source: the format's description, ggml's docs/gguf.md; versions 2 and 3,
little-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ModelLoadError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
ALIGNMENT = 32  # bytes, where the metadata does not say otherwise
STRING, ARRAY = 8, 9
SCALARS = {  # value type → struct's format
    **dict(enumerate("BbHhIif?")),
    10: "Q",
    11: "q",
    12: "d",
}
MAX_DIMENSIONS = 4


@dataclass(frozen=True, slots=True)
class Entry:
    """A tensor in a file."""

    shape: tuple[int, ...]  # as numpy has it: the slowest dimension first
    type_id: int  # ggml's number of the layout
    offset: int  # bytes from the file's beginning


@dataclass(frozen=True, slots=True)
class GGUFFile:
    """What a file's header says."""

    path: Path
    fields: Mapping[str, Any]  # numbers, strings, and lists or arrays of them
    entries: Mapping[str, Entry]

    @classmethod
    def read(cls, path: Path) -> GGUFFile:
        """Read the header, or return what was read of this very file before.

        Raises:
            ModelLoadError: it is no such file, or ends within its header.
        """
        try:
            return _read(path, path.stat().st_mtime_ns)
        except OSError as error:
            raise ModelLoadError(f"cannot read {path}: {error}") from error
        except (ValueError, struct.error, IndexError, KeyError) as error:
            raise ModelLoadError(f"cannot read {path}: its header is damaged: {error}") from error


@lru_cache(maxsize=1)  # settings, tensors and tokenizer are read one after the other
def _read(path: Path, changed_ns: int) -> GGUFFile:
    del changed_ns  # part of the key
    whole: Any = np.memmap(path, np.uint8, "r") if path.stat().st_size else b""
    cursor = _Cursor(memoryview(whole))
    if bytes(cursor.take(4)) != MAGIC:
        raise ValueError("it does not begin with GGUF")
    version = cursor.scalar("I")
    if version not in VERSIONS:
        raise ValueError(f"version {version}; {' and '.join(map(str, VERSIONS))} are known")
    num_tensors, num_fields = cursor.scalar("Q"), cursor.scalar("Q")
    fields: dict[str, Any] = {}
    for _ in range(num_fields):
        name = cursor.string()
        fields[name] = cursor.value(cursor.scalar("I"))
    found: dict[str, Entry] = {}
    for _ in range(num_tensors):
        name, dimensions = cursor.string(), cursor.scalar("I")
        if dimensions > MAX_DIMENSIONS:
            raise ValueError(f"{name} has {dimensions} dimensions, {MAX_DIMENSIONS} at most")
        shape = [cursor.scalar("Q") for _ in range(dimensions)]
        found[name] = Entry(tuple(reversed(shape)), cursor.scalar("I"), cursor.scalar("Q"))
    alignment = fields.get("general.alignment", ALIGNMENT)
    start = -(-cursor.at // alignment) * alignment
    entries = {
        name: Entry(entry.shape, entry.type_id, entry.offset + start)
        for name, entry in found.items()
    }
    return GGUFFile(path, fields, entries)


class _Cursor:
    """A place in a header, which moves on as values are taken."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self.at = 0

    def take(self, count: int) -> memoryview:
        end = self.at + count
        if end > len(self._data):
            raise ValueError(f"it ends after {len(self._data)} bytes; is it truncated?")
        piece = self._data[self.at : end]
        self.at = end
        return piece

    def scalar(self, form: str) -> Any:
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))[0]

    def string(self) -> str:
        return bytes(self.take(self.scalar("Q"))).decode("utf-8", "replace")

    def value(self, kind: int) -> Any:
        if kind == STRING:
            return self.string()
        if kind != ARRAY:
            return self.scalar(SCALARS[kind])
        kind, count = self.scalar("I"), self.scalar("Q")
        if kind in SCALARS:
            return np.frombuffer(
                self.take(count * struct.calcsize("<" + SCALARS[kind])), "<" + SCALARS[kind]
            )
        one: Callable[[], Any] = self.string if kind == STRING else lambda: self.value(ARRAY)
        return [one() for _ in range(count)]
