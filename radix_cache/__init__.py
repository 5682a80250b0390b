"""The KV cache's bookkeeping: a radix tree of tokens over a pool of slots.

The tensors themselves are in `radix_cache.kv`, which alone imports torch.
"""

from .cache import RadixCache
from .errors import (
    CacheError,
    LeaseReleasedError,
    NoPinError,
    NotCachedError,
    OutOfSlotsError,
    PinQuotaError,
)
from .host import Copy, HostTier, HostUsage
from .lease import Lease
from .namespace import Namespace
from .node import Node, Slots, Tokens
from .picture import to_svg
from .pins import PinInfo
from .stats import Counts, Statistics, Usage
from .view import NodeInfo, draw

__all__ = [
    "CacheError",
    "Copy",
    "Counts",
    "HostTier",
    "HostUsage",
    "Lease",
    "LeaseReleasedError",
    "Namespace",
    "NoPinError",
    "Node",
    "NodeInfo",
    "NotCachedError",
    "OutOfSlotsError",
    "PinInfo",
    "PinQuotaError",
    "RadixCache",
    "Slots",
    "Statistics",
    "Tokens",
    "Usage",
    "draw",
    "to_svg",
]
