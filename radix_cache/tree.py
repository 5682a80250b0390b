"""The radix tree: match, split, append, lock, evict.

Source: the RadixAttention of SGLang (arXiv:2312.07104). A node's children are found by their whole
first page, so two siblings never share a page and matches end between pages. Locks are counted
along the path to the root; hence below an unlocked node everything is unlocked, and all tokens of
unlocked nodes can be evicted, leaf by leaf.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from .evict import Candidates, Policy
from .node import Node, Slots, Tokens, common_prefix, compact

_NOTHING = np.empty(0, dtype=np.int32)


class RadixTree:
    """The trees of all namespaces, with one clock and one order of eviction."""

    def __init__(self, policy: Policy, page_size: int) -> None:
        self.page_size = page_size
        self.roots: dict[str, Node] = {}  # those with a child or a lease
        self.num_nodes = 0  # roots not counted
        self.num_unlocked = 0  # tokens in nodes without a lease
        self._candidates = Candidates(policy)  # leaves without a lease
        self._clock = 0

    def root(self, namespace: str) -> Node:
        """Return the root of `namespace`, made if need be: append to it or lock it next."""
        root = self.roots.get(namespace)
        if root is None:
            now = self._clock
            root = Node(namespace, b"", _NOTHING, _NOTHING, None, now, now)
            self.roots[namespace] = root
        return root

    def walk(self, start: Node, tokens: Tokens) -> Iterator[tuple[Node, int]]:
        """Yield the nodes below `start` that `tokens` run through, changing nothing.

        With each comes how many of its tokens match, in whole pages; only the last one's can be
        fewer than all. O(len(tokens)).
        """
        page, position, node = self.page_size, 0, start
        while position + page <= len(tokens):
            child = node.children.get(tokens[position : position + page].tobytes())
            if child is None:
                return
            count = common_prefix(child.tokens, tokens[position:]) // page * page
            yield child, count
            if count < len(child):
                return
            position, node = position + count, child

    def descend(self, start: Node, tokens: Tokens) -> list[Node]:
        """Return the nodes below `start` that `tokens` match, the last one split to match whole."""
        path = list(self.walk(start, tokens))
        nodes = [node for node, _ in path]
        if path and path[-1][1] < len(nodes[-1]):
            nodes[-1] = self._split(*path[-1])
        return nodes

    def append(self, parent: Node, tokens: Tokens, slots: Slots) -> Node:
        """Add whole pages below `parent`, which has no child with their first page; lock it next.

        Both arrays, [n] i32, are copied.
        """
        key = tokens[: self.page_size].tobytes()
        now = self._clock
        node = Node(parent.namespace, key, tokens.copy(), slots.copy(), parent, now, now)
        parent.children[key] = node
        self.num_nodes += 1
        self.num_unlocked += len(node)
        return node

    def lock(self, node: Node, *, above: Node | None = None) -> None:
        """Count a lease in `node` and its ancestors, up to but not with `above`."""
        self._clock += 1
        step: Node | None = node
        while step is not above:
            assert step is not None, "`above` is an ancestor"
            if step.leases == 0:
                self.num_unlocked -= len(step)
                self._candidates.discard(step)
            step.leases += 1
            step.last_used = self._clock
            step = step.parent

    def unlock(self, node: Node) -> None:
        """Take back a lease from `node` and all its ancestors."""
        self._clock += 1
        step: Node | None = node
        while step is not None:
            step.leases -= 1
            step.last_used = self._clock
            if step.leases == 0:
                self.num_unlocked += len(step)
            step = step.parent
        self._settle(node)

    def evict(self, count: int) -> Slots:
        """Drop `count` tokens, rounded up to whole pages, and return their slots.

        There must be as many unlocked. Leaves go in the policy's order, and of the last one only
        the tail that is needed. O(log n) a leaf.
        """
        dropped = [_NOTHING]
        while count > 0:
            leaf = self._candidates.first()
            pages = -(-count // self.page_size)
            kept = max(0, len(leaf) - pages * self.page_size)
            dropped.append(leaf.slots[kept:])
            self.num_unlocked -= len(leaf) - kept
            count -= len(leaf) - kept
            if kept:
                leaf.tokens, leaf.slots = compact(leaf.tokens[:kept]), compact(leaf.slots[:kept])
            else:
                self._remove(leaf)
        return np.concatenate(dropped)

    def nodes(self) -> Iterator[Node]:
        """Yield every node, a parent before its children, roots included."""
        stack = list(reversed(self.roots.values()))
        while stack:
            node = stack.pop()
            yield node
            stack.extend(reversed(node.children.values()))

    def path(self, node: Node) -> list[Node]:
        """Return the nodes from the root to `node`, both included."""
        nodes = [node]
        while (parent := nodes[-1].parent) is not None:
            nodes.append(parent)
        return nodes[::-1]

    def check(self, leased: Iterable[Node]) -> None:
        """Assert every invariant, given where each live lease ends. O(tokens in the tree)."""
        locks = Counter(step for node in leased for step in self.path(node))
        nodes = list(self.nodes())
        assert locks.keys() <= set(nodes), "a leased node has left the tree"
        for node in nodes:
            assert node.leases == locks[node]
            self._check_place(node)
        inner = [node for node in nodes if node.parent is not None]
        assert self.num_nodes == len(inner)
        assert self.num_unlocked == sum(len(node) for node in inner if not node.leases)
        self._candidates.check({n for n in inner if not n.leases and not n.children})

    def _check_place(self, node: Node) -> None:
        assert len(node.tokens) == len(node.slots)
        assert node.created <= node.last_used <= self._clock
        if node.parent is None:
            assert len(node) == 0
            assert self.roots.get(node.namespace) is node
            assert node.leases or node.children, "an idle root is dropped"
            return
        assert len(node) > 0
        assert len(node) % self.page_size == 0
        assert node.namespace == node.parent.namespace
        assert node.key == node.tokens[: self.page_size].tobytes()
        assert node.parent.children.get(node.key) is node
        assert node.leases <= node.parent.leases
        assert node.leases or node.last_used <= node.parent.last_used

    def _split(self, node: Node, count: int) -> Node:
        """Move the first `count` tokens of `node` to a new parent, and return that.

        `node` stays the lower part, so that whoever holds it still holds the whole path.
        """
        assert node.parent is not None
        head, slots = compact(node.tokens[:count]), compact(node.slots[:count])
        upper = replace(node, tokens=head, slots=slots, children={})
        node.parent.children[node.key] = upper
        node.tokens, node.slots = compact(node.tokens[count:]), compact(node.slots[count:])
        node.key = node.tokens[: self.page_size].tobytes()
        node.parent = upper
        upper.children[node.key] = node
        self.num_nodes += 1
        return upper

    def _remove(self, leaf: Node) -> None:
        assert leaf.parent is not None
        del leaf.parent.children[leaf.key]
        self.num_nodes -= 1
        self._candidates.discard(leaf)
        self._settle(leaf.parent)

    def _settle(self, node: Node) -> None:
        """Let `node`, which just lost a lease or a child, go if it has neither any more."""
        if node.leases or node.children:
            return
        if node.parent is None:
            del self.roots[node.namespace]
        else:
            self._candidates.add(node)
