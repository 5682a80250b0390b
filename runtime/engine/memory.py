"""How much memory the KV pool may take."""

from __future__ import annotations

import torch

from ...radix_cache.kv import KVPool, bytes_per_slot, num_slots_within
from ..config import CacheConfig
from ..errors import ModelLoadError
from ..models.spec import Shape

MAX_CPU_SLOTS = 512 << 10  # more would be zeroed at start for nothing


def pool_slots(spec: Shape, cache: CacheConfig, dtype: torch.dtype, device: torch.device) -> int:
    """Return the number of slots of the pool, a multiple of the page size.

    `max_total_tokens` decides where it is given. Else the pool takes `pool_bytes` on a CPU, up to
    `MAX_CPU_SLOTS`; on CUDA `mem_fraction_static` of the memory that is free once the weights are
    loaded, the rest being left to activations and logits.

    Raises:
        ModelLoadError: not one page fits.
    """
    slot = slot_bytes(spec, dtype)
    if cache.max_total_tokens is not None:
        slots, source = cache.max_total_tokens, f"max_total_tokens={cache.max_total_tokens}"
    elif device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
        slots = num_slots_within(int(free * cache.mem_fraction_static), slot)
        source = f"{cache.mem_fraction_static:.0%} of {free >> 20} MiB that are free"
    else:
        slots = min(num_slots_within(cache.pool_bytes, slot), MAX_CPU_SLOTS)
        source = f"pool_bytes={cache.pool_bytes}"
    pages = slots // cache.page_size
    if pages < 1:
        raise ModelLoadError(
            f"the KV pool has no room for a page: {source}, a page takes {cache.page_size} slots "
            f"of {slot} bytes"
        )
    return pages * cache.page_size


def slot_bytes(spec: Shape, dtype: torch.dtype) -> int:
    """Return what one token's keys and values take."""
    shape = (len(spec.rules), spec.kv_heads, spec.key_dim)
    return bytes_per_slot(*shape, dtype, value_dim=spec.value_dim)


def make_pool(spec: Shape, num_slots: int, dtype: torch.dtype, device: torch.device) -> KVPool:
    """Return a pool for the model's keys and values."""
    shape = (len(spec.rules), num_slots, spec.kv_heads, spec.key_dim)
    return KVPool(*shape, dtype, device, value_dim=spec.value_dim)
