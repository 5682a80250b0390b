"""Every family against `transformers`, by `benchmarks/models.py`."""

from __future__ import annotations

import shutil
from types import ModuleType

import pytest
import torch
import transformers

from radixlm.runtime.attention.plain import PlainAttention

from ...scripts import load

TOLERANCE = 2e-4  # of logits in f32


def script() -> ModuleType:
    return load("benchmarks/models.py")


MATRIX = script()


# Families that the CPU kernels compute.
COMPILED = ("Mistral", "Qwen 2, 2.5", "Qwen 3", "LLaVA (SigLIP, Qwen 2)")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "kernels"),
    [
        *[(name, "torch") for name in MATRIX.FAMILIES],
        *[(name, "compiled") for name in COMPILED],
        *[pytest.param(name, "cuda", marks=pytest.mark.gpu) for name in MATRIX.FAMILIES],
    ],
)
def test_a_family_agrees_with_transformers_in_every_way_through_it(
    family: str, kernels: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kernels == "compiled":
        if shutil.which("g++") is None:
            pytest.skip("g++ is not installed")

        def unexpected(*_: object) -> None:
            raise AssertionError("the compiled pass has its own attention")

        monkeypatch.setattr(PlainAttention, "plan", unexpected)
    transformers.utils.logging.disable_progress_bar()
    if kernels == "cuda" and not torch.cuda.is_available():
        pytest.skip("torch finds no CUDA device")
    device = "cuda" if kernels == "cuda" else "cpu"
    found = MATRIX.measure(family, device=device, disable_cpu_kernels=kernels == "torch")
    differences = {way: getattr(found, way) for way in MATRIX.WAYS} | found.ropes
    if found.window is not None:
        differences["window"] = found.window
    assert {way: value for way, value in differences.items() if value >= TOLERANCE} == {}
    assert found.greedy == MATRIX.GREEDY
    assert found.distinct > 10
