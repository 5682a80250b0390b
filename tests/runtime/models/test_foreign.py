"""Models that `transformers` computes. Their logits are compared in test_matrix.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from radixlm.runtime.config import CacheConfig, ModelConfig
from radixlm.runtime.engine.runner import Runner
from radixlm.runtime.errors import ModelLoadError
from radixlm.runtime.offline import Engine

SMALL = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
LLAMA = SMALL | {"intermediate_size": 16, "max_position_embeddings": 64}


@pytest.fixture(scope="module", autouse=True)
def quiet() -> None:
    transformers.utils.logging.disable_progress_bar()


def write(folder: Path, config: str, **settings: Any) -> Path:
    made = getattr(transformers, config)(**settings)
    transformers.AutoModelForCausalLM.from_config(made).save_pretrained(folder)
    return folder


def load(folder: Path, **settings: Any) -> Runner:
    options: dict[str, Any] = {"device": "cpu", "model_impl": "transformers"} | settings
    config = ModelConfig(model_path=str(folder), **options)
    return Runner.load(config, CacheConfig(max_total_tokens=64))


@pytest.mark.slow
def test_an_engine_says_the_same_whoever_computes_the_model(tiny_model: str) -> None:
    texts = []
    for who in ("native", "transformers"):
        with Engine(
            model_path=tiny_model, in_process=True, model_impl=who, max_total_tokens=2000
        ) as engine:
            found = engine.generate(
                ["The quick brown", "You are a helpful"],
                {"temperature": 0.0, "max_new_tokens": 40},
            )
            texts.append([one["text"] for one in found])
    assert texts[0] == texts[1]


def test_shapes_and_rules_are_what_the_layers_ask_for(tmp_path: Path) -> None:
    folder = write(
        tmp_path,
        "Gemma2Config",
        **LLAMA | {"num_key_value_heads": 1, "head_dim": 12, "sliding_window": 5},
        query_pre_attn_scalar=4,
        attn_logit_softcapping=7.0,
    )
    runner = load(folder)
    assert runner.pool.keys[0].shape[1:] == (1, 12)
    assert (runner.context_length, runner.vocab_size, runner.num_layers) == (64, 50, 2)
    assert runner.dtype == torch.float32


def test_an_unknown_architecture_is_run_unless_only_ours_are_wanted(tmp_path: Path) -> None:
    folder = write(tmp_path, "GPTNeoXConfig", **LLAMA)
    assert load(folder, model_impl="auto").vocab_size == 50
    with pytest.raises(
        ModelLoadError, match=r"GPTNeoXForCausalLM; supported: .*Llama.*--model-impl"
    ):
        load(folder, model_impl="native")


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "own attention": ("BloomConfig", SMALL | {"n_layer": 2, "n_head": 2}, "0 of the 2 layers"),
    "no interface": ("FalconConfig", SMALL, "do not attend through the attention interface"),
    "growing rope": (
        "LlamaConfig",
        LLAMA | {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}},
        "rope that changes with the length",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_model_that_our_attention_does_not_serve_is_refused(case: str, tmp_path: Path) -> None:
    config, settings, message = REFUSED[case]
    with pytest.raises(ModelLoadError, match=message):
        load(write(tmp_path, config, **settings))


def test_other_formats_than_safetensors_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="'dummy' is read by our own decoder alone"):
        load(write(tmp_path, "GPTNeoXConfig", **LLAMA), load_format="dummy")


def test_a_missing_tensor_is_named_rather_than_made_up(tmp_path: Path) -> None:
    folder = write(tmp_path, "GPTNeoXConfig", **LLAMA)
    held = load_file(folder / "model.safetensors")
    del held["gpt_neox.final_layer_norm.bias"]
    save_file(held, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelLoadError, match=r"lacks gpt_neox.final_layer_norm.bias"):
        load(folder)


def test_settings_that_transformers_does_not_know_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"architectures": ["X"], "model_type": "x_model"}')
    with pytest.raises(ModelLoadError, match=r"transformers cannot load .*x_model"):
        load(tmp_path)
