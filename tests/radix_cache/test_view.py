import numpy as np

from radixlm.radix_cache import Namespace, NodeInfo, RadixCache, draw


def small_tree() -> RadixCache:
    cache = RadixCache(100, clock=lambda: 0.0)
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
        namespace=Namespace(),
        depth=0,
        start=0,
        num_tokens=2,
        tokens=(1, 2),
        hits=2,
        locks=1,
        last_used=10,
        age_s=0,
    )
    assert (second.depth, second.start, second.tokens) == (1, 2, (3, 4))


def test_a_listing_is_bounded() -> None:
    cache = small_tree()
    assert len(cache.list_nodes()) == cache.statistics().num_nodes == 4
    assert [node.tokens for node in cache.list_nodes(max_nodes=2, max_tokens=1)] == [(1,), (3,)]
    assert cache.list_nodes(max_nodes=0) == []


def test_the_tree_is_drawn_as_indented_text() -> None:
    assert draw(small_tree().list_nodes()).splitlines() == [
        "namespace default",
        "  0:2 [1 2] 2 hits, 1 lock, 0 s old",
        "    2:4 [3 4] 0 hits, 0 locks, 0 s old",
        "    2:3 [5] 1 hit, 1 lock, 0 s old",
        "namespace tenant 'tenant'",
        "  0:10 [0 1 2 3 4 5 6 7 ...] 0 hits, 0 locks, 0 s old",
    ]
    assert draw([]) == ""


def test_a_drawing_shows_text_priorities_lifetimes_and_pins() -> None:
    now_s = 0.0
    cache = RadixCache(100, clock=lambda: now_s)
    tokens = np.array([72, 105, 33], dtype=np.int32)
    lease = cache.acquire(tokens, priority=2, ttl_s=60)
    cache.extend(lease, 3)
    cache.commit(lease, tokens)
    cache.release(lease)
    cache.pin("greeting", tokens[:2])
    now_s = 10.0
    text = draw(cache.list_nodes(max_tokens=2), decode=lambda ids: "".join(map(chr, ids)))
    assert text.splitlines() == [
        "namespace default",
        "  0:2 'Hi' 0 hits, 1 lock, 10 s old, priority 2, pinned as 'greeting'",
        "    2:3 '!' 0 hits, 0 locks, 10 s old, priority 2, 50 s left",
    ]
    text = draw(cache.list_nodes(max_tokens=1), decode=lambda ids: "".join(map(chr, ids)))
    assert "'H ...'" in text
