from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from radixlm.runtime.errors import ModelLoadError
from radixlm.runtime.models import shards
from radixlm.runtime.models.shards import INDEX, SINGLE, Shards
from radixlm.runtime.models.weights import Target, load_weights

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
    load_weights(Shards(tmp_path), filled)
    assert all(torch.equal(filled[name].view, TENSORS[name]) for name in TENSORS)


def test_tensors_are_cast_and_laid_out_as_their_target(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / SINGLE)
    fused = torch.zeros(3, 5, dtype=torch.bfloat16).t()
    load_weights(Shards(tmp_path), targets() | {"a": Target.whole(fused[1:3])})
    assert fused[1:3].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert not fused[[0, 3, 4]].any()


def test_a_target_may_split_and_turn_what_the_checkpoint_holds(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / SINGLE)
    turned, pairs = torch.zeros(3, 2), torch.zeros(2, 2)
    places = {"a": Target(turned.t(), (2, 3)), "b": Target(pairs.t(), (4,))}
    load_weights(Shards(tmp_path), places)
    assert turned.tolist() == [[0, 3], [1, 4], [2, 5]]
    assert pairs.tolist() == [[0, 2], [1, 3]]


def test_names_that_a_family_ignores_may_be_there(tmp_path: Path) -> None:
    save_file(TENSORS | {"x.inv_freq": torch.zeros(1)}, tmp_path / SINGLE)
    load_weights(Shards(tmp_path), targets(), ignored=("inv_freq",))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"a": None}, r"model.safetensors lacks a \[2, 3\]$"),
        ({"c": torch.zeros(1)}, r"has no place for: c \[1\] in model.safetensors$"),
        ({"a": torch.zeros(3, 2)}, r"model.safetensors: a has shape \[3, 2\], .* need \[2, 3\]"),
        (
            {"b": torch.zeros(4, dtype=torch.int8)},
            r"safetensors: b \[4\] holds I8, .* no float",
        ),
        ({"b": torch.zeros(4, dtype=torch.float8_e4m3fn)}, "holds F8_E4M3, .* plain weights can"),
        (
            {"a": torch.tensor([[0, 1, 2], [3, torch.nan, torch.inf]])},
            r"safetensors: a \[2, 3\] holds 2 values that are not finite in float32; the first, "
            r"nan, is at \[1, 1\]",
        ),
        (
            {"a": None, **{f"c{i}": torch.zeros(1) for i in range(5)}, "b": None},
            r"lacks a \[2, 3\], b \[4\]$",
        ),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(
    changes: dict[str, Tensor | None], message: str, tmp_path: Path
) -> None:
    held = {name: tensor for name, tensor in (TENSORS | changes).items() if tensor is not None}
    save_file(held, tmp_path / SINGLE)
    with pytest.raises(ModelLoadError, match=message):
        load_weights(Shards(tmp_path), targets(), ignored=("inv_freq",))


def test_a_missing_tensor_is_missed_even_if_the_family_would_ignore_it(tmp_path: Path) -> None:
    save_file({"b": TENSORS["b"]}, tmp_path / SINGLE)
    with pytest.raises(ModelLoadError, match="lacks a"):
        load_weights(Shards(tmp_path), targets(), ignored=("a",))


def test_a_folder_without_weights_lists_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").touch()
    with pytest.raises(ModelLoadError, match=r"it holds: pytorch_model\.bin"):
        load_weights(Shards(tmp_path), targets())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda whole: whole[:-8], r"it is truncated: it has \d+ bytes of \d+; fetch or copy it"),
        (lambda whole: whole[:20], "it ends after 20 bytes, within its header"),
        (lambda whole: b"", "it ends after 0 bytes, within its header"),
        (lambda whole: b"version https://git-lfs.github.com/spec/v1\noid", "is a Git LFS pointer"),
        (lambda whole: whole[:8] + b"x" * len(whole), "invalid JSON in header"),
        (lambda whole: whole + b"more", "file not fully covered"),
    ],
)
def test_a_damaged_file_is_named_with_the_damage(
    damage: Callable[[bytes], bytes], message: str, tmp_path: Path
) -> None:
    path = tmp_path / SINGLE
    save_file(TENSORS, path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ModelLoadError, match=rf"cannot read .*model\.safetensors: .*{message}"):
        load_weights(Shards(tmp_path), targets())


def rewrite_index(folder: Path, **changes: str | None) -> None:
    index = {name: f"{name}.safetensors" for name in TENSORS} | changes
    weight_map = {name: shard for name, shard in index.items() if shard is not None}
    (folder / INDEX).write_text(json.dumps({"weight_map": weight_map}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"b": "c.safetensors"}, "index.json names c.safetensors, which is not there"),
        ({"b": "a.safetensors"}, "says that b is in a.safetensors, where it is not"),
        ({"c": "b.safetensors"}, "says that c is in b.safetensors, where it is not"),
        ({"b": "../b.safetensors"}, "names '../b.safetensors', no file of this folder"),
        ({"a": None}, r"index.json lacks a \[2, 3\]$"),
    ],
)
def test_an_index_that_does_not_agree_with_its_shards_is_named(
    changes: dict[str, str | None], message: str, tmp_path: Path
) -> None:
    write_shards(tmp_path)
    rewrite_index(tmp_path, **changes)
    with pytest.raises(ModelLoadError, match=message):
        load_weights(Shards(tmp_path), targets())


def test_a_tensor_that_the_index_leaves_out_is_found_in_its_shard(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "a.safetensors")
    (tmp_path / INDEX).write_text('{"weight_map": {"a": "a.safetensors"}}')
    with pytest.raises(ModelLoadError, match=r"has no entry for b, which a\.safetensors holds"):
        load_weights(Shards(tmp_path), targets())


def test_what_headers_tell_is_checked_before_anything_is_copied(tmp_path: Path) -> None:
    save_file(TENSORS | {"b": torch.zeros(5)}, tmp_path / SINGLE)
    filled = targets()
    with pytest.raises(ModelLoadError, match="b has shape"):
        load_weights(Shards(tmp_path), filled)
    assert not filled["a"].view.any()


def test_sums_that_overflow_are_no_reason_to_refuse(tmp_path: Path) -> None:
    save_file({"a": torch.full((2, 3), 3e38), "b": TENSORS["b"]}, tmp_path / SINGLE)
    load_weights(Shards(tmp_path), targets())


def test_tensors_that_are_cast_are_read_in_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "CHUNK_BYTES", 8)
    many = {f"t{i}": torch.arange(i % 5 + 1.0) + i for i in range(20)}
    save_file(many, tmp_path / SINGLE)
    for dtype in (torch.float32, torch.float64):
        filled = {name: Target.whole(torch.zeros_like(many[name], dtype=dtype)) for name in many}
        load_weights(Shards(tmp_path), filled)
        assert all(torch.equal(filled[name].view, many[name].to(dtype)) for name in many)


def test_a_file_that_shrinks_while_it_is_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / SINGLE
    save_file(TENSORS, path)
    source = Shards(tmp_path)
    source.stored()
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ModelLoadError, match=r"model\.safetensors: it has become shorter"):
        load_weights(source, targets())
