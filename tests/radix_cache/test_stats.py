import numpy as np

from radixlm.radix_cache import Counts, Namespace, RadixCache, Statistics
from radixlm.radix_cache.stats import MAX_NAMESPACES, Ledger

ADAPTER = Namespace(tenant="a", adapter="lora")


def put(cache: RadixCache, *ids: int, namespace: Namespace | str = "") -> None:
    tokens = np.array(ids, dtype=np.int32)
    lease = cache.acquire(tokens, namespace=namespace)
    cache.extend(lease, len(ids) - lease.num_cached)
    cache.commit(lease, tokens)
    cache.release(lease)
    cache.check()


def test_each_namespace_has_its_own_counts_and_they_add_up() -> None:
    cache = RadixCache(10)
    put(cache, 1, 2, 3, namespace="a")
    put(cache, 1, 2, 4, namespace="a")
    put(cache, 1, 2, namespace=ADAPTER)
    cache.flush()
    put(cache, 1, namespace=ADAPTER)
    counts = cache.namespaces()
    assert counts[Namespace("a")] == Counts(2, 4, 4, 4)
    assert counts[ADAPTER] == Counts(0, 3, 3, 2)
    assert counts[ADAPTER].cached_tokens == 1
    assert cache.statistics() == Statistics(2, 7, 7, 6, num_nodes=1)


def test_parts_of_a_namespace_do_not_run_together() -> None:
    cache = RadixCache(10)
    put(cache, 1, 2, namespace=Namespace(tenant="x", adapter="y"))
    for other in (Namespace("xy"), Namespace("", "xy"), Namespace("x"), Namespace()):
        assert cache.match_length(np.array([1, 2], dtype=np.int32), namespace=other) == 0


def test_a_namespace_has_a_label_for_people() -> None:
    assert Namespace().label == "default"
    assert ADAPTER.label == "tenant 'a', adapter 'lora'"


def test_idle_namespaces_are_forgotten_beyond_a_number_and_totals_are_not() -> None:
    ledger = Ledger()
    kept = Namespace("kept")
    ledger.acquired(kept, 0, 5)
    ledger.inserted(kept, 5)
    for i in range(3 * MAX_NAMESPACES):
        ledger.acquired(Namespace(str(i)), 0, 1)
    counts = ledger.by_namespace()
    assert len(counts) == MAX_NAMESPACES
    assert counts[kept] == Counts(0, 5, 5, 0)
    assert ledger.total.miss_tokens == 3 * MAX_NAMESPACES + 5
