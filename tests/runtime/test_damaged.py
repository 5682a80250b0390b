"""Checkpoints that are damaged in every usual way, served as their user would serve them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from radixlm.runtime.errors import ModelLoadError
from radixlm.runtime.offline import Engine

SOURCE = str(Path(__file__).parents[2] / "src")
WEIGHTS, INDEX, CONFIG = "model.safetensors", "model.safetensors.index.json", "config.json"
QUERY = "model.layers.1.self_attn.q_proj.weight"
Damage = Callable[[Path], None]


def change_json(path: Path, **changes: Any) -> None:
    values = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in values.items() if v is not None}))


def config(**changes: Any) -> Damage:
    return lambda folder: change_json(folder / CONFIG, **changes)


def text(name: str, content: str) -> Damage:
    def damage(folder: Path) -> None:
        (folder / name).write_text(content)

    return damage


def tensor(change: Callable[[torch.Tensor], torch.Tensor], name: str = QUERY) -> Damage:
    def damage(folder: Path) -> None:
        tensors = load_file(folder / WEIGHTS)
        save_file(tensors | {name: change(tensors[name])}, folder / WEIGHTS)

    return damage


def lose_tensor(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    del tensors[QUERY]
    save_file(tensors, folder / WEIGHTS)


def add_tensor(folder: Path) -> None:
    save_file(load_file(folder / WEIGHTS) | {"model.extra": torch.zeros(2)}, folder / WEIGHTS)


def truncate(folder: Path) -> None:
    path = folder / WEIGHTS
    os.truncate(path, path.stat().st_size // 2)


def shard(folder: Path) -> None:
    """Cut the weights in two, with an index."""
    tensors = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    names = sorted(tensors)
    places = {name: f"part-{index % 2}.safetensors" for index, name in enumerate(names)}
    for file in set(places.values()):
        held = {name: tensors[name] for name in names if places[name] == file}
        save_file(held, folder / file)
    (folder / INDEX).write_text(json.dumps({"weight_map": places}))


def truncate_shard(folder: Path) -> None:
    shard(folder)
    path = folder / "part-1.safetensors"
    os.truncate(path, path.stat().st_size - 100)


def lose_shard(folder: Path) -> None:
    shard(folder)
    (folder / "part-0.safetensors").unlink()


def lose_entry(folder: Path) -> None:
    shard(folder)
    places = json.loads((folder / INDEX).read_text())["weight_map"]
    del places[QUERY]
    (folder / INDEX).write_text(json.dumps({"weight_map": places}))


def poison(weights: torch.Tensor) -> torch.Tensor:
    weights[3, 5] = torch.nan
    return weights


def few_rows(folder: Path) -> None:
    change_json(folder / CONFIG, vocab_size=400)
    tensor(lambda weights: weights[:400].clone(), "model.embed_tokens.weight")(folder)


DAMAGES: dict[str, tuple[Damage, str]] = {
    "truncated": (truncate, rf"cannot read \S*{WEIGHTS}: it is truncated: it has \d+ bytes of"),
    "truncated shard": (truncate_shard, r"cannot read \S*part-1.safetensors: it is truncated"),
    "no shard": (lose_shard, rf"{INDEX} names part-0.safetensors, which is not there"),
    "no index entry": (lose_entry, rf"{INDEX} has no entry for {QUERY}, which part-\d.safetensors"),
    "missing tensor": (lose_tensor, rf"{WEIGHTS} lacks {QUERY} \[64, 64\]"),
    "extra tensor": (add_tensor, rf"no place for: model.extra \[2\] in {WEIGHTS}"),
    "wrong shape": (
        tensor(lambda weights: weights[:32].clone()),
        rf"{WEIGHTS}: {QUERY} has shape \[32, 64\], the model's settings need \[64, 64\]",
    ),
    "wrong dtype": (tensor(torch.Tensor.char), rf"{WEIGHTS}: {QUERY} \[64, 64\] holds I8"),
    "not a number": (
        tensor(poison),
        rf"{WEIGHTS}: {QUERY} \[64, 64\] holds 1 values that are not finite .* at \[3, 5\]",
    ),
    "no field": (config(hidden_size=None), rf"{CONFIG}: the field 'hidden_size' is missing"),
    "wrong field": (config(hidden_size="64"), "hidden_size.*'64'"),
    "no json": (text(CONFIG, "{"), rf"cannot read \S*{CONFIG}: Expecting property name"),
    "no architecture": (
        config(architectures=["NoSuchModel"], model_type="no_such"),
        "no_such.*does not recognize|none of our own .*LlamaForCausalLM.*no_such",
    ),
    "another vocabulary": (
        few_rows,
        rf"{CONFIG}: vocab_size is 400; it must be above the ids of the tokenizer in \S+, "
        r"which go up to 497 \('.+'\)",
    ),
    "broken tokenizer": (text("tokenizer.json", "{"), r"the tokenizer in '\S+' cannot be loaded"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_named_with_its_place(name: str, tiny_model: str, tmp_path: Path) -> None:
    damage, message = DAMAGES[name]
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    damage(folder)
    with pytest.raises(ModelLoadError, match=message):
        Engine(model_path=folder, in_process=True, device="cpu", max_total_tokens=64).close()


def test_what_is_cut_into_shards_is_served_when_it_is_whole(
    tiny_model: str, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    shard(folder)
    with Engine(model_path=folder, in_process=True, device="cpu", max_total_tokens=64) as engine:
        assert engine.generate("a", {"max_new_tokens": 2, "ignore_eos": True})["text"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (None, "no folder '/no/such/model' on this machine"),
        (truncate, "it is truncated"),
        (config(architectures=["NoSuchModel"], model_type="no_such"), "no_such"),
    ],
)
def test_the_command_says_it_in_its_last_line_within_seconds(
    damage: Damage | None, message: str, tiny_model: str, tmp_path: Path
) -> None:
    path = "/no/such/model"
    if damage is not None:
        path = str(shutil.copytree(tiny_model, tmp_path / "model"))
        damage(Path(path))
    started = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-m", "radixlm.cli", "serve", "--model-path", path, "--device", "cpu"],
        env={**os.environ, "PYTHONPATH": SOURCE},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ended.returncode == 1
    assert message in ended.stderr
    assert ended.stderr.splitlines()[-1].startswith("radixlm: ")
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""
    assert time.monotonic() - started < 60, "seconds on a quiet machine"
