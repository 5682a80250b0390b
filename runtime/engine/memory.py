"""How much memory the KV pool may take."""

from __future__ import annotations

import torch

from ...radix_cache.kv import bytes_per_slot, num_slots_within
from ..config import CacheConfig
from ..errors import ModelLoadError
from ..models.decoder import DecoderSpec

MAX_CPU_SLOTS = 512 << 10  # more would be zeroed at start for nothing


def pool_slots(
    spec: DecoderSpec, cache: CacheConfig, dtype: torch.dtype, device: torch.device
) -> int:
    """Return the number of slots of the pool, a multiple of the page size.

    `max_total_tokens` decides where it is given. Else the pool takes `pool_bytes` on a CPU, up to
    `MAX_CPU_SLOTS`; on CUDA `mem_fraction_static` of the memory that is free once the weights are
    loaded, the rest being left to activations and logits.

    Raises:
        ModelLoadError: not one page fits.
    """
    shape = (spec.layers, spec.kv_heads, spec.head_dim, dtype)
    if cache.max_total_tokens is not None:
        slots, source = cache.max_total_tokens, f"max_total_tokens={cache.max_total_tokens}"
    elif device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
        slots = num_slots_within(int(free * cache.mem_fraction_static), *shape)
        source = f"{cache.mem_fraction_static:.0%} of {free >> 20} MiB that are free"
    else:
        slots = min(num_slots_within(cache.pool_bytes, *shape), MAX_CPU_SLOTS)
        source = f"pool_bytes={cache.pool_bytes}"
    pages = slots // cache.page_size
    if pages < 1:
        raise ModelLoadError(
            f"the KV pool has no room for a page: {source}, a page takes {cache.page_size} slots "
            f"of {bytes_per_slot(*shape)} bytes"
        )
    return pages * cache.page_size
