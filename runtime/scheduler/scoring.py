"""Continuations of one text that are scored together: a tree of their tokens, computed once each.

No attention kernel knows of the tree. A pass writes the keys and values of all its new tokens
before any of them is read (see `attention.Attention`), and a row names its slots one by one; so
each unbranched piece of the tree is a row of its own, whose slots are those of the path to it,
which other rows of the same pass may be just writing, and then its own.

Not chosen: a mask over all pairs of new tokens (SpecInfer, arXiv:2305.09781), which needs kernels
that take one and reads the whole prefix under a mask.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.int32]
Places = NDArray[np.intp]
ROOT = -1  # the end of the text that all options continue

# Tokens of a tree in one pass. The logits of each are needed: 256 rows of 128,256 take 131 MB.
MAX_TREE_TOKENS = 256


@dataclass(eq=False, slots=True)
class Options:
    """The options of one job as a tree, and what is known of their probabilities.

    A *node* is a beginning of options that some option goes on from: it must be computed. An *edge*
    is a node (or the root) and a token that follows it in some option: it is scored by the logits
    after that node. Nodes are in depth-first order, edges in the order of the nodes they leave.

    Attributes:
        tokens: [nodes] i32 the last token of each node.
        parents: [nodes] the node before, or `ROOT`.
        sources: [edges] the node that each edge leaves, or `ROOT`; it never falls.
        targets: [edges] i32 the token that it adds.
        paths: of each option, in the order asked for, its edges.
        scores: [edges] f64 log-probabilities (nats); 0 until known, and for good after no text.
    """

    tokens: Tokens
    parents: Places
    sources: Places
    targets: Tokens
    paths: list[Places]
    scores: NDArray[np.float64]

    @classmethod
    def of(cls, options: Sequence[list[int]]) -> Options:
        """Build the tree. O(tokens of all options)."""
        nodes: dict[tuple[int, int], int] = {}  # (parent, token) → node
        for option in sorted(options):  # which puts the nodes in depth-first order
            node = ROOT
            for token in option[:-1]:
                node = nodes.setdefault((node, token), len(nodes))
        walked = [list(_walk(option, nodes)) for option in options]
        edges = sorted({edge for path in walked for edge in path})
        places = {edge: index for index, edge in enumerate(edges)}
        return cls(
            tokens=np.array([token for _, token in nodes], dtype=np.int32),
            parents=np.array([parent for parent, _ in nodes], dtype=np.intp),
            sources=np.array([source for source, _ in edges], dtype=np.intp),
            targets=np.array([token for _, token in edges], dtype=np.int32),
            paths=[np.array([places[edge] for edge in path], dtype=np.intp) for path in walked],
            scores=np.zeros(len(edges)),
        )

    def __len__(self) -> int:
        """The number of nodes."""
        return len(self.tokens)

    def runs(self, begin: int, end: int) -> Iterator[tuple[Places, int, int]]:
        """Cut the nodes `begin..end - 1` into pieces in which each follows the one before.

        Yields the path to the piece from the root, then its first node and the one after its last.
        """
        first = begin
        for node in range(begin + 1, end + 1):
            if node == end or self.parents[node] != node - 1:
                yield self._path_to(first), first, node
                first = node

    def edges_from(self, begin: int, end: int) -> slice:
        """The edges that leave the nodes `begin..end - 1`."""
        low, high = np.searchsorted(self.sources, (begin, end))
        return slice(int(low), int(high))

    def logprobs(self) -> list[list[float]]:
        """Of each option, those of its tokens."""
        return [self.scores[path].tolist() for path in self.paths]

    def likeliest(self) -> Places:
        """The nodes of the option with the greatest mean per token."""
        means = [self.scores[path].mean() if len(path) else 0.0 for path in self.paths]
        return self.sources[self.paths[int(np.argmax(means))][1:]]

    def _path_to(self, node: int) -> Places:
        path: list[int] = []
        while (node := int(self.parents[node])) != ROOT:
            path.append(node)
        return np.array(path[::-1], dtype=np.intp)


def _walk(option: Sequence[int], nodes: dict[tuple[int, int], int]) -> Iterator[tuple[int, int]]:
    """The edges of an option, each as the node that it leaves and the token that it adds."""
    node = ROOT
    for token in option:
        yield node, token
        node = nodes.get((node, token), ROOT)  # there is none after the last
