"""Checkpoints with vision that are damaged in every usual way; see `test_damaged`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from radixlm.runtime.errors import ModelLoadError
from radixlm.runtime.offline import Engine

from .vision import write_llava

WEIGHTS, CONFIG = "model.safetensors", "config.json"
OLD, NEW = "preprocessor_config.json", "processor_config.json"
Damage = Callable[[Path], None]


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llava")
    write_llava(folder)
    return folder


def tensors(change: Callable[[dict[str, torch.Tensor]], None]) -> Damage:
    def damage(folder: Path) -> None:
        held = load_file(folder / WEIGHTS)
        change(held)
        save_file(held, folder / WEIGHTS)

    return damage


def lost(part: str) -> Damage:
    def change(held: dict[str, torch.Tensor]) -> None:
        for name in [name for name in held if part in name]:
            del held[name]

    return tensors(change)


def cut(part: str) -> Damage:
    def change(held: dict[str, torch.Tensor]) -> None:
        [name] = [name for name in held if name.endswith(part)]
        held[name] = held[name][:5].clone()

    return tensors(change)


def fields(file: str, *path: str, **changes: Any) -> Damage:
    """Change fields of an object inside a JSON file; None takes one away."""

    def damage(folder: Path) -> None:
        values = inner = json.loads((folder / file).read_text())
        for name in path:
            inner = inner[name]
        inner.update(changes)
        for name in [name for name, value in inner.items() if value is None]:
            del inner[name]
        (folder / file).write_text(json.dumps(values))

    return damage


def without(file: str) -> Damage:
    return lambda folder: (folder / file).unlink()


def broken(file: str) -> Damage:
    def damage(folder: Path) -> None:
        (folder / file).write_text("{")

    return damage


DAMAGES: dict[str, tuple[Damage, str]] = {
    "no projector": (lost("multi_modal_projector"), rf"{WEIGHTS} lacks .*projector\.linear_1"),
    "no projector's matrix": (
        lost("projector.linear_2.weight"),
        rf"{WEIGHTS} lacks multi_modal_projector\.linear_2\.weight \[64, 64\]",
    ),
    "no layer of the tower": (
        lost("encoder.layers.1."),
        rf"{WEIGHTS} lacks vision_tower\..*ers\.1",
    ),
    "no decoder": (lost("language_model"), rf"{WEIGHTS} lacks language_model\."),
    "a projector of another width": (
        cut("projector.linear_1.weight"),
        rf"{WEIGHTS}: \S*linear_1.weight has shape \[5, 32\], .* need \[64, 32\]",
    ),
    "a tower of another size": (
        fields(CONFIG, "vision_config", image_size=56),
        rf"{WEIGHTS}: \S*position_embedding.weight has shape \[17, 32\], .* need \[65, 32\]",
    ),
    "another tower": (
        fields(CONFIG, "vision_config", model_type="pixtral"),
        rf"{CONFIG}: vision_config has model_type 'pixtral', which is not supported",
    ),
    "another family": (
        fields(CONFIG, architectures=["LlavaNextForConditionalGeneration"]),
        "architecture LlavaNextForConditionalGeneration is none of our own .*LlavaForConditional",
    ),
    "no processor": (
        without(NEW),
        rf"has no {OLD}: nothing says how images are brought to the vision tower's size",
    ),
    "a processor of text alone": (
        fields(NEW, image_processor=None),
        rf"has no {OLD}, and {NEW} has no image_processor",
    ),
    "a broken processor": (broken(NEW), rf"cannot read \S*{NEW}: Expecting"),
    "an ordinary token for images": (
        fields(CONFIG, image_token_id=70),
        rf"{CONFIG}: image_token_id is 70; .* not among the tokens added to .*'<image>' 2",
    ),
    "the end's token for images": (
        fields(CONFIG, image_token_id=1),
        rf"{CONFIG}: image_token_id is 1; .* is '</s>' in the tokenizer .* writes '<image>'",
    ),
    "a token that is none": (
        fields(CONFIG, image_token_id=9000),
        "image_token_id is 9000; it must",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_named_with_its_place(name: str, llava: Path, tmp_path: Path) -> None:
    damage, message = DAMAGES[name]
    folder = shutil.copytree(llava, tmp_path / "model")
    damage(folder)
    with pytest.raises(ModelLoadError, match=message):
        Engine(model_path=str(folder), in_process=True, device="cpu", max_total_tokens=64).close()
