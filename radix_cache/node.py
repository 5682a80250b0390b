"""One node of the tree, and the arrays that it is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Tokens: TypeAlias = NDArray[np.int32]  # [n] token ids
Slots: TypeAlias = NDArray[np.int32]  # [n] slots in the pool, one a token


@dataclass(eq=False, slots=True)
class Node:
    """A run of tokens and the slots that hold their keys and values.

    A root has no tokens and no parent. `RadixTree.check` asserts the rest: tokens are whole
    pages, one slot each; a lease on a node is counted in each of its ancestors too.
    """

    namespace: str
    key: bytes  # its first page, by which its parent finds it; a root's is empty
    tokens: Tokens = field(repr=False)  # [n]
    slots: Slots = field(repr=False)  # [n]
    parent: Node | None = field(repr=False)
    created: int  # ticks of the tree's clock; no wall clock in here
    last_used: int  # when a lease last took it or let it go
    leases: int = 0  # that end here or below
    hits: int = 0  # acquisitions that matched it
    children: dict[bytes, Node] = field(default_factory=dict[bytes, "Node"], repr=False)

    def __len__(self) -> int:
        """Return the number of tokens (a root is falsy: compare nodes with `is None`)."""
        return len(self.tokens)


def compact(view: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return `view`, copied if it keeps alive an array more than twice its size.

    Splitting and trimming cut nodes without copying; this bounds what the cuts leave behind
    (one kept token could otherwise hold a prompt of 100,000) at an amortised O(1) per token.
    """
    base = view.base
    return view.copy() if base is not None and base.size > 2 * view.size else view


def common_prefix(a: Tokens, b: Tokens) -> int:
    """Return how many leading tokens of `a` and `b`, neither of them empty, are equal.

    One vectorised pass over the shorter: about 10 µs for 32,768 tokens. Comparing in growing
    blocks would spare work on an early mismatch and cost more on the usual full match.
    """
    count = min(len(a), len(b))
    differs = a[:count] != b[:count]
    first = int(differs.argmax())
    return first if differs[first] else count
