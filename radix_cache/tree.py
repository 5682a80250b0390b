"""The radix tree: match, split, append, lock, evict, expire.

Source: the RadixAttention of SGLang (arXiv:2312.07104). A node's children are found by their whole
first page, so two siblings never share a page and matches end between pages. Locks are counted
along the path to the root; hence below an unlocked node everything is unlocked, and all tokens of
unlocked nodes can be evicted, leaf by leaf.

A lease that commits chunk after chunk grows one node: see `append`. Beyond that nothing joins
nodes: where a path has several, somebody matched a part of it, and their counts differ.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from .evict import Candidates, Heap, deadline
from .namespace import Namespace
from .node import Claim, Node, Slots, Tokens, common_prefix

_NOTHING = np.empty(0, dtype=np.int32)


class Dropped(NamedTuple):
    """What left the tree from one leaf."""

    namespace: Namespace
    slots: Slots  # [n], a view: to be read before the tree is used again


class Match(NamedTuple):
    """The nodes that tokens run through."""

    path: list[Node]
    length: int  # tokens that match, in whole pages
    beyond: int  # tokens of the last node that do not


class RadixTree:
    """The trees of all namespaces, with one clock and one order of eviction.

    Args:
        candidates: none so far, in the order of the policy.
        page_size: tokens of a page.
        now_s: the time, for lifetimes; order comes from the tree's own count of ticks.
    """

    def __init__(self, candidates: Candidates, page_size: int, now_s: Callable[[], float]) -> None:
        self.page_size = page_size
        self.roots: dict[Namespace, Node] = {}  # those with a child or a lease
        self.num_nodes = 0  # roots not counted
        self.num_unlocked = 0  # tokens in nodes without a lease
        self._candidates = candidates  # leaves without a lease
        self._mortal = Heap(deadline)  # those candidates that expire
        self._now_s = now_s
        self._clock = 0

    def root(self, namespace: Namespace) -> Node:
        """Return the root of `namespace`, made if need be: append to it or lock it next."""
        root = self.roots.get(namespace)
        if root is None:
            now = self._clock
            root = Node(namespace, b"", _NOTHING, _NOTHING, None, now, now, self._now_s())
            self.roots[namespace] = root
        return root

    def match(self, start: Node, tokens: Tokens) -> Match:
        """Find the nodes below `start` that `tokens` run through, changing nothing.

        O(len(tokens)): whole nodes are compared as memory, in place. About half a microsecond a
        node and 0.2 ns a token.
        """
        data, width = tokens.tobytes(), self.page_size * tokens.itemsize
        path: list[Node] = []
        node, at = start, 0  # bytes
        while (child := node.children.get(data[at : at + width])) is not None:
            path.append(child)
            run: Any = child.tokens  # numpy's types show no buffer to Python 3.11
            if not data.startswith(run, at):
                at //= tokens.itemsize
                count = common_prefix(run, tokens[at:]) // self.page_size * self.page_size
                return Match(path, at + count, len(run) - count)
            node, at = child, at + run.nbytes
        return Match(path, at // tokens.itemsize, 0)

    def descend(self, start: Node, tokens: Tokens) -> list[Node]:
        """Return the nodes below `start` that `tokens` match, the last one split to match whole."""
        path, _, beyond = self.match(start, tokens)
        if beyond:
            path[-1] = self._split(path[-1], len(path[-1]) - beyond)
        return path

    def append(
        self, parent: Node, tokens: Tokens, slots: Slots, claim: Claim, *, held: Node
    ) -> Node:
        """Put whole pages below `parent`, which has no child with their first page; lock it next.

        They become part of `parent` itself where nobody could tell the difference: where it is a
        leaf that was never matched as a whole, that no other lease holds (it would hold more than
        it asked for), and whose claims do not exceed the caller's.

        Args:
            parent: where they go.
            tokens: [n] i32, copied, as are the slots.
            slots: [n] i32.
            claim: of the caller's lease.
            held: where the caller's lease ends so far.

        Returns:
            The node that they are in.
        """
        others = parent.leases - (parent is held)
        if not others and self._is_plain_leaf(parent, claim):
            parent.append(tokens, slots)
            parent.created = parent.last_used = self._clock
            node = parent
        else:
            key = tokens[: self.page_size].tobytes()
            now = self._clock
            node = Node(
                parent.namespace, key, tokens.copy(), slots.copy(), parent, now, now, self._now_s()
            )
            node.priority = claim.priority
            parent.children[key] = node
            self._withdraw(parent)  # a leaf no longer
            self.num_nodes += 1
        if not node.leases:
            self.num_unlocked += len(tokens)
        return node

    def lock(self, node: Node, *, above: Node | None = None) -> None:
        """Count a lease in `node` and its ancestors, up to but not with `above`."""
        now = self._clock = self._clock + 1
        self._withdraw(node)  # its ancestors have children, so they are no candidates
        step: Node | None = node
        while step is not above:
            assert step is not None, "`above` is an ancestor"
            if step.leases == 0:
                self.num_unlocked -= len(step.tokens)
            step.leases += 1
            step.last_used = now
            step = step.parent

    def unlock(self, node: Node, claim: Claim) -> None:
        """Take back a lease from `node` and all its ancestors, and leave its claim on them."""
        now = self._clock = self._clock + 1
        priority, expires_s = claim.priority, self._now_s() + claim.ttl_s
        step: Node | None = node
        while step is not None:
            step.leases -= 1
            step.last_used = now
            if step.priority < priority:
                step.priority = priority
            if step.expires_s < expires_s:
                step.expires_s = expires_s
            if step.leases == 0:
                self.num_unlocked += len(step.tokens)
            step = step.parent
        self._settle(node)

    def touch(self, path: list[Node]) -> None:
        """Count the nodes of a `match` from a root as used now, without a lease or a hit."""
        if not path:
            return
        now = self._clock = self._clock + 1
        for node in (path[0].parent, *path):
            assert node is not None, "a path begins below a root"
            node.last_used = now
        if path[-1] in self._candidates:  # its rank has changed
            self._withdraw(path[-1])
            self._settle(path[-1])

    def evict(
        self, count: int, *, keep: Callable[[Node, int], None] | None = None
    ) -> list[Dropped]:
        """Drop `count` tokens, rounded up to whole pages; there must be as many unlocked.

        Leaves go in the policy's order, and of the last one only the tail that is needed; `keep`
        is told each leaf and the first token to go, before it goes. O(log n) a leaf.
        """
        dropped: list[Dropped] = []
        while count > 0:
            leaf = self._candidates.first()
            pages = -(-count // self.page_size)
            start = max(0, len(leaf) - pages * self.page_size)
            if keep is not None:
                keep(leaf, start)
            dropped.append(self._drop(leaf, start))
            count -= len(dropped[-1].slots)
        return dropped

    def expire(self, now_s: float) -> list[Dropped]:
        """Drop the leaves whose time is over. O(1) while there is none, else O(log n) a leaf."""
        dropped: list[Dropped] = []
        while self._mortal and (leaf := self._mortal.first()).expires_s <= now_s:
            dropped.append(self._drop(leaf, 0))
        return dropped

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
        leaves = {n for n in inner if not n.leases and not n.children}
        self._candidates.check(leaves)
        self._mortal.check({n for n in leaves if n.expires_s < np.inf})

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
        if not node.leases:
            above = node.parent
            assert node.last_used <= above.last_used
            assert node.priority <= above.priority or above.parent is None
            assert node.expires_s <= above.expires_s

    def _is_plain_leaf(self, node: Node, claim: Claim) -> bool:
        """Whether `node` and what would be committed below it now could as well be one node."""
        return (
            node.parent is not None
            and not node.children
            and node.hits == 0
            and node.priority <= claim.priority
            and node.expires_s <= self._now_s() + claim.ttl_s
        )

    def _split(self, node: Node, count: int) -> Node:
        """Move the first `count` tokens of `node` to a new parent, and return that.

        `node` stays the lower part, so that whoever holds it still holds the whole path.
        """
        assert node.parent is not None
        tokens, slots = node.cut_head(count)
        upper = replace(node, tokens=tokens, slots=slots, room=0, children={})
        node.parent.children[node.key] = upper
        node.key = node.tokens[: self.page_size].tobytes()
        node.parent = upper
        upper.children[node.key] = node
        self.num_nodes += 1
        return upper

    def _drop(self, leaf: Node, start: int) -> Dropped:
        """Take the tokens from `start` on from an unlocked leaf, and the leaf with its last."""
        slots = leaf.cut_tail(start) if start else leaf.slots
        self.num_unlocked -= len(slots)
        if not start:
            self._remove(leaf)
        return Dropped(leaf.namespace, slots)

    def _remove(self, leaf: Node) -> None:
        assert leaf.parent is not None
        del leaf.parent.children[leaf.key]
        self.num_nodes -= 1
        self._withdraw(leaf)
        self._settle(leaf.parent)

    def _withdraw(self, node: Node) -> None:
        """Let `node` be no candidate, if it was one."""
        self._candidates.discard(node)
        self._mortal.discard(node)

    def _settle(self, node: Node) -> None:
        """Let `node`, which just lost a lease or a child, go if it has neither any more."""
        if node.leases or node.children:
            return
        if node.parent is None:
            del self.roots[node.namespace]
            return
        self._candidates.add(node)
        if node.expires_s < np.inf:
            self._mortal.add(node)
