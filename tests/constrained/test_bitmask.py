from __future__ import annotations

import random

import pytest
import torch

from radixlm.constrained.bitmask import allocate_bitmask, apply_bitmask, apply_bitmask_reference


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_exactly_the_forbidden_logits_become_minus_infinity(seed: int, dtype: torch.dtype) -> None:
    rng = random.Random(seed)
    batch, vocab = rng.randint(1, 5), rng.randint(1, 200)
    covered = max(1, vocab - rng.choice([0, 0, 3, 40]))  # the logits may be padded
    mask = allocate_bitmask(batch, covered)
    allowed = torch.rand(batch, mask.shape[1] * 32) < 0.5
    for row in range(batch):
        for word in range(mask.shape[1]):
            bits = sum(1 << bit for bit in range(32) if allowed[row, word * 32 + bit])
            mask[row, word] = bits - (1 << 32) if bits >> 31 else bits
    logits = torch.randn(batch, vocab).to(dtype)
    before = logits.clone()
    rows = (
        None
        if rng.random() < 0.5
        else torch.tensor(rng.sample(range(batch), rng.randint(0, batch)), dtype=torch.int64)
    )
    apply_bitmask(logits, mask, rows)
    touched = range(batch) if rows is None else rows.tolist()
    for row in range(batch):
        for token in range(vocab):
            keep = row not in touched or (token < allowed.shape[1] and bool(allowed[row, token]))
            expected = before[row, token] if keep else torch.tensor(float("-inf"))
            assert logits[row, token] == expected


def test_a_fresh_mask_allows_everything() -> None:
    logits = torch.randn(2, 33)
    before = logits.clone()
    apply_bitmask(logits, allocate_bitmask(2, 33))
    assert torch.equal(logits, before)


@pytest.mark.parametrize(
    "mask",
    [torch.ones(3, 2, dtype=torch.int32), torch.ones(2, 2, dtype=torch.int64), torch.ones(2)],
)
def test_a_mask_of_another_shape_or_type_is_refused(mask: torch.Tensor) -> None:
    with pytest.raises(
        ValueError, match=r"the mask for logits \[2, 40\] on cpu must be \[2, words\] i32"
    ):
        apply_bitmask(torch.zeros(2, 40), mask)


@pytest.mark.gpu
@pytest.mark.parametrize("seed", range(10))
def test_the_kernel_agrees_with_the_reference(seed: int) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs CUDA")
    generator = torch.Generator().manual_seed(seed)
    vocab = 32 * 100 - seed
    logits = torch.randn(8, vocab + seed % 3 * 40, generator=generator).cuda()
    mask = torch.randint(-(2**31), 2**31, (8, 100), dtype=torch.int64, generator=generator)
    rows = torch.tensor([0, 3, 7]).cuda() if seed % 2 else None
    expected = logits.clone()
    apply_bitmask(logits, mask.int().cuda(), rows)
    apply_bitmask_reference(expected, mask.int().cuda(), rows)
    assert torch.equal(logits, expected)
