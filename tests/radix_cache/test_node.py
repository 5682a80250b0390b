import random

import numpy as np
import pytest

from radixlm.radix_cache.namespace import Namespace
from radixlm.radix_cache.node import Node, common_prefix


@pytest.mark.parametrize(
    ("a", "b", "length"),
    [
        ([1], [1], 1),
        ([1], [2], 0),
        ([1, 2, 3], [1, 2, 4], 2),
        ([1, 2, 3], [1, 2], 2),
        ([1, 2], [1, 2, 3], 2),
    ],
)
def test_the_common_prefix_ends_at_the_first_difference(
    a: list[int], b: list[int], length: int
) -> None:
    assert common_prefix(np.array(a, dtype=np.int32), np.array(b, dtype=np.int32)) == length


def node_of(count: int) -> Node:
    tokens = np.arange(count, dtype=np.int32)
    return Node(Namespace(), b"", tokens, tokens + 1000, None, created=0, last_used=0)


def assert_holds(node: Node, tokens: list[int]) -> None:
    assert node.tokens.tolist() == tokens
    assert (node.slots - 1000).tolist() == tokens


def buffer_size(node: Node) -> int:
    base = node.tokens.base
    return node.tokens.size if base is None else base.size


def test_a_cut_leaves_the_rest_and_returns_the_part() -> None:
    node = node_of(10)
    tokens, slots = node.cut_head(3)
    assert (tokens.tolist(), slots.tolist()) == ([0, 1, 2], [1000, 1001, 1002])
    assert node.cut_tail(5).tolist() == [1008, 1009]
    assert_holds(node, [3, 4, 5, 6, 7])


def test_a_small_rest_of_a_large_buffer_is_copied_and_a_large_rest_is_not() -> None:
    node = node_of(100)
    node.cut_tail(50)
    assert (buffer_size(node), node.room) == (100, 50)
    node.cut_head(1)
    assert (buffer_size(node), node.room) == (49, 0)


def test_appending_one_by_one_copies_rarely() -> None:
    node = node_of(1)
    buffers: set[int] = set()
    for token in range(1, 1000):
        more = np.array([token], dtype=np.int32)
        node.append(more, more + 1000)
        buffers.add(buffer_size(node))
    assert_holds(node, list(range(1000)))
    assert len(buffers) <= 11


def test_cuts_and_appends_in_any_order_keep_the_arrays_together() -> None:
    rng = random.Random(0)
    node, tokens = node_of(5), list(range(5))
    for step in range(2000):
        more = np.arange(step, step + rng.randint(1, 9), dtype=np.int32)
        cut = rng.randrange(len(tokens))
        match rng.randrange(3):
            case 0:
                node.append(more, more + 1000)
                tokens += more.tolist()
            case 1 if cut:
                assert node.cut_head(cut)[0].tolist() == tokens[:cut]
                tokens = tokens[cut:]
            case 2 if cut:
                assert (node.cut_tail(cut) - 1000).tolist() == tokens[cut:]
                tokens = tokens[:cut]
        assert_holds(node, tokens)
        assert buffer_size(node) <= 2 * len(node)
