"""The tree as plain data, and as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from .node import Node
from .tree import RadixTree


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """A node as it was when the tree was listed."""

    namespace: str
    depth: int  # nodes above it, the root not counted
    start: int  # the position of its first token
    num_tokens: int
    tokens: tuple[int, ...]  # the first few
    hits: int  # acquisitions that matched it
    locks: int  # leases that end here or below
    last_used: int  # in ticks of the tree's clock


def list_nodes(tree: RadixTree, *, max_nodes: int, max_tokens: int) -> list[NodeInfo]:
    """Return the first `max_nodes` nodes, parents first, with `max_tokens` of each one's tokens."""
    return list(islice(_describe(tree, max_tokens), max_nodes))


def _describe(tree: RadixTree, max_tokens: int) -> Iterator[NodeInfo]:
    ends: dict[Node, tuple[int, int]] = {}  # depth and position where the children of a node start
    for node in tree.nodes():
        if node.parent is None:
            ends[node] = 0, 0
            continue
        depth, start = ends[node.parent]
        ends[node] = depth + 1, start + len(node)
        yield NodeInfo(
            namespace=node.namespace,
            depth=depth,
            start=start,
            num_tokens=len(node),
            tokens=tuple(node.tokens[:max_tokens].tolist()),
            hits=node.hits,
            locks=node.leases,
            last_used=node.last_used,
        )


def draw(nodes: Iterable[NodeInfo]) -> str:
    """Return a line for each node, indented below its parent, under a line for each namespace.

    For example::

        namespace ''
          0:3 [1 2 3] 2 hits, 1 lock, used at 7
            3:40 [4 5 ...] 0 hits, 0 locks, used at 5
    """
    lines: list[str] = []
    namespace = None
    for node in nodes:
        if node.namespace != namespace:
            namespace = node.namespace
            lines.append(f"namespace {namespace!r}")
        more = [] if len(node.tokens) == node.num_tokens else ["..."]
        tokens = " ".join([*map(str, node.tokens), *more])
        span = f"{node.start}:{node.start + node.num_tokens}"
        counts = f"{_plural(node.hits, 'hit')}, {_plural(node.locks, 'lock')}"
        indent = "  " * (node.depth + 1)
        lines.append(f"{indent}{span} [{tokens}] {counts}, used at {node.last_used}")
    return "\n".join(lines)


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
