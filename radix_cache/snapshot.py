"""The tree as data that outlives its process, and the way back.

Plain data and token ids, no slots of another pool and no tensors: `disk` adds these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import msgspec
import numpy as np

from .namespace import Namespace
from .node import Node, Slots, Tokens
from .pins import Pin, Pins
from .tree import RadixTree

ROOT = -1


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """A node. Its parent is an earlier entry, or `ROOT`."""

    parent: int
    namespace: Namespace
    length: int  # tokens, in whole pages
    hits: int
    priority: int
    ttl_s: float | None  # None: until room is needed, or leased when the snapshot was taken


class SavedPin(msgspec.Struct, frozen=True, array_like=True):
    """A pin whose prefix ends with an entry."""

    name: str
    entry: int
    priority: int
    ttl_s: float | None  # None: until it is unpinned


class Outline(msgspec.Struct, frozen=True, array_like=True):
    """A tree without its tokens: what pins hold first, then the most recently used."""

    page_size: int
    entries: list[Entry]
    pins: list[SavedPin]


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """A tree at one moment.

    Attributes:
        outline: its nodes and pins.
        tokens: [n] i32, those of the entries one after the other.
        slots: [n] i32, where their keys and values are now.
    """

    outline: Outline
    tokens: Tokens
    slots: Slots


def take(
    tree: RadixTree, pins: Pins, *, max_tokens: int, now_s: float, without: str | None
) -> Snapshot:
    """Copy the nodes worth most, `max_tokens` at most: of the last one perhaps the head alone.

    A node that leases hold is kept as if it were theirs no more; their claims are not known yet.
    O(n log n) in the nodes.

    Args:
        tree: to copy from.
        pins: of the same cache; those that end in a node which is not copied whole are left out.
        max_tokens: the bound.
        now_s: on the tree's clock.
        without: the beginning of the names of pins that are left out.
    """
    wanted = [pin for pin in pins if without is None or not pin.name.startswith(without)]
    pinned = _paths(wanted)
    nodes = [node for node in tree.nodes() if node.parent is not None]
    # The sort is stable and `nodes` yields parents first. A node without leases was used no later
    # than its parent; one that is leased may have been, so those count as used now, all alike.
    nodes.sort(key=lambda n: (n not in pinned, not n.leases, 0 if n.leases else -n.last_used))
    page, index, entries = tree.page_size, dict[Node, int](), list[Entry]()
    tokens, slots = [np.empty(0, dtype=np.int32)], [np.empty(0, dtype=np.int32)]
    left, whole = max_tokens, set[Node]()
    for node in nodes:
        length = min(len(node), left // page * page)
        if length:
            index[node] = len(entries)
            above = ROOT if node.parent is None else index.get(node.parent, ROOT)
            life_s = node.expires_s - now_s
            ttl_s = life_s if 0 < life_s < inf else None
            entries.append(Entry(above, node.namespace, length, node.hits, node.priority, ttl_s))
            tokens.append(node.tokens[:length])
            slots.append(node.slots[:length])
            left -= length
        if length < len(node):
            break
        whole.add(node)
    saved = [
        SavedPin(
            pin.name,
            index[pin.lease.node],
            pin.lease.claim.priority,
            None if pin.until_s == inf else pin.until_s - now_s,
        )
        for pin in wanted
        if pin.lease.node in whole
    ]
    return Snapshot(Outline(page, entries, saved), np.concatenate(tokens), np.concatenate(slots))


def fault_of(outline: Outline, tokens: Tokens) -> str | None:
    """Return what makes an outline that somebody else wrote impossible, or `None`."""
    page, entries = outline.page_size, outline.entries
    first_pages = set[tuple[int, Namespace, bytes]]()
    position = 0
    for number, entry in enumerate(entries):
        if not ROOT <= entry.parent < number:
            return f"node {number} stands before its parent {entry.parent}"
        if entry.parent != ROOT and entries[entry.parent].namespace != entry.namespace:
            return f"node {number} is in another namespace than its parent"
        if entry.length < 1 or entry.length % page:
            return f"node {number} has {entry.length} tokens, which are no pages of {page}"
        key = (entry.parent, entry.namespace, tokens[position : position + page].tobytes())
        if key in first_pages:
            return f"node {number} begins like one of its siblings"
        first_pages.add(key)
        position += entry.length
    if position != len(tokens):
        return f"its nodes have {position} tokens, and it holds {len(tokens)}"
    if len(tokens) and tokens.min() < 0:
        return "it holds a negative token id"
    if any(not 0 <= pin.entry < len(entries) for pin in outline.pins):
        return "a pin ends in a node that is not there"
    return None


def fitting(outline: Outline, *, max_tokens: int, aged_s: float) -> tuple[Outline, list[int]]:
    """Leave out what has outlived its time since, and what does not fit.

    Returns:
        The rest, and for each of its entries where its tokens begin in the whole.
    """
    number = {ROOT: ROOT}
    entries, starts = list[Entry](), list[int]()
    position, left = 0, max_tokens
    for old, entry in enumerate(outline.entries):
        ttl_s = None if entry.ttl_s is None else entry.ttl_s - aged_s
        if entry.parent in number and (ttl_s is None or ttl_s > 0) and entry.length <= left:
            number[old] = len(entries)
            above = number[entry.parent]
            entries.append(msgspec.structs.replace(entry, parent=above, ttl_s=ttl_s))
            starts.append(position)
            left -= entry.length
        position += entry.length
    pins = list[SavedPin]()
    for pin in outline.pins:
        ttl_s = None if pin.ttl_s is None else pin.ttl_s - aged_s
        if pin.entry in number and (ttl_s is None or ttl_s > 0):
            pins.append(msgspec.structs.replace(pin, entry=number[pin.entry], ttl_s=ttl_s))
    return Outline(outline.page_size, entries, pins), starts


def in_order(entries: Sequence[Entry]) -> list[int]:
    """Return the entries so that the last is the most recently used and parents come in time.

    An entry appears after its ancestors, and again where it was used later than what is below it.
    """
    order, done = list[int](), set[int]()
    for last in reversed(range(len(entries))):
        above = lineage(entries, last)[:-1]
        order.extend(step for step in above if step not in done)
        order.append(last)
        done.update(above, (last,))
    return order


def lineage(entries: Sequence[Entry], number: int) -> list[int]:
    """Return the entries from the root to one, that included."""
    steps = list[int]()
    while number != ROOT:
        steps.append(number)
        number = entries[number].parent
    return steps[::-1]


def _paths(pins: Sequence[Pin]) -> set[Node]:
    nodes = set[Node]()
    for pin in pins:
        step: Node | None = pin.lease.node
        while step is not None and step not in nodes:
            nodes.add(step)
            step = step.parent
    return nodes
