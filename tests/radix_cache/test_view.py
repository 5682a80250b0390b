import numpy as np

from radixlm.radix_cache import NodeInfo, RadixCache, draw


def small_tree() -> RadixCache:
    cache = RadixCache(100)
    for namespace, tokens in [
        ("", [1, 2, 3, 4]),
        ("", [1, 2, 5]),
        ("tenant", list(range(10))),
    ]:
        array = np.array(tokens, dtype=np.int32)
        lease = cache.acquire(array, namespace=namespace)
        cache.extend(lease, len(tokens) - lease.num_cached)
        cache.commit(lease, array)
        cache.release(lease)
    cache.acquire(np.array([1, 2, 5], dtype=np.int32))
    return cache


def test_the_tree_is_listed_parents_first() -> None:
    first, second, *_ = small_tree().list_nodes()
    assert first == NodeInfo(
        namespace="",
        depth=0,
        start=0,
        num_tokens=2,
        tokens=(1, 2),
        hits=2,
        locks=1,
        last_used=10,
    )
    assert (second.depth, second.start, second.tokens) == (1, 2, (3, 4))


def test_a_listing_is_bounded() -> None:
    cache = small_tree()
    assert len(cache.list_nodes()) == cache.statistics().num_nodes == 4
    assert [node.tokens for node in cache.list_nodes(max_nodes=2, max_tokens=1)] == [(1,), (3,)]
    assert cache.list_nodes(max_nodes=0) == []


def test_the_tree_is_drawn_as_indented_text() -> None:
    assert draw(small_tree().list_nodes()).splitlines() == [
        "namespace ''",
        "  0:2 [1 2] 2 hits, 1 lock, used at 10",
        "    2:4 [3 4] 0 hits, 0 locks, used at 3",
        "    2:3 [5] 1 hit, 1 lock, used at 10",
        "namespace 'tenant'",
        "  0:10 [0 1 2 3 4 5 6 7 ...] 0 hits, 0 locks, used at 9",
    ]
    assert draw([]) == ""
