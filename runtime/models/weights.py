"""Reading safetensors checkpoints, one file or sharded, straight into the model's tensors.

Files are memory-mapped and each tensor is copied once, cast and moved on the way: host memory
peaks at the model itself plus what the kernel keeps of the file.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Never

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from tqdm import tqdm

from ..errors import ModelLoadError
from .settings import read_json

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"


@dataclass(frozen=True, slots=True)
class Target:
    """Where a checkpoint's tensor goes."""

    view: Tensor  # what it is copied into: any strides, and any dtype and device
    shape: tuple[int, ...]  # of the checkpoint's tensor; the view may split its dimensions

    @classmethod
    def whole(cls, tensor: Tensor) -> Target:
        """Return the target for a tensor that the checkpoint lays out as we do."""
        return cls(tensor, tuple(tensor.shape))


def load_weights(
    folder: Path, targets: Mapping[str, Target], ignored: tuple[str, ...] = ()
) -> None:
    """Fill every target with the checkpoint's tensor of that name.

    A progress bar appears when it takes longer than a second.

    Args:
        folder: holds `model.safetensors`, or shards and `model.safetensors.index.json`.
        targets: checkpoint name → where it goes.
        ignored: ends of names that the checkpoint may hold beyond the targets.

    Raises:
        ModelLoadError: a tensor is missing, is not in its shard, has another shape, has no float
            type, or is one that the model has no place for; or a file cannot be read.
    """
    files = _locate(folder)
    _check_names(folder, files, targets, ignored)
    by_file: defaultdict[Path, list[str]] = defaultdict(list)
    for name in targets:
        by_file[files[name]].append(name)
    with tqdm(total=len(targets), desc="weights", unit="tensor", delay=1.0) as progress:
        for path, names in by_file.items():
            _copy(path, {name: targets[name] for name in names}, progress)


def _locate(folder: Path) -> dict[str, Path]:
    """Return the file of each tensor."""
    if (folder / INDEX).exists():
        shards = read_json(folder / INDEX).get("weight_map")
        if not isinstance(shards, dict):
            raise ModelLoadError(f"{folder / INDEX} has no weight_map")
        return {name: folder / shard for name, shard in shards.items()}
    path = folder / SINGLE
    if not path.exists():
        held = ", ".join(sorted(entry.name for entry in folder.iterdir())) or "nothing"
        raise ModelLoadError(f"{folder} has neither {SINGLE} nor {INDEX}; it holds: {held}")
    try:
        with safe_open(path, framework="pt") as file:
            return dict.fromkeys(file.keys(), path)
    except (OSError, SafetensorError) as error:
        raise ModelLoadError(f"cannot read {path}: {error}") from error


def _check_names(
    folder: Path, found: Iterable[str], targets: Iterable[str], ignored: tuple[str, ...]
) -> None:
    held, wanted = set(found), set(targets)
    extra = {name for name in held - wanted if not name.endswith(ignored)}
    for what, names in (
        ("lacks", wanted - held),
        ("holds what the model has no place for:", extra),
    ):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            listed = ", ".join(sorted(names)[:3]) + more
            raise ModelLoadError(f"the checkpoint {folder} {what} {listed}")


def _copy(path: Path, targets: Mapping[str, Target], progress: tqdm[Never]) -> None:
    name = ""
    try:
        with safe_open(path, framework="pt") as file:
            for name, target in targets.items():
                tensor = file.get_tensor(name)
                if tuple(tensor.shape) != target.shape:
                    raise ModelLoadError(
                        f"{path}: {name} has shape {list(tensor.shape)}, "
                        f"the model's settings need {list(target.shape)}"
                    )
                if not tensor.is_floating_point():
                    raise ModelLoadError(f"{path}: {name} holds {tensor.dtype}, not a float type")
                with torch.inference_mode():
                    target.view.copy_(tensor.view(target.view.shape))
                progress.update()
    except (OSError, SafetensorError) as error:
        raise ModelLoadError(f"cannot read {name or 'anything'} from {path}: {error}") from error
