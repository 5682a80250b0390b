"""Attention over the paged KV pool: one protocol, and its implementations by name."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import cast

from ...radix_cache.kv import KVPool
from ..errors import ModelLoadError
from .base import Attention, Layout

__all__ = ["Attention", "Layout", "make_attention"]

BACKENDS = {"plain": (".plain", "PlainAttention")}  # name → module, class


def make_attention(name: str, pool: KVPool, scale: float) -> Attention:
    """Build the attention called `name` over `pool`.

    Args:
        name: a key of `BACKENDS`; its module is imported only now.
        pool: where keys and values are kept.
        scale: what scores are multiplied with before the softmax, usually head_dim ** -0.5.

    Raises:
        ModelLoadError: no attention has that name; the message lists those that are.
    """
    if name not in BACKENDS:
        raise ModelLoadError(f"no attention is named {name!r}; known: {', '.join(BACKENDS)}")
    module, attribute = BACKENDS[name]
    kind = getattr(import_module(module, __name__), attribute)
    return cast(Callable[[KVPool, float], Attention], kind)(pool, scale)
