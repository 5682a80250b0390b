"""Whole models with weights in fewer bits: every family, every format of files, and engines."""

from __future__ import annotations

import argparse
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import radixlm as rl
from radixlm.runtime.cli import add_serve
from radixlm.runtime.config import CacheConfig, ModelConfig
from radixlm.runtime.engine.inputs import Row
from radixlm.runtime.engine.runner import Runner
from radixlm.runtime.errors import ModelLoadError
from radixlm.runtime.quant import Plain, Scheme, Weight, schemes
from radixlm.runtime.quant.int8 import Int8Method

from ...scripts import load

MATRIX = load("benchmarks/models.py")
CAPITALS = {"France": "Paris", "Japan": "Tokyo", "Norway": "Oslo"}
OWN = [name for name, family in MATRIX.FAMILIES.items() if family.is_own]


@dataclass
class Copied:
    """A method that keeps all bits, and counts."""

    shapes: list[tuple[int, ...]]

    def hold(self, weight: Tensor) -> Weight:
        self.shapes.append(tuple(weight.shape))
        return Plain(weight.clone())


def logits(path: Path | str, **settings: Any) -> Tensor:
    options: dict[str, Any] = {"device": "cpu", "dtype": "float32"} | settings
    config = ModelConfig(model_path=str(path), **options)
    runner = Runner.load(config, CacheConfig(max_total_tokens=64))
    tokens = np.arange(3, 43, dtype=np.int32)
    return runner.forward([Row(tokens, 0, np.arange(40, dtype=np.int32), 0)])


