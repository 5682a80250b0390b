from __future__ import annotations

import math
import shutil

import numpy as np
import pytest
import torch

from radixlm.runtime.engine.distortion import Distortions, distortions_in_torch

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")
both = pytest.mark.parametrize(
    "distortions", [pytest.param(True, marks=needs_compiler), False], indirect=True
)


@pytest.fixture
def distortions(request: pytest.FixtureRequest) -> Distortions:
    return Distortions(cpu_kernels=request.param)


@both
@pytest.mark.parametrize("vocab", [1, 9, 16, 31, 32, 70, 1100])
def test_kept_mass_rank_and_force_are_those_of_the_unmasked_distribution(
    vocab: int, distortions: Distortions
) -> None:
    rng = np.random.default_rng(vocab)
    chosen = vocab // 2
    logits = rng.normal(size=(6, vocab)).astype(np.float32) * 3
    allowed = rng.random((4, -(-vocab // 32) * 32)) < [[0.5], [0.02], [0.98], [0.0]]
    allowed[:, chosen] = True
    mask = torch.from_numpy(np.packbits(allowed, axis=1, bitorder="little").view(np.int32))
    rows, held = np.array([5, 0, 2, 2, 3]), np.array([3, 0, 1, 2, 0], dtype=np.int32)
    tokens = np.full(5, chosen, dtype=np.int32)
    found = distortions.measure(torch.from_numpy(logits), rows, tokens, mask, held)
    chances = np.exp(logits.astype(np.float64))
    chances /= chances.sum(1, keepdims=True)
    for row, bits, each in zip(rows, allowed[held, :vocab], found, strict=True):
        assert math.exp(each.kept) == pytest.approx(chances[row][bits].sum(), rel=1e-4)
        assert each.rank == (logits[row] > logits[row, chosen]).sum()
        assert each.forced == (bits.sum() == 1)
    assert found[0].forced


@both
def test_what_is_next_to_nothing_keeps_its_logarithm(distortions: Distortions) -> None:
    logits, rows = torch.tensor([[0.0, 200.0, 0.0]]), np.array([0])
    mask = torch.tensor([[5]], dtype=torch.int32)
    [found] = distortions.measure(logits, rows, np.array([2]), mask, rows)
    assert found.kept == pytest.approx(-200 + math.log(2), rel=1e-5)
    [found] = distortions.measure(logits, rows, np.array([2]))
    assert found.kept == pytest.approx(-200)
    assert (found.rank, found.forced) == (1, True)


@needs_compiler
def test_the_kernel_measures_what_torch_measures() -> None:
    rng = np.random.default_rng(0)
    logits = torch.from_numpy(rng.normal(size=(8, 4099)).astype(np.float32) * 5)
    logits[3, ::2] = -torch.inf
    mask = torch.from_numpy(rng.integers(-(2**31), 2**31, (8, 129)).astype(np.int32))
    mask[:, 3] = -1
    rows, tokens = np.arange(8), rng.integers(97, 128, 8)
    kernel = Distortions().measure(logits, rows, tokens, mask, rows)
    for one, other in zip(kernel, distortions_in_torch(logits, tokens, mask), strict=True):
        assert one.kept == pytest.approx(other.kept, abs=1e-5)
        assert (one.rank, one.forced) == (other.rank, other.forced)
