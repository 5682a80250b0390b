"""What a constraint did to the model's own distribution, token by token."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...constrained.bitmask import apply_bitmask
from ..kernels.build import KernelError
from ..messages import Distortion
from .native_distortion import NativeDistortion


class Distortions:
    """Compares what was chosen, and what was allowed, with what the model would have said.

    Args:
        cpu_kernels: whether logits on a CPU are measured by the compiled kernel, if it can be
            compiled; `distortions_in_torch` is its reference.
    """

    def __init__(self, *, cpu_kernels: bool = True) -> None:
        self._native: NativeDistortion | None = None
        if cpu_kernels:
            with contextlib.suppress(KernelError):  # the model's kernels, tried before, warned
                self._native = NativeDistortion()

    def measure(
        self,
        logits: Tensor,
        rows: NDArray[np.integer[Any]],
        tokens: NDArray[np.integer[Any]],
        mask: Tensor | None = None,
        held: NDArray[np.integer[Any]] | None = None,
    ) -> list[Distortion]:
        """Measure some positions, all at once.

        Args:
            logits: [any, vocab] f32, unmasked, without temperature and penalties.
            rows: [n] of the logits.
            tokens: [n] what was chosen at each.
            mask: [masks, words] i32 on the host, as `apply_bitmask` has it; None: nothing else was
                allowed.
            held: [n] the row of the mask of each.

        Cost: on a CPU some microseconds for a row of 4,096.
        """
        if self._native is not None and logits.device.type == "cpu":
            return self._native(logits, rows, tokens, mask, held)
        picked = logits[torch.from_numpy(np.asarray(rows, np.int64)).to(logits.device)]
        if mask is not None and held is not None:
            mask = mask[torch.from_numpy(np.asarray(held, np.int64))]
        return distortions_in_torch(picked, tokens, mask)


def distortions_in_torch(
    logits: Tensor, tokens: NDArray[np.integer[Any]], mask: Tensor | None
) -> list[Distortion]:
    """Do what `Distortions.measure` says for all rows, on any device.

    Args:
        logits: [n, vocab] f32.
        tokens: [n].
        mask: [n, words] i32 on the host.
    """
    scores = logits.log_softmax(-1)
    chosen = torch.from_numpy(tokens.astype(np.int64)).to(logits.device)[:, None]
    own = scores.gather(-1, chosen)
    ranks = (scores > own).sum(-1).tolist()
    if mask is None:
        return [
            Distortion(kept=kept, rank=rank, forced=True)
            for kept, rank in zip(own[:, 0].tolist(), ranks, strict=True)
        ]
    masked = scores.clone()
    apply_bitmask(masked, mask.to(logits.device))
    # How much likelier the choice is among the allowed is what they have together; precise also
    # where that is next to nothing.
    kept = own - masked.log_softmax(-1).gather(-1, chosen)
    bits = np.unpackbits(mask.numpy().view(np.uint8), axis=-1, bitorder="little")
    forced = bits[:, : logits.shape[-1]].sum(-1) == 1
    return [
        Distortion(kept=min(kept, 0.0), rank=rank, forced=alone)
        for kept, rank, alone in zip(kept[:, 0].tolist(), ranks, forced.tolist(), strict=True)
    ]
