"""A folder's safetensors files: one, or several with an index.

Files are memory-mapped by the safetensors package. What is mapped counts as memory of the process
once it was touched, so a map is given up and taken anew after every `WINDOW_BYTES`: the
peak is then the model and one window, where it would be the model and its largest file.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import ModelLoadError
from .settings import read_json
from .weights import Stored, listed

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
WINDOW_BYTES = 64 << 20
FLOATS = frozenset(("F64", "F32", "F16", "BF16"))  # those of 8 bits need scales besides
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

    def read(self, names: Sequence[str]) -> Iterator[tuple[str, Tensor]]:
        """See `Source`; file by file, in the order in which they lie there."""
        by_file: defaultdict[Path, set[str]] = defaultdict(set)
        for name in names:
            by_file[self._stored[name].file].add(name)
        for path, wanted in sorted(by_file.items()):
            try:
                yield from _read(path, wanted)
            except (OSError, SafetensorError) as error:
                raise ModelLoadError(f"cannot read {path}: {error}") from error


def _read(path: Path, wanted: set[str]) -> Iterator[tuple[str, Tensor]]:
    with safe_open(path, framework="pt") as file:
        ordered = [name for name in file.offset_keys() if name in wanted]
    while ordered:
        taken = 0
        with safe_open(path, framework="pt") as file:
            while ordered and taken < WINDOW_BYTES:
                tensor: Tensor = file.get_tensor(ordered[0])
                taken += tensor.nbytes
                yield ordered.pop(0), tensor
                del tensor  # it holds the map


def _read_header(path: Path) -> dict[str, Stored]:
    try:
        with safe_open(path, framework="pt") as file:
            parts = {name: file.get_slice(name) for name in file.offset_keys()}
            return {
                name: Stored(
                    path,
                    tuple(part.get_shape()),
                    part.get_dtype(),
                    is_readable=part.get_dtype() in FLOATS,
                )
                for name, part in parts.items()
            }
    except (OSError, SafetensorError) as error:
        raise ModelLoadError(f"cannot read {path}: {_reason(path) or error}") from error


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
