"""A folder's safetensors files: one, or several with an index.

The safetensors package checks the headers. The numbers are read straight into the memory where
they stay: a memory map would cost a fault for each page of the file besides, and count as memory of
the process. Where they are cast they go through a buffer that the processor's caches hold.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import ModelLoadError
from .settings import read_json
from .weights import Stored, listed

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
CHUNK_BYTES = 1 << 20  # that are read at once where numbers are cast
FLOATS = {  # those of 8 bits need scales besides
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
}
LFS_POINTER = b"version https://git-lfs"


class Shards:
    """The tensors of `model.safetensors`, or of the shards in `model.safetensors.index.json`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.path = folder / (INDEX if (folder / INDEX).exists() else SINGLE)

    def stored(self) -> Mapping[str, Stored]:
        """See `Source`; also raises where index and shards do not agree."""
        return self._stored

    @cached_property
    def _stored(self) -> dict[str, Stored]:
        if self.path.name == INDEX:
            return self._by_index()
        if not self.path.exists():
            held = ", ".join(sorted(entry.name for entry in self._folder.iterdir())) or "nothing"
            raise ModelLoadError(
                f"{self._folder} has neither {SINGLE} nor {INDEX}; it holds: {held}"
            )
        return _read_header(self.path)

    def _by_index(self) -> dict[str, Stored]:
        places = read_json(self.path).get("weight_map")
        if not isinstance(places, dict) or not all(isinstance(p, str) for p in places.values()):
            raise ModelLoadError(f"{self.path} has no weight_map from names of tensors to files")
        found: dict[str, Stored] = {}
        for shard in sorted(set(places.values())):
            if Path(shard).name != shard:
                raise ModelLoadError(f"{self.path} names {shard!r}, no file of this folder")
            if not (self._folder / shard).exists():
                raise ModelLoadError(f"{self.path} names {shard}, which is not there")
            held = _read_header(self._folder / shard)
            wanted = {name for name, place in places.items() if place == shard}
            if absent := wanted - held.keys():
                raise ModelLoadError(
                    f"{self.path} says that {listed(absent)} is in {shard}, where it is not"
                )
            if unlisted := held.keys() - places.keys():
                raise ModelLoadError(
                    f"{self.path} has no entry for {listed(unlisted)}, which {shard} holds"
                )
            found |= {name: held[name] for name in wanted}
        return found

    def fill(self, name: str, into: Tensor) -> None:
        """See `Source`."""
        entry = self._stored[name]
        dtype = FLOATS[entry.dtype]
        try:
            with entry.file.open("rb", buffering=0) as file:
                is_plain = into.device.type == "cpu" and into.is_contiguous()
                if is_plain and into.dtype == dtype:
                    _read(file.fileno(), entry.offset, into.view(-1))
                elif is_plain:
                    _cast(file.fileno(), entry.offset, dtype, into.view(-1))
                elif into.device.type == "cpu" and into.shape == entry.shape:
                    _cast(file.fileno(), entry.offset, dtype, into)
                else:
                    whole = torch.empty(entry.shape, dtype=dtype)
                    _read(file.fileno(), entry.offset, whole.view(-1))
                    into.copy_(whole.view(into.shape))
        except OSError as error:
            raise ModelLoadError(f"cannot read {entry.file}: {error}") from error


def _read(descriptor: int, offset: int, into: Tensor) -> None:
    """Read bytes from a place of a file on into [n], contiguous on the CPU."""
    array: Any = into.view(torch.uint8).numpy()
    rest = memoryview(array)
    while rest:
        count = os.preadv(descriptor, [rest], offset)
        if not count:
            raise OSError("it has become shorter while it was read")
        rest, offset = rest[count:], offset + count


def _cast(descriptor: int, offset: int, dtype: torch.dtype, into: Tensor) -> None:
    """Read [rows, ...] numbers of a type, cast to that of `into`, which may have any strides."""
    width = into[0].numel() if len(into) else 1
    count = max(1, CHUNK_BYTES // (width * dtype.itemsize))
    buffer = torch.empty(count, *into.shape[1:], dtype=dtype)
    for start in range(0, len(into), count):
        piece = into[start : start + count]
        part = buffer[: len(piece)]
        _read(descriptor, offset, part.view(-1))
        piece.copy_(part)
        offset += part.nbytes


def _read_header(path: Path) -> dict[str, Stored]:
    try:
        with safe_open(path, framework="pt") as file:
            names = file.offset_keys()  # in the order in which they lie there
        with path.open("rb") as raw:
            length = int.from_bytes(raw.read(8), "little")
            header = json.loads(raw.read(length))
    except (OSError, SafetensorError) as error:
        raise ModelLoadError(f"cannot read {path}: {_reason(path) or error}") from error
    return {
        name: Stored(
            path,
            tuple(header[name]["shape"]),
            header[name]["dtype"],
            is_readable=header[name]["dtype"] in FLOATS,
            offset=8 + length + header[name]["data_offsets"][0],
        )
        for name in names
    }


def _reason(path: Path) -> str:
    """Say why a file is no safetensors file, where it is one of the usual reasons."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            if LFS_POINTER.startswith(start) and size > 0:
                return "it is a Git LFS pointer, not the file itself; `git lfs pull` fetches that"
            length = int.from_bytes(start, "little")
            if size < 8 + length:
                return f"it ends after {size} bytes, within its header; it is no safetensors file"
            header = json.loads(file.read(length))
            ends = [part["data_offsets"][1] for name, part in header.items() if name[:2] != "__"]
    except (OSError, ValueError, LookupError, TypeError):
        return ""
    wanted = 8 + length + max(ends, default=0)
    if size < wanted:
        return f"it is truncated: it has {size} bytes of {wanted}; fetch or copy it again"
    return ""
