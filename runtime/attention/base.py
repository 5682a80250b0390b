"""What the model asks of attention: plan a pass once, then write and attend in every layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the B sequences of a pass lie: among its T new tokens, and in the KV pool.

    Slots are ragged rather than a padded table: one long prompt among many short sequences would
    pad all of them to its length, and ragged is what paged kernels read at page size 1.
    """

    query_lens: NDArray[np.int64]  # [B] new tokens of each sequence, on the host; at least 1
    kv_lens: NDArray[np.int64]  # [B] positions it attends to, the new ones included, on the host
    new_slots: Tensor  # [T] i64: where the new tokens' keys and values go
    slots: Tensor  # [sum(kv_lens)] i64: every position's slot, sequence after sequence


class Attention(Protocol):
    """Causal attention, grouped-query, over keys and values that lie in pool slots.

    A pass is `plan` once, then for each layer `write` and `attend`. The result for one sequence
    depends on the others in the pass by rounding alone.
    """

    def plan(self, layout: Layout) -> None:
        """Prepare for the pass that `layout` describes."""
        ...

    def write(self, layer: int, keys: Tensor, values: Tensor) -> None:
        """Store the new tokens' keys and values, [T, kv_heads, head_dim] each, in their slots."""
        ...

    def attend(self, layer: int, queries: Tensor) -> Tensor:
        """Return [T, heads, head_dim] for queries of that shape, written positions included."""
        ...
