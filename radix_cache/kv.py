"""The tensors that the slots index."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .host import Copy


class KVPool:
    """Keys and values of all layers.

    Rows that pad a batch to a fixed shape write to `scratch_slot`, one past the last slot, so
    that they need no mask. Everything starts at zero: attention multiplies masked values by a
    weight of zero, and zero times an uninitialised NaN is NaN.

    Attributes:
        keys: one tensor a layer, [num_slots + 1, num_kv_heads, head_dim] `dtype` on `device`.
        values: the same, or `value_dim` wide.
        num_slots: the scratch slot not counted.
        bytes_per_slot: keys and values of one token in all layers.
    """

    def __init__(
        self,
        num_layers: int,
        num_slots: int,
        num_kv_heads: int,
        head_dim: int,
        dtype: torch.dtype,
        device: torch.device | str,
        *,
        value_dim: int | None = None,
    ) -> None:
        def make(width: int) -> list[Tensor]:
            shape = (num_slots + 1, num_kv_heads, width)
            return [torch.zeros(shape, dtype=dtype, device=device) for _ in range(num_layers)]

        self.keys, self.values = make(head_dim), make(value_dim or head_dim)
        self.num_slots = num_slots
        self.bytes_per_slot = bytes_per_slot(
            num_layers, num_kv_heads, head_dim, dtype, value_dim=value_dim
        )

    @property
    def scratch_slot(self) -> int:
        """The slot that nobody reads."""
        return self.num_slots


def bytes_per_slot(
    num_layers: int,
    num_kv_heads: int,
    head_dim: int,
    dtype: torch.dtype,
    *,
    value_dim: int | None = None,
) -> int:
    """Return the bytes that one token's keys and values take in all layers."""
    return num_layers * num_kv_heads * (head_dim + (value_dim or head_dim)) * dtype.itemsize


def num_slots_within(budget_bytes: int, slot_bytes: int) -> int:
    """Return the `num_slots` of the largest `KVPool` within a budget, its scratch slot paid too.

    Below two slots' worth it is 0: no pool fits.

    Args:
        budget_bytes: what the pool may take.
        slot_bytes: what a slot takes, see `bytes_per_slot`.
    """
    return max(0, budget_bytes // slot_bytes - 1)


def carry_out(plan: Sequence[Copy], device: KVPool, host: KVPool) -> None:
    """Carry out the orders of `HostTier.plan` in turn, on the current stream of the device.

    Gathers and scatters of whole slots, one a layer side: no kernel of its own, and a copy within
    memory for each. `host` has the shapes and dtype of `device` but for its number of slots.
    """
    sides = [
        *zip(device.keys, host.keys, strict=True),
        *zip(device.values, host.values, strict=True),
    ]
    for order in plan:
        for here, there in sides:
            at_here = torch.from_numpy(order.device).to(here.device)
            at_there = torch.from_numpy(order.host).to(there.device)
            if order.to_host:
                there[at_there] = here[at_here].to(there.device)
            else:
                here[at_here] = there[at_there].to(here.device)
