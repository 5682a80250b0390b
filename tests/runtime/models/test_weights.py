from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from radixlm.runtime.errors import ModelLoadError
from radixlm.runtime.models.weights import INDEX, SINGLE, Target, load_weights

TENSORS = {"a": torch.arange(6.0).view(2, 3), "b": torch.arange(4.0)}


def targets() -> dict[str, Target]:
    return {"a": Target.whole(torch.zeros(2, 3)), "b": Target.whole(torch.zeros(4))}


def write_shards(folder: Path) -> None:
    for name, tensor in TENSORS.items():
        save_file({name: tensor}, folder / f"{name}.safetensors")
    index = {"weight_map": {name: f"{name}.safetensors" for name in TENSORS}}
    (folder / INDEX).write_text(json.dumps(index))


@pytest.mark.parametrize("sharded", [False, True])
def test_every_target_is_filled(sharded: bool, tmp_path: Path) -> None:
    if sharded:
        write_shards(tmp_path)
    else:
        save_file(TENSORS, tmp_path / SINGLE)
    filled = targets()
    load_weights(tmp_path, filled)
    assert all(torch.equal(filled[name].view, TENSORS[name]) for name in TENSORS)


def test_tensors_are_cast_and_laid_out_as_their_target(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / SINGLE)
    fused = torch.zeros(3, 5, dtype=torch.bfloat16).t()
    load_weights(tmp_path, targets() | {"a": Target.whole(fused[1:3])})
    assert fused[1:3].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert not fused[[0, 3, 4]].any()


def test_a_target_may_split_and_turn_what_the_checkpoint_holds(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / SINGLE)
    turned, pairs = torch.zeros(3, 2), torch.zeros(2, 2)
    places = {"a": Target(turned.t(), (2, 3)), "b": Target(pairs.t(), (4,))}
    load_weights(tmp_path, places)
    assert turned.tolist() == [[0, 3], [1, 4], [2, 5]]
    assert pairs.tolist() == [[0, 2], [1, 3]]


def test_names_that_a_family_ignores_may_be_there(tmp_path: Path) -> None:
    save_file(TENSORS | {"x.inv_freq": torch.zeros(1)}, tmp_path / SINGLE)
    load_weights(tmp_path, targets(), ignored=("inv_freq",))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"a": None}, "lacks a$"),
        ({"c": torch.zeros(1)}, "holds what the model has no place for: c$"),
        ({"a": torch.zeros(3, 2)}, r"model.safetensors: a has shape \[3, 2\], .* need \[2, 3\]"),
        ({"b": torch.zeros(4, dtype=torch.int8)}, "b holds torch.int8, not a float type"),
        (
            {"a": None, **{f"c{i}": torch.zeros(1) for i in range(5)}, "b": None},
            "lacks a, b",
        ),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(
    changes: dict[str, Tensor | None], message: str, tmp_path: Path
) -> None:
    held = {name: tensor for name, tensor in (TENSORS | changes).items() if tensor is not None}
    save_file(held, tmp_path / SINGLE)
    with pytest.raises(ModelLoadError, match=message):
        load_weights(tmp_path, targets(), ignored=("inv_freq",))


def test_a_missing_tensor_is_missed_even_if_the_family_would_ignore_it(tmp_path: Path) -> None:
    save_file({"b": TENSORS["b"]}, tmp_path / SINGLE)
    with pytest.raises(ModelLoadError, match="lacks a"):
        load_weights(tmp_path, targets(), ignored=("a",))


def test_a_folder_without_weights_lists_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").touch()
    with pytest.raises(ModelLoadError, match=r"it holds: pytorch_model\.bin"):
        load_weights(tmp_path, targets())


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / SINGLE)
    whole = (tmp_path / SINGLE).read_bytes()
    (tmp_path / SINGLE).write_bytes(whole[:-8])
    with pytest.raises(ModelLoadError, match=r"cannot read .*model\.safetensors"):
        load_weights(tmp_path, targets())


def test_a_shard_that_is_gone_or_lacks_its_tensor_is_named(tmp_path: Path) -> None:
    write_shards(tmp_path)
    save_file({"other": torch.zeros(1)}, tmp_path / "b.safetensors")
    with pytest.raises(ModelLoadError, match=r"cannot read b from .*b\.safetensors"):
        load_weights(tmp_path, targets())
    (tmp_path / "b.safetensors").unlink()
    with pytest.raises(ModelLoadError, match=r"cannot read .*b\.safetensors"):
        load_weights(tmp_path, targets())
