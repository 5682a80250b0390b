"""Packed token masks on the host, and their plain application to logits."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["allocate_bitmask", "apply_bitmask", "apply_bitmask_reference"]

WORD_BITS = 32


def allocate_bitmask(batch: int, vocab_size: int) -> Tensor:
    """Return a mask that allows everything.

    Returns:
        [batch, ceil(vocab_size / 32)] i32 on the CPU, all bits 1; pinned where CUDA is there, so
        that its copy to the device can be asynchronous.
    """
    words = -(-vocab_size // WORD_BITS)
    return torch.full((batch, words), -1, dtype=torch.int32, pin_memory=torch.cuda.is_available())


def apply_bitmask(logits: Tensor, mask: Tensor, rows: Tensor | None = None) -> None:
    """Set to -inf, in place, each logit whose token the mask forbids.

    On CUDA this is xgrammar's kernel, elsewhere `apply_bitmask_reference`; they are tested
    against each other.

    Args:
        logits: [batch, vocab] f32, f16 or bf16. `vocab` may exceed what the mask covers: those
            columns are padding and become -inf. It may also end inside the mask's last word.
        mask: [batch, words] i32 on the same device; bit `t % 32` of word `t // 32` is 1 where
            token `t` is allowed.
        rows: [n] i64 indices of the rows to touch in both; None means all. On the CPU or the same
            device; there they cost a host sync.

    Raises:
        ValueError: "the mask for logits [2, 40] on cpu must be [2, words] i32 there, not [3, 2]
            int32 on cpu".

    Cost: one pass over the touched logits, no other host sync.
    Source: the packed layout is XGrammar's (arXiv:2411.15100).
    """
    _check(logits, mask)
    if not logits.is_cuda:
        apply_bitmask_reference(logits, mask, rows)
        return
    from xgrammar import apply_token_bitmask_inplace

    covered = min(logits.shape[1], mask.shape[1] * WORD_BITS)
    indices = None if rows is None else rows.tolist()
    apply_token_bitmask_inplace(logits, mask, vocab_size=covered, indices=indices)
    if covered < logits.shape[1]:
        logits[slice(None) if rows is None else rows, covered:] = float("-inf")


def apply_bitmask_reference(logits: Tensor, mask: Tensor, rows: Tensor | None = None) -> None:
    """Do what `apply_bitmask` says in plain torch, on any device: kernels are tested against it."""
    _check(logits, mask)
    vocab = logits.shape[1]
    picked = mask if rows is None else mask[rows]
    shifts = torch.arange(WORD_BITS, dtype=torch.int32, device=mask.device)
    bits = (picked.unsqueeze(-1) >> shifts) & 1  # [n, words, 32]
    forbidden = (bits.flatten(1) == 0)[:, :vocab]  # [n, min(vocab, words * 32)]
    forbidden = torch.nn.functional.pad(forbidden, (0, vocab - forbidden.shape[1]), value=True)
    if rows is None:
        logits.masked_fill_(forbidden, float("-inf"))
    else:
        logits[rows] = logits[rows].masked_fill(forbidden, float("-inf"))


def _check(logits: Tensor, mask: Tensor) -> None:
    fits = logits.dim() == mask.dim() == 2 and logits.shape[0] == mask.shape[0]
    if not fits or mask.dtype != torch.int32 or mask.device != logits.device:
        raise ValueError(
            f"the mask for logits {list(logits.shape)} on {logits.device} must be "
            f"[{logits.shape[0]}, words] i32 there, "
            f"not {list(mask.shape)} {str(mask.dtype).removeprefix('torch.')} on {mask.device}"
        )
