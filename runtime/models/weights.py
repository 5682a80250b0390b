"""Filling a model with the tensors of a checkpoint, whatever the format of its files.

Everything that headers tell is checked before a number is read, so that a checkpoint which does
not fit is refused at once. Each tensor is copied once, cast and moved on the way, by `WORKERS`
threads: a read is half a copy from the page cache and half the faults of fresh memory, and neither
holds Python's lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor
from tqdm import tqdm

from ..errors import ModelLoadError

MAX_LISTED = 3  # tensors that a message names
WORKERS = 4  # threads that read


class Gathering:
    """A matrix that a checkpoint holds in parts, and that is handed on when it is whole.

    Plain memory for it is taken with the first part and let go after the last, so that of a model
    whose matrices are held in fewer bits no more is plain at a time than what is being read.

    Args:
        shape: of the matrix.
        dtype: in which it is gathered.
        device: where.
        take: gets the whole matrix, once.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: torch.dtype,
        device: torch.device,
        take: Callable[[Tensor], None],
    ) -> None:
        self.layout = torch.empty(shape, dtype=dtype, device="meta")  # parts are views of it
        self.storage = self.layout.untyped_storage()  # that all of these share
        self._device = device
        self._take: Callable[[Tensor], None] | None = take
        self._whole: Tensor | None = None
        self._missing = self.layout.numel()

    @contextmanager
    def filling(self, view: Tensor) -> Iterator[Tensor]:
        """Give the memory of one of the parts, which is filled when the context ends."""
        if self._whole is None:
            self._whole = torch.empty_like(self.layout, device=self._device)
        yield self._whole.as_strided(view.shape, view.stride(), view.storage_offset())
        self._missing -= view.numel()
        if self._missing == 0:
            # What takes it is let go too: it holds the layer, which may be packed and dropped.
            take, self._take = self._take, None
            whole, self._whole = self._whole, None
            assert take is not None, "parts of a matrix do not overlap"
            take(whole)


@dataclass(frozen=True, slots=True)
class Target:
    """Where a checkpoint's tensor goes."""

    view: Tensor  # what it is copied into: any strides, and any dtype and device
    shape: tuple[int, ...]  # of the checkpoint's tensor; the view may split its dimensions
    gathering: Gathering | None = None  # whose layout `view` is a part of

    @classmethod
    def whole(cls, tensor: Tensor) -> Target:
        """Return the target for a tensor that the checkpoint lays out as we do."""
        return cls(tensor, tuple(tensor.shape))

    @contextmanager
    def filling(self) -> Iterator[Tensor]:
        """Give the memory to write to, of the view's shape."""
        if self.gathering is None:
            yield self.view
        else:
            with self.gathering.filling(self.view) as part:
                yield part


@dataclass(frozen=True, slots=True)
class Stored:
    """What a file's header says of a tensor."""

    file: Path
    shape: tuple[int, ...]
    dtype: str  # as the format spells it
    is_readable: bool  # whether it is of a float type that `Source.fill` reads
    offset: int = 0  # of its numbers in the file, in bytes


class Source(Protocol):
    """The tensors of a checkpoint."""

    @property
    def path(self) -> Path:
        """The file that lists its tensors."""
        ...

    def stored(self) -> Mapping[str, Stored]:
        """Return what the headers say of each tensor, by name.

        Raises:
            ModelLoadError: a file is missing, truncated or no such file.
        """
        ...

    def fill(self, name: str, into: Tensor) -> None:
        """Write a readable tensor's numbers, in their order, cast and moved on the way.

        Any number of threads may, for different tensors.

        Args:
            name: of the tensor.
            into: as many numbers, in any shape, strides, dtype and device.

        Raises:
            ModelLoadError: the file cannot be read.
        """
        ...