@pytest.mark.parametrize("name", OWN)
def test_every_family_gathers_its_matrices_whole(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    MATRIX.Reference(MATRIX.FAMILIES[name], tmp_path)
    kept = Copied([])
    monkeypatch.setitem(schemes.SCHEMES, "copied", Scheme(kept, kept))
    plain = logits(tmp_path, disable_cpu_kernels=True)
    held = logits(tmp_path, disable_cpu_kernels=True, quantization="copied")
    torch.testing.assert_close(held, plain, rtol=1e-4, atol=1e-5)
    assert len(kept.shapes) > 8


@dataclass
class Widened:
    """A method that rounds as another does, and holds the result as plain numbers."""

    name: str

    def hold(self, weight: Tensor) -> Weight:
        return Plain(
            schemes.SCHEMES[self.name]
            .layers.hold(weight)
            .rows(torch.arange(len(weight), device=weight.device))
        )


@pytest.mark.parametrize("quantization", ["int8", "int4-32"])
@pytest.mark.parametrize("name", ["Qwen 3", "GPT-2", "gpt-oss"])
def test_logits_are_those_of_the_rounded_numbers(
    name: str, quantization: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    MATRIX.Reference(MATRIX.FAMILIES[name], tmp_path)
    rounded = Scheme(Widened(quantization), Widened("int8"))
    monkeypatch.setitem(schemes.SCHEMES, "widened", rounded)
    plain = logits(tmp_path, disable_cpu_kernels=True)
    widened = logits(tmp_path, disable_cpu_kernels=True, quantization="widened")
    held = logits(tmp_path, quantization=quantization)
    torch.testing.assert_close(held, widened, rtol=1e-4, atol=2e-4)
    error = (held - plain).abs().mean() / plain.abs().mean()
    assert 1e-4 < error < (0.05 if quantization == "int8" else 0.6)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device")
@pytest.mark.parametrize("quantization", ["int8", "int4-32"])
@pytest.mark.parametrize("name", ["Qwen 3", "GPT-2", "gpt-oss"])
def test_logits_on_cuda_are_near_those_of_the_rounded_numbers(
    name: str, quantization: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    MATRIX.Reference(MATRIX.FAMILIES[name], tmp_path)
    rounded = Scheme(Widened(quantization), Widened("int8"))
    monkeypatch.setitem(schemes.SCHEMES, "widened", rounded)
    widened = logits(tmp_path, disable_cpu_kernels=True, dtype="bfloat16", quantization="widened")
    settings = {"device": "cuda", "dtype": "bfloat16", "quantization": quantization}
    held = logits(tmp_path, **settings).cpu()
    assert (held - widened).norm() / widened.norm() < 0.1


@dataclass
class Watched:
    """A method that sees which of the matrices handed to it are still there."""

    handed: list[weakref.ref[Tensor]]

    def hold(self, weight: Tensor) -> Weight:
        assert not any(one() is not None for one in self.handed)
        self.handed.append(weakref.ref(weight))
        return Int8Method().hold(weight)


def test_a_matrix_is_let_go_before_the_next_one_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    MATRIX.Reference(MATRIX.FAMILIES["Llama"], tmp_path)
    watched = Watched([])
    monkeypatch.setitem(schemes.SCHEMES, "watched", Scheme(watched, watched))
    logits(tmp_path, disable_cpu_kernels=True, quantization="watched")
    assert len(watched.handed) == 3 * 4 + 1  # of three layers, and the head


def test_numbers_that_are_not_finite_are_found_though_they_are_rounded(tmp_path: Path) -> None:
    MATRIX.Reference(MATRIX.FAMILIES["Llama"], tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    name = "model.layers.1.self_attn.k_proj.weight"
    tensors[name][3, 5] = torch.nan
    save_file(tensors, path)
    with pytest.raises(ModelLoadError, match=rf"safetensors: {name} .* 1 values .* is at \[3, 5\]"):
        logits(tmp_path, quantization="int8")


def test_random_weights_are_rounded_too(tmp_path: Path) -> None:
    MATRIX.Reference(MATRIX.FAMILIES["Llama"], tmp_path)
    (tmp_path / "model.safetensors").unlink()
    found = logits(tmp_path, load_format="dummy", quantization="int8")
    assert found.isfinite().all()
    assert found.std() > 0.01


def test_a_name_that_is_none_is_refused_with_those_that_are(tiny_model: str) -> None:
    with pytest.raises(ModelLoadError, match=r"is 'fp8'; it must be one of int8, .*int4wo-32"):
        logits(tiny_model, quantization="fp8")


def test_a_model_of_transformers_is_refused(tmp_path: Path) -> None:
    MATRIX.Reference(MATRIX.FAMILIES["StarCoder 2"], tmp_path)
    with pytest.raises(ModelLoadError, match=r"'int8' is for our own decoder alone.*Starcoder2"):
        logits(tmp_path, quantization="int8")


def test_sglangs_option_is_understood() -> None:
    parser = argparse.ArgumentParser()
    add_serve(parser.add_subparsers())
    options = parser.parse_args(["serve", "--torchao-config", "int4wo-32"])
    assert options.quantization == "int4wo-32"
    assert parser.parse_args(["serve"]).quantization is None


def test_torchao_names_mean_the_same(tiny_model: str) -> None:
    for ours, theirs in (("int8", "int8wo"), ("int4-32", "int4wo-32")):
        found = [logits(tiny_model, quantization=name) for name in (ours, theirs)]
        assert torch.equal(*found)


@pytest.mark.parametrize("quantization", ["int8", "int4"])
def test_the_shipped_model_still_knows_its_capitals(quantization: str) -> None:
    greedy = {"temperature": 0, "max_new_tokens": 8}
    with rl.Engine(in_process=True, quantization=quantization, max_total_tokens=512) as engine:
        answers = engine.generate([f"The capital of {where} is" for where in CAPITALS], greedy)
    for answer, capital in zip(answers, CAPITALS.values(), strict=True):
        assert answer["text"].strip() == f"{capital}."


@pytest.mark.parametrize(("quantization", "share"), [("int8", 0.52), ("int4", 0.33)])
def test_weights_take_as_much_less_memory_as_they_have_fewer_bits(
    quantization: str, share: float
) -> None:
    sizes = [
        Runner.load(
            ModelConfig(quantization=name, dtype="bfloat16"), CacheConfig(max_total_tokens=16)
        ).weight_bytes
        for name in (None, quantization)
    ]
    assert sizes[1] < share * sizes[0]


def test_a_saved_cache_is_for_one_way_of_holding_weights(tiny_model: str, tmp_path: Path) -> None:
    limits = {"in_process": True, "max_total_tokens": 256, "cache_dir": str(tmp_path)}
    prompt, sampling = "The quick brown fox jumps over the lazy dog", {"max_new_tokens": 1}
    cached = []
    for quantization in (None, "int8", "int8"):
        settings = {"model_path": tiny_model, "quantization": quantization, **limits}
        with rl.Engine(**settings) as engine:
            cached.append(engine.generate(prompt, sampling)["meta_info"]["cached_tokens"])
    assert cached[:2] == [0, 0]
    assert cached[2] > 0
