"""What the model asks of attention: plan a pass once, then write and attend in every layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the B sequences of a pass lie: among its T new tokens, and in the KV pool.

    Slots are ragged rather than a padded table: one long prompt among many short sequences would
    pad all of them to its length, and ragged is what paged kernels read at page size 1. They stay
    where the cache's leases have them; who needs them in one piece on the device gathers them.
    """

    query_lens: NDArray[np.int64]  # [B] new tokens of each sequence, on the host; at least 1
    kv_lens: NDArray[np.int64]  # [B] positions it attends to, the new ones included, on the host
    addresses: NDArray[np.uint64]  # [B] host address of each sequence's slots, [kv_len] i32
    slots: Callable[[], Sequence[NDArray[np.int32]]]  # [B] the same as arrays

    def gather(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return all slots, [sum(kv_lens)] i64, and those of the new tokens, [T] i64."""
        ragged = self.slots()
        new = [slots[len(slots) - n :] for slots, n in zip(ragged, self.query_lens, strict=True)]
        total = int(self.kv_lens.sum())
        packed = torch.from_numpy(np.concatenate([*ragged, *new], dtype=np.int64))
        if device.type == "cuda":  # from pageable memory the copy would wait for the device
            packed = packed.pin_memory()
        on_device = packed.to(device, non_blocking=True)
        return on_device[:total], on_device[total:]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How the queries of one layer score keys: softmax(cap(scale * q k)) over what they see."""

    scale: float  # usually head_dim ** -0.5
    window: int | None = None  # the last positions that are seen, the own included; None: all
    softcap: float | None = None  # scores become softcap * tanh(score / softcap)


class Attention(Protocol):
    """Causal attention, grouped-query, over keys and values that lie in pool slots.

    A pass is `plan` once, then for each layer `write` and `attend`, so that all of the pass's new
    keys and values are in their slots before any is read. Sequences may share slots, and one may
    attend to what another of the same pass has just written: so branches of a tree of tokens are
    sequences of one pass, each with the slots of its path. Else the result for one sequence depends
    on the others in the pass by rounding alone.
    """

    def plan(self, layout: Layout) -> None:
        """Prepare for the pass that `layout` describes."""
        ...

    def write(self, layer: int, keys: Tensor, values: Tensor) -> None:
        """Store the new tokens' keys and values, [T, kv_heads, key_dim or value_dim]."""
        ...

    def attend(self, layer: int, queries: Tensor, sinks: Tensor | None = None) -> Tensor:
        """Attend by the layer's rule, positions that this pass wrote included.

        Args:
            layer: whose rule, keys and values.
            queries: [T, heads, key_dim].
            sinks: [heads], a score that joins each query's softmax and has no value.

        Returns:
            [T, heads, value_dim].
        """
        ...
