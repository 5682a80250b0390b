"""Average checkpoints that were trained apart from a common start.

`python -m recipes.shipped_model.merge build/a build/b --out build/merged`

Two cores train two runs from one checkpoint with different seeds; the mean of their weights is better
than either when both have come to rest in the same basin.
Source: "Model soups" (Wortsman et al., 2022), the uniform soup.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file


def merge(folders: Sequence[Path], out: Path) -> None:
    """Write the mean of the checkpoints' weights, in bf16, with the files of the first."""
    loaded = [load_file(folder / "model.safetensors") for folder in folders]
    names = set(loaded[0])
    if any(set(weights) != names for weights in loaded):
        raise ValueError(f"the checkpoints {list(map(str, folders))} hold different tensors")
    out.mkdir(parents=True, exist_ok=True)
    for file in folders[0].iterdir():
        if file.suffix in (".json", ".jinja"):
            shutil.copy(file, out / file.name)
    mean = {
        name: torch.stack([weights[name].float() for weights in loaded]).mean(0).bfloat16()
        for name in sorted(names)
    }
    save_file(mean, out / "model.safetensors", metadata={"format": "pt"})


def main() -> None:
    """Merge from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    merge(given.folders, given.out)


if __name__ == "__main__":
    main()
