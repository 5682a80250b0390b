"""Attention over the paged KV pool: one protocol, and its implementations by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import cast

from ...radix_cache.kv import KVPool
from ..errors import ModelLoadError
from .base import Attention, Layout, Rule

__all__ = ["Attention", "Layout", "Rule", "make_attention"]

BACKENDS = {"plain": (".plain", "PlainAttention")}  # name → module, class


def make_attention(name: str, pool: KVPool, rules: Sequence[Rule]) -> Attention:
    """Build the attention called `name` over `pool`.

    Args:
        name: a key of `BACKENDS`; its module is imported only now.
        pool: where keys and values are kept.
        rules: how each layer of the pool scores.

    Raises:
        ModelLoadError: no attention has that name; the message lists those that are.
    """
    if name not in BACKENDS:
        raise ModelLoadError(f"no attention is named {name!r}; known: {', '.join(BACKENDS)}")
    module, attribute = BACKENDS[name]
    kind = getattr(import_module(module, __name__), attribute)
    return cast(Callable[[KVPool, Sequence[Rule]], Attention], kind)(pool, rules)
