"""The radix tree as something to look at: a table when printed, a picture in a notebook."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..radix_cache import NodeInfo, draw, to_svg


@dataclass(frozen=True, slots=True)
class CacheView:
    """What was cached when it was asked for.

    Attributes:
        nodes: parents first.
    """

    nodes: Sequence[NodeInfo]
    decode: Callable[[Sequence[int]], str]

    def __str__(self) -> str:
        """Return the tree with text, tokens, hits, age and locks, a line a node."""
        return draw(self.nodes, decode=self.decode)

    __repr__ = __str__

    def _repr_svg_(self) -> str:
        """Return the picture that Jupyter shows."""
        return to_svg(self.nodes, decode=self.decode, max_nodes=max(len(self.nodes), 1))
