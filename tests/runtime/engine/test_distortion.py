from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from radixlm.runtime.engine.distortion import distortions, distortions_on_device
from radixlm.runtime.messages import Distortion

both = pytest.mark.parametrize("compare", [distortions, distortions_on_device])
Compare = Callable[..., list[Distortion]]


@both
@pytest.mark.parametrize("seed", range(5))
def test_kept_mass_rank_and_force_are_those_of_the_unmasked_distribution(
    seed: int, compare: Compare
) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(4, 70)).astype(np.float32) * 3
    allowed = rng.random((4, 96)) < [[0.5], [0.02], [0.98], [0.0]]
    allowed[:, 5] = True
    tokens = np.array([5, 5, 5, 5], dtype=np.int32)
    mask = torch.from_numpy(np.packbits(allowed, axis=1, bitorder="little").view(np.int32))
    found = compare(torch.from_numpy(logits), tokens, mask)
    chances = np.exp(logits.astype(np.float64))
    chances /= chances.sum(1, keepdims=True)
    for row, each in enumerate(found):
        assert math.exp(each.kept) == pytest.approx(chances[row][allowed[row, :70]].sum(), rel=1e-4)
        assert each.rank == (logits[row] > logits[row, 5]).sum()
        assert each.forced == (allowed[row, :70].sum() == 1)
    assert found[3].forced


@both
def test_what_is_next_to_nothing_keeps_its_logarithm(compare: Compare) -> None:
    logits = torch.tensor([[0.0, 200.0, 0.0]])
    mask = torch.tensor([[5]], dtype=torch.int32)
    [found] = compare(logits, np.array([2], dtype=np.int32), mask)
    assert found.kept == pytest.approx(-200 + math.log(2), rel=1e-5)
    [found] = compare(logits, np.array([2], dtype=np.int32), None)
    assert (found.kept, found.rank, found.forced) == (pytest.approx(-200), 1, True)
