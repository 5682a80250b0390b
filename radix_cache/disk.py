"""A saved cache: the tree and its keys and values in one safetensors file.

The file is an ordinary one, readable by any safetensors library. Its tensors are

    tree         [b] U8   a `snapshot.Outline` in msgpack
    tokens       [n] I32  token ids, node after node
    keys.L       [n, num_kv_heads, head_dim] in the pool's dtype, for each layer L; values.L too
    checksums    [k] U32  CRC-32 of each tensor before it, in the file's order

and its metadata says what the keys and values depend on. It is written layer by layer, so that
saving needs memory for one of them, into a file beside that takes its name at the end.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from math import prod
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any
from zlib import crc32

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from .cache import RadixCache
from .errors import CacheError, UnusableFileError
from .kv import KVPool
from .node import Tokens
from .snapshot import Outline, Snapshot, fault_of, fitting, in_order, lineage

FORMAT = "radixlm saved cache 1"
DTYPES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}


def save(
    path: Path,
    cache: RadixCache,
    pool: KVPool,
    facts: Mapping[str, str],
    *,
    max_tokens: int,
    without: str | None = None,
) -> int:
    """Write what is worth most of a cache, and replace the file that has that name.

    Whatever happens, the file is the old one or the new one, and whole.

    Args:
        path: of the file; its folder exists.
        cache: which slot stands for which tokens.
        pool: the keys and values, all of them computed.
        facts: what these depend on, such as the model; see `load`.
        max_tokens: the bound; see `RadixCache.snapshot`.
        without: the beginning of the names of pins that are left out.

    Returns:
        How many tokens it holds now.

    Raises:
        OSError: it cannot be written.
    """
    snapshot = cache.snapshot(max_tokens=max_tokens, without=without)
    metadata = {**facts, "format": FORMAT, "saved_at_s": repr(time.time())}
    with NamedTemporaryFile(dir=path.parent, prefix=path.name, suffix=".tmp", delete=False) as file:
        try:
            _write(file.write, snapshot, pool, metadata)
            file.flush()
            os.fsync(file.fileno())
            os.replace(file.name, path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
    return len(snapshot.tokens)


def load(path: Path, cache: RadixCache, pool: KVPool, facts: Mapping[str, str]) -> int:
    """Fill an empty cache from a file, the most recently used and the pinned first if it is small.

    The whole file is checked before anything is changed.

    Args:
        path: of the file.
        cache: nothing runs in it yet.
        pool: gets the keys and values.
        facts: those that the file was saved with must be the same.

    Returns:
        How many tokens are cached now.

    Raises:
        UnusableFileError: it is damaged, or other facts hold here.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            _check_facts(path, metadata, facts)
            outline, tokens = _check_contents(path, file, cache.page_size, pool)
            aged_s = max(0.0, time.time() - float(metadata["saved_at_s"]))
            return _restore(file, outline, tokens, aged_s, cache, pool)
    except (OSError, SafetensorError, msgspec.MsgspecError, ValueError, KeyError) as error:
        raise UnusableFileError(str(path), f"it is damaged ({error})") from error


def _write(
    write: Callable[[Any], object], snapshot: Snapshot, pool: KVPool, metadata: Mapping[str, str]
) -> None:
    """Write a safetensors file: the length of the header, the header, and the tensors' bytes."""
    count = len(snapshot.tokens)
    tree = memoryview(msgspec.msgpack.encode(snapshot.outline))
    sides = _sides(pool)
    shapes: dict[str, tuple[str, list[int], int]] = {  # dtype, shape, bytes of an element
        "tree": ("U8", [len(tree)], 1),
        "tokens": ("I32", [count], 4),
        **{
            name: (DTYPES[side.dtype], [count, *side.shape[1:]], side.dtype.itemsize)
            for name, side in sides.items()
        },
    }
    shapes["checksums"] = ("U32", [len(shapes)], 4)
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    for name, (dtype, shape, width) in shapes.items():
        start, end = end, end + prod(shape) * width
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # so that the data is aligned
    write(len(text).to_bytes(8, "little") + text)
    checksums: list[int] = []
    index = torch.from_numpy(snapshot.slots).long()

    def parts() -> Iterator[memoryview]:
        yield tree
        yield snapshot.tokens.view(np.uint8).data
        for side in sides.values():
            yield _bytes(side[index.to(side.device)].cpu())

    for part in parts():
        checksums.append(crc32(part))
        write(part)
    write(np.array(checksums, dtype="<u4").tobytes())


