"""What a constraint did to the model's own distribution, token by token."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...constrained.bitmask import apply_bitmask
from ..messages import Distortion


def distortions(
    logits: Tensor, tokens: NDArray[np.integer[Any]], mask: Tensor | None
) -> list[Distortion]:
    """Compare what was chosen, and what was allowed, with what the model would have said.

    Args:
        logits: [n, vocab] f32, unmasked, without temperature and penalties.
        tokens: [n] what was chosen at each.
        mask: [n, words] i32 on the host, as `apply_bitmask` has it; None: nothing else was allowed.
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
