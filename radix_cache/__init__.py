"""The KV cache's bookkeeping: a radix tree of tokens over a pool of slots.

The tensors themselves are in `radix_cache.kv`, which alone imports torch.
"""

from .cache import RadixCache
from .errors import CacheError, LeaseReleasedError, OutOfSlotsError
from .lease import Lease
from .node import Slots, Tokens
from .stats import Statistics, Usage
from .view import NodeInfo, draw

__all__ = [
    "CacheError",
    "Lease",
    "LeaseReleasedError",
    "NodeInfo",
    "OutOfSlotsError",
    "RadixCache",
    "Slots",
    "Statistics",
    "Tokens",
    "Usage",
    "draw",
]
