from __future__ import annotations

import random
from types import ModuleType

import pytest
import torch
from torch import Tensor

from radixlm.constrained.bitmask import allocate_bitmask, apply_bitmask, apply_bitmask_reference

from ..scripts import load


def random_case(seed: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor | None]:
    """Logits, which may be padded, a mask, and pairs that may share its rows."""
    rng = random.Random(seed)
    generator = torch.Generator().manual_seed(seed)
    batch, vocab = rng.randint(1, 5), rng.choice([1, 31, 32, 33, 200, 4095, 4096, 9000])
    covered = max(1, vocab - rng.choice([0, 0, 3, 40]))
    masks = batch if seed % 2 else rng.randint(1, 4)
    words = allocate_bitmask(1, covered).shape[1]
    mask = torch.randint(-(2**31), 2**31, (masks, words), generator=generator).int()
    pairs = None
    if not seed % 2:
        rows = rng.sample(range(batch), rng.randint(0, batch))
        pairs = torch.tensor([[row, rng.randrange(masks)] for row in rows], dtype=torch.int32)
        pairs = pairs.view(-1, 2)
    return torch.randn(batch, vocab, generator=generator).to(dtype), mask, pairs


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_exactly_the_forbidden_logits_become_minus_infinity(seed: int, dtype: torch.dtype) -> None:
    logits, mask, pairs = random_case(seed, dtype)
    expected = logits.clone()
    held = enumerate(range(len(logits))) if pairs is None else pairs.tolist()
    for row, mask_row in held:
        words = mask[mask_row].tolist()
        for token in range(logits.shape[1]):
            word = words[token // 32] if token // 32 < len(words) else 0
            if not word >> token % 32 & 1:
                expected[row, token] = float("-inf")
    for apply in (apply_bitmask, apply_bitmask_reference):
        found = logits.clone()
        apply(found, mask, pairs)
        assert torch.equal(found, expected)


def test_a_forbidden_nan_is_forbidden_and_an_allowed_one_stays() -> None:
    logits = torch.full((1, 32), torch.nan)
    apply_bitmask(logits, torch.tensor([[2]], dtype=torch.int32))
    assert logits.isnan().nonzero().tolist() == [[0, 1]]
    assert (logits == -torch.inf).sum() == 31


def test_a_fresh_mask_allows_everything() -> None:
    logits = torch.randn(2, 33)
    before = logits.clone()
    apply_bitmask(logits, allocate_bitmask(2, 33))
    assert torch.equal(logits, before)


@pytest.mark.parametrize(
    "mask",
    [torch.ones(3, 2, dtype=torch.int32), torch.ones(2, 2, dtype=torch.int64), torch.ones(2)],
)
def test_a_mask_of_another_shape_or_type_is_refused(mask: Tensor) -> None:
    with pytest.raises(
        ValueError, match=r"the mask for logits \[2, 40\] on cpu must be \[2, words\] i32"
    ):
        apply_bitmask(torch.zeros(2, 40), mask)


def test_pairs_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must be \[n, 2\], not \[3\]"):
        apply_bitmask(torch.zeros(2, 40), allocate_bitmask(1, 40), torch.zeros(3).int())


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The kernels as Triton's interpreter runs them: made anew, as that is settled at import."""
    pytest.importorskip("triton", reason="Triton is not installed")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    return load("src/radixlm/constrained/kernels.py")


def test_the_kernel_agrees_with_the_reference_under_tritons_interpreter(
    interpreted: ModuleType,
) -> None:
    for seed in range(20):
        logits, mask, pairs = random_case(seed, [torch.float32, torch.float16][seed // 2 % 2])
        expected = logits.clone()
        apply_bitmask_reference(expected, mask, pairs)
        interpreted.apply_bitmask_kernel(logits, mask, pairs)
        assert torch.equal(logits, expected)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("seed", range(20))
def test_the_kernel_agrees_with_the_reference(seed: int, dtype: torch.dtype) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs CUDA")
    logits, mask, pairs = random_case(seed, dtype)
    logits, mask = logits.cuda(), mask.cuda()
    pairs = None if pairs is None else pairs.cuda()
    expected = logits.clone()
    apply_bitmask_reference(expected, mask, pairs)
    apply_bitmask(logits, mask, pairs)
    assert torch.equal(logits, expected)
