"""The tree as plain data, and as text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from math import inf
from typing import TypeAlias

from .namespace import Namespace
from .node import Node
from .pins import Pins
from .tree import RadixTree

Decode: TypeAlias = Callable[[Sequence[int]], str]


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """A node as it was when the tree was listed."""

    namespace: Namespace
    depth: int  # nodes above it, the root not counted
    start: int  # the position of its first token
    num_tokens: int
    tokens: tuple[int, ...]  # the first few
    hits: int  # acquisitions that matched it
    locks: int  # leases that end here or below, those of pins included
    last_used: int  # in ticks of the tree's clock
    age_s: float  # since its first token was committed
    priority: int = 0
    ttl_left_s: float | None = None  # None: leased now, or kept until room is needed
    pins: tuple[str, ...] = ()  # names of the pins that end here


def list_nodes(
    tree: RadixTree, pins: Pins, *, now_s: float, max_nodes: int, max_tokens: int
) -> list[NodeInfo]:
    """Return the first `max_nodes` nodes, parents first, with `max_tokens` of each one's tokens."""
    return list(islice(_describe(tree, pins, now_s, max_tokens), max_nodes))


def _describe(tree: RadixTree, pins: Pins, now_s: float, max_tokens: int) -> Iterator[NodeInfo]:
    ends: dict[Node, tuple[int, int]] = {}  # depth and position where the children of a node start
    for node in tree.nodes():
        if node.parent is None:
            ends[node] = 0, 0
            continue
        depth, start = ends[node.parent]
        ends[node] = depth + 1, start + len(node)
        forever = node.leases > 0 or node.expires_s == inf
        yield NodeInfo(
            namespace=node.namespace,
            depth=depth,
            start=start,
            num_tokens=len(node),
            tokens=tuple(node.tokens[:max_tokens].tolist()),
            hits=node.hits,
            locks=node.leases,
            last_used=node.last_used,
            age_s=now_s - node.created_s,
            priority=node.priority,
            ttl_left_s=None if forever else node.expires_s - now_s,
            pins=pins.at(node),
        )


def draw(nodes: Iterable[NodeInfo], *, decode: Decode | None = None) -> str:
    """Return a line for each node, indented below its parent, under a line for each namespace.

    For example, with and without `decode`, which turns ids into text::

        namespace default
          0:3 [1 2 3] 2 hits, 1 lock, 12 s old
            3:40 [4 5 ...] 0 hits, 0 locks, 3 s old, 60 s left
        namespace tenant 'a'
          0:9 'You are a ...' 0 hits, 1 lock, 3 s old, pinned as 'system'
    """
    lines: list[str] = []
    namespace = None
    for node in nodes:
        if node.namespace != namespace:
            namespace = node.namespace
            lines.append(f"namespace {namespace.label}")
        indent = "  " * (node.depth + 1)
        lines.append(f"{indent}{span(node)} {label(node, decode)} {state(node)}")
    return "\n".join(lines)


def span(node: NodeInfo) -> str:
    """Return the positions of its tokens, as in "3:40"."""
    return f"{node.start}:{node.start + node.num_tokens}"


def label(node: NodeInfo, decode: Decode | None) -> str:
    """Return the first tokens as ids in brackets, or as quoted text on one line."""
    is_whole = len(node.tokens) == node.num_tokens
    if decode is not None:
        return repr(decode(node.tokens) + ("" if is_whole else " ..."))
    return f"[{' '.join([*map(str, node.tokens), *([] if is_whole else ['...'])])}]"


def state(node: NodeInfo) -> str:
    """Return what has happened to a node and what keeps it, in words."""
    parts = [_plural(node.hits, "hit"), _plural(node.locks, "lock"), f"{node.age_s:.0f} s old"]
    if node.priority:
        parts.append(f"priority {node.priority}")
    if node.ttl_left_s is not None:
        parts.append(f"{node.ttl_left_s:.0f} s left")
    if node.pins:
        parts.append(f"pinned as {', '.join(map(repr, node.pins))}")
    return ", ".join(parts)


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