def _check_facts(path: Path, metadata: Mapping[str, str], facts: Mapping[str, str]) -> None:
    if metadata.get("format") != FORMAT:
        raise UnusableFileError(str(path), f"it is no {FORMAT!r}")
    others = [name for name in facts if metadata.get(name) != facts[name]]
    if others:
        told = "; ".join(f"{name} {metadata.get(name)}, here {facts[name]}" for name in others)
        raise UnusableFileError(str(path), f"it was saved with another {told}")


def _check_contents(path: Path, file: Any, page_size: int, pool: KVPool) -> tuple[Outline, Tokens]:
    """Read the tree; refuse a file of which anything is not as it was written."""

    def require(condition: bool, reason: str) -> None:
        if not condition:
            raise UnusableFileError(str(path), reason)

    sides = _sides(pool)
    names = ["tree", "tokens", *sides]
    require(set(file.keys()) == {*names, "checksums"}, "it has other layers than the model")
    checksums = file.get_tensor("checksums").tolist()
    require(len(checksums) == len(names), "it is damaged (checksums are missing)")
    tokens: Tokens = file.get_tensor("tokens").numpy()
    require(tokens.dtype == np.int32 and tokens.ndim == 1, "it is damaged (its tokens)")
    for name, checksum in zip(names, checksums, strict=True):
        tensor = file.get_tensor(name)
        if name in sides:
            side = sides[name]
            shape = [len(tokens), *side.shape[1:]]
            require(
                list(tensor.shape) == shape and tensor.dtype == side.dtype,
                f"its {name} are {list(tensor.shape)} {tensor.dtype}, not {shape} {side.dtype}",
            )
        require(crc32(_bytes(tensor)) == checksum, f"it is damaged (the checksum of {name!r})")
    outline = msgspec.msgpack.decode(_bytes(file.get_tensor("tree")).tobytes(), type=Outline)
    require(
        outline.page_size == page_size,
        f"it was saved with pages of {outline.page_size} tokens, here they have {page_size}",
    )
    fault = fault_of(outline, tokens)
    require(fault is None, f"it is damaged ({fault})")
    return outline, tokens


def _restore(
    file: Any, whole: Outline, tokens: Tokens, aged_s: float, cache: RadixCache, pool: KVPool
) -> int:
    outline, starts = fitting(whole, max_tokens=cache.usage().free, aged_s=aged_s)
    entries = outline.entries
    runs = [np.arange(s, s + e.length) for s, e in zip(starts, entries, strict=True)]
    here: list[NDArray[np.int32]] = []  # slots
    there: list[NDArray[np.int64]] = []  # rows of the file's tensors

    def path_of(number: int) -> Tokens:
        path: Tokens = tokens[np.concatenate([runs[step] for step in lineage(entries, number)])]
        return path

    for number in in_order(entries):
        entry = entries[number]
        new = cache.restore(
            path_of(number),
            namespace=entry.namespace,
            priority=entry.priority,
            ttl_s=entry.ttl_s,
            hits=entry.hits,
        )
        if len(new):
            here.append(new)
            there.append(runs[number])
    if not here:
        return 0
    slots, rows = torch.from_numpy(np.concatenate(here)), torch.from_numpy(np.concatenate(there))
    try:
        for name, side in _sides(pool).items():
            side[slots.long().to(side.device)] = file.get_tensor(name)[rows].to(side.device)
    except BaseException:
        cache.flush()  # nobody may find what was not written
        raise
    for pin in outline.pins:
        owner = entries[pin.entry].namespace
        try:
            cache.pin(
                pin.name,
                path_of(pin.entry),
                namespace=owner,
                ttl_s=pin.ttl_s,
                priority=pin.priority,
            )
        except CacheError:  # the quota is smaller than it was, or its time is just over
            continue
    return len(slots)


def _sides(pool: KVPool) -> dict[str, Tensor]:
    keys = {f"keys.{layer}": side for layer, side in enumerate(pool.keys)}
    return keys | {f"values.{layer}": side for layer, side in enumerate(pool.values)}


def _bytes(tensor: Tensor) -> memoryview:
    """Return the memory of a tensor on the host, as bytes."""
    return tensor.contiguous().view(torch.uint8).reshape(-1).numpy().data
