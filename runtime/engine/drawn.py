"""Sampled tokens on their way to the host."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Drawn:
    """The tokens of one pass: on the device for the next one's input, and copied to the host.

    The copy starts at once, behind what the device still has to do; `read` alone waits for it.

    Attributes:
        tokens: [B] i64 on the device; `sampler.FAILED` where there is none.
    """

    def __init__(self, parts: Sequence[Tensor]) -> None:
        self.tokens = parts[0] if len(parts) == 1 else torch.cat(list(parts))
        self._host, self._copied = self.tokens, None
        if self.tokens.is_cuda:
            self._host = torch.empty(self.tokens.shape, dtype=torch.int64, pin_memory=True)
            self._host.copy_(self.tokens, non_blocking=True)
            self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._copied.record()

    def __len__(self) -> int:
        return len(self.tokens)

    def read(self) -> NDArray[np.int64]:
        """Wait for the tokens and return them, [B]."""
        if self._copied is not None:
            self._copied.synchronize()
        return np.asarray(self._host.numpy())