def load_weights(
    source: Source, targets: Mapping[str, Target], ignored: tuple[str, ...] = ()
) -> None:
    """Fill every target with the checkpoint's tensor of that name.

    A progress bar appears when it takes longer than a second. Numbers that are not finite are
    looked for by a sum over each tensor once it is copied: 0.1 s a GB of bfloat16.

    Args:
        source: an opened checkpoint.
        targets: checkpoint name → where it goes.
        ignored: ends of names that the checkpoint may hold beyond the targets.

    Raises:
        ModelLoadError: a tensor is missing, has another shape, has no float type, has numbers that
            are not finite, or is one that the model has no place for; or a file cannot be read.
    """
    stored = source.stored()
    _check_names(source.path, stored, targets, ignored)
    for name, target in targets.items():
        _check_header(name, stored[name], target)
    # What is gathered is gathered one after the other: several matrices at a time would be plain.
    count = 1 if any(target.gathering is not None for target in targets.values()) else WORKERS
    names = [name for name in stored if name in targets]  # as they lie in the files
    sums: dict[str, Tensor] = {}
    with (
        ThreadPoolExecutor(count, "weights") as workers,
        tqdm(total=len(names), desc="weights", unit="tensor", delay=1.0) as progress,
    ):
        filled = workers.map(partial(_fill, source, targets), names)
        try:
            for name, total in zip(names, filled, strict=True):
                sums[name] = total
                progress.update()
        except BaseException:
            workers.shutdown(cancel_futures=True)
            raise
    _check_finite(source, targets, sums)


def _fill(source: Source, targets: Mapping[str, Target], name: str) -> Tensor:
    """Fill a target and return its sum, left on its device: one wait for all, at the end."""
    with torch.inference_mode(), targets[name].filling() as view:
        source.fill(name, view)
        return view.sum()


def _check_names(
    path: Path,
    stored: Mapping[str, Stored],
    targets: Mapping[str, Target],
    ignored: tuple[str, ...],
) -> None:
    missing = [f"{name} {list(targets[name].shape)}" for name in targets if name not in stored]
    extra = [
        f"{name} {list(entry.shape)} in {entry.file.name}"
        for name, entry in stored.items()
        if name not in targets and not name.endswith(ignored)
    ]
    if missing:
        raise ModelLoadError(f"the checkpoint {path} lacks {listed(missing)}")
    if extra:
        raise ModelLoadError(
            f"the checkpoint {path} holds what the model has no place for: {listed(extra)}"
        )


def listed(what: Iterable[str]) -> str:
    """Write out the first few of these."""
    names = sorted(what)
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return ", ".join(names[:MAX_LISTED]) + more


def _check_header(name: str, entry: Stored, target: Target) -> None:
    if entry.shape != target.shape:
        raise ModelLoadError(
            f"{entry.file}: {name} has shape {list(entry.shape)}, "
            f"the model's settings need {list(target.shape)}"
        )
    if not entry.is_readable:
        raise ModelLoadError(
            f"{entry.file}: {name} {list(entry.shape)} holds {entry.dtype}, which is no float "
            "type that can be read; a quantised checkpoint cannot be loaded, plain weights can"
        )


def _check_finite(
    source: Source, targets: Mapping[str, Target], sums: Mapping[str, Tensor]
) -> None:
    """Read those again whose sum is not finite, which an overflow alone may have made."""
    if not sums:
        return
    is_finite = torch.stack([part.double() for part in sums.values()]).isfinite().tolist()
    suspects = [name for name, good in zip(sums, is_finite, strict=True) if not good]
    for name in suspects:
        tensor = torch.empty(targets[name].shape, dtype=targets[name].view.dtype)
        source.fill(name, tensor)
        bad = tensor.isfinite().logical_not_()
        if count := int(bad.sum()):
            first = bad.nonzero()[0].tolist()
            raise ModelLoadError(
                f"{source.stored()[name].file}: {name} {list(tensor.shape)} holds {count} values "
                f"that are not finite in {str(tensor.dtype).removeprefix('torch.')}; the first, "
                f"{float(tensor[tuple(first)])}, is at {first}"
            )
