from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from radixlm.runtime.config import CacheConfig, ModelConfig
from radixlm.runtime.engine.inputs import Row
from radixlm.runtime.engine.runner import Runner
from radixlm.runtime.errors import ModelLoadError
from radixlm.runtime.models.registry import ARCHITECTURES, find_family
from radixlm.runtime.models.settings import Settings

LLAMA: dict[str, Any] = {
    "vocab_size": 100,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_listed_architecture_has_a_family(name: str) -> None:
    assert find_family(["Unknown", name]).names


@pytest.mark.parametrize("given", [["GPT5ForCausalLM"], []])
def test_an_unknown_architecture_is_refused_with_the_known_ones(given: list[str]) -> None:
    named = given[0] if given else "none named in config.json"
    with pytest.raises(ModelLoadError, match=f"{named}; supported: .*LlamaForCausalLM"):
        find_family(given)


def test_llama_fills_in_what_old_configs_leave_out() -> None:
    spec = find_family(["LlamaForCausalLM"]).read_spec(Settings(LLAMA, "config.json"))
    assert (spec.kv_heads, spec.key_dim, spec.tied_embeddings) == (4, 16, False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_act": "tanh"}, "hidden_act is 'tanh'; it is not supported; supported: silu"),
        ({"num_key_value_heads": 3}, "num_key_value_heads is 3; it must divide the 4"),
        ({"vocab_size": None}, "the field 'vocab_size' is missing"),
    ],
)
def test_llama_refuses_what_it_does_not_support(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelLoadError, match=message):
        find_family(["LlamaForCausalLM"]).read_spec(Settings(LLAMA | changes, "config.json"))


def test_tensor_names_are_the_checkpoints() -> None:
    family = find_family(["LlamaForCausalLM"])
    assert family.tensor_name("layers.2.attention.q.bias") == "model.layers.2.self_attn.q_proj.bias"
    assert family.tensor_name("head.weight") == "lm_head.weight"


def test_a_checkpoint_that_was_saved_without_its_head_is_read(
    tiny_model: str, tmp_path: Path
) -> None:
    shutil.copytree(tiny_model, tmp_path, dirs_exist_ok=True)
    held = load_file(tmp_path / "model.safetensors")
    bare = {name.removeprefix("model."): tensor for name, tensor in held.items()}
    assert not bare.keys() & held.keys()
    save_file(bare, tmp_path / "model.safetensors")
    row = Row(np.arange(9, dtype=np.int32), 0, np.arange(9, dtype=np.int32), 0)
    cache = CacheConfig(max_total_tokens=20)
    found, wanted = (
        Runner.load(ModelConfig(model_path=str(path), device="cpu"), cache).forward([row])
        for path in (tmp_path, tiny_model)
    )
    assert torch.equal(found, wanted)
