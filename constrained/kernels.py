"""The bitmask on an accelerator, as a Triton kernel; `bitmask.apply_bitmask_reference` is its twin.

Not chosen: XGrammar's kernels, which take row `i` of the mask for row `i` of the logits, so that
requests cannot share a row, and leave the padding of the vocabulary to a launch of its own.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

__all__ = ["apply_bitmask_kernel"]

BLOCK = 4096  # tokens of a program: 128 words of the mask


@triton.jit
def _forbid(
    logits,
    mask,
    pairs,
    vocab,
    words,
    logits_stride,
    mask_stride,
    PAIRED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One program: `BLOCK` tokens of one row. It writes -inf and reads no logit."""
    index = tl.program_id(0)
    row = index.to(tl.int64)
    mask_row = row
    if PAIRED:
        row = tl.load(pairs + 2 * index).to(tl.int64)
        mask_row = tl.load(pairs + 2 * index + 1).to(tl.int64)
    begin = tl.program_id(1) * BLOCK
    word = begin // 32 + tl.arange(0, BLOCK // 32)
    packed = tl.load(mask + mask_row * mask_stride + word, mask=word < words, other=0)
    bits = (packed[:, None] >> tl.arange(0, 32)[None, :]) & 1
    token = begin + tl.arange(0, BLOCK)
    forbidden = (bits.reshape(BLOCK) == 0) & (token < vocab)
    tl.store(logits + row * logits_stride + token, -float("inf"), mask=forbidden)


def apply_bitmask_kernel(logits: Tensor, mask: Tensor, pairs: Tensor | None) -> None:
    """Do what `apply_bitmask` says, in one launch and without waiting for the device."""
    count = len(logits) if pairs is None else len(pairs)
    if count == 0:
        return
    vocab = logits.shape[1]
    _forbid[(count, triton.cdiv(vocab, BLOCK))](
        logits,
        mask,
        pairs,
        vocab,
        mask.shape[1],
        logits.stride(0),
        mask.stride(0),
        PAIRED=pairs is not None,  # pyright: ignore[reportArgumentType]
        BLOCK=BLOCK,  # pyright: ignore[reportArgumentType]
    )
