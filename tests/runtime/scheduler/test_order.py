"""Whom the queue lets go first, by a clock that the test turns."""

from __future__ import annotations

import numpy as np
import pytest

from radixlm.radix_cache import RadixCache
from radixlm.runtime.messages import Submit
from radixlm.runtime.request import RequestId, SamplingParams
from radixlm.runtime.scheduler import order
from radixlm.runtime.scheduler.job import Job
from radixlm.runtime.scheduler.order import Queue


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def make_job(name: str, tokens: list[int], priority: int = 0) -> Job:
    submit = Submit(
        rid=RequestId(name), tokens=tokens, sampling=SamplingParams(), seed=0, priority=priority
    )
    return Job.of(submit, max_new=1)


def cached(tokens: list[int]) -> RadixCache:
    cache = RadixCache(1000)
    keep(cache, tokens)
    return cache


def keep(cache: RadixCache, tokens: list[int]) -> None:
    array = np.array(tokens, dtype=np.int32)
    lease = cache.acquire(array)
    cache.extend(lease, len(tokens) - len(lease))
    cache.commit(lease, array)
    cache.release(lease)


def names(queue: Queue) -> str:
    return "".join(job.submit.rid for job in queue.candidates())


def test_the_longest_cached_prefix_goes_first() -> None:
    queue = Queue("lpm", cached(list(range(50))), Clock())
    queue.add(make_job("a", [90, 91, 92]))
    queue.add(make_job("b", [*range(20), 99]))
    queue.add(make_job("c", [*range(40), 99]))
    assert names(queue) == "cba"


def test_a_prefix_that_was_cached_meanwhile_counts() -> None:
    clock = Clock()
    cache = cached(list(range(10)))
    queue = Queue("lpm", cache, clock)
    queue.add(make_job("a", [*range(10), 99]))
    queue.add(make_job("b", [*range(60, 90), 99]))
    assert names(queue) == "ab"
    keep(cache, list(range(60, 90)))
    clock.now += 0.001
    assert names(queue) == "ba"


def test_the_shortest_remaining_prompt_goes_first() -> None:
    queue = Queue("shortest-first", cached(list(range(50))), Clock())
    queue.add(make_job("a", [*range(50), *range(60, 70)]))  # 10 to compute
    queue.add(make_job("b", [90] * 12))
    queue.add(make_job("c", [90, 91]))
    assert names(queue) == "cab"


def test_arrival_decides_where_nothing_else_is_asked_for() -> None:
    queue = Queue("fcfs", cached(list(range(50))), Clock())
    for name, tokens in {"a": [9], "b": list(range(40)), "c": [1, 2]}.items():
        queue.add(make_job(name, tokens))
    assert names(queue) == "abc"


def test_priority_goes_before_arrival() -> None:
    queue = Queue("priority", cached([1]), Clock())
    queue.add(make_job("a", [1]))
    queue.add(make_job("b", [2], priority=3))
    queue.add(make_job("c", [3], priority=1))
    assert names(queue) == "bca"


def test_the_branch_that_most_wait_for_is_used_up_first() -> None:
    cache = cached(list(range(30)))
    keep(cache, [*range(10), *range(50, 60)])
    keep(cache, list(range(70, 90)))
    queue = Queue("dfs-weight", cache, Clock())
    queue.add(make_job("a", [*range(70, 90), 99]))  # a branch of its own
    queue.add(make_job("b", [*range(30), 98]))  # below the stem that four wait for
    queue.add(make_job("c", [*range(10), 97]))  # at the stem
    queue.add(make_job("d", [*range(10), *range(50, 60), 96]))
    queue.add(make_job("e", [*range(10), *range(50, 60), 95]))
    queue.add(make_job("f", [94]))  # nothing of it is cached
    assert names(queue) == "debcaf"


def test_what_somebody_waits_for_is_evicted_last() -> None:
    cache = RadixCache(60)
    keep(cache, list(range(20)))
    keep(cache, list(range(20, 40)))
    queue = Queue("lpm", cache, Clock())
    queue.add(make_job("a", [*range(20), 99]))
    keep(cache, list(range(40, 80)))  # room for it is made by the others
    assert cache.match_length(np.arange(20, dtype=np.int32)) == 20
    assert cache.match_length(np.arange(20, 40, dtype=np.int32)) == 0


@pytest.mark.parametrize("policy", ["lpm", "shortest-first", "dfs-weight", "priority"])
def test_nobody_is_overtaken_for_ever(policy: str) -> None:
    clock = Clock()
    queue = Queue(policy, cached(list(range(900))), clock)
    queue.add(make_job("a", [7] * 950))
    for second in range(200):
        favoured = make_job("b", list(range(900)), priority=5)
        queue.add(favoured)
        first = next(queue.candidates())
        queue.remove(first)
        if first.submit.rid == "a":
            return
        clock.now += 1.0
        assert second < 60, "starved"


def test_who_was_running_goes_before_all_others() -> None:
    queue = Queue("lpm", cached(list(range(50))), Clock())
    queue.add(make_job("a", list(range(40))))
    retracted = make_job("b", [9])
    queue.put_back(retracted)
    assert names(queue) == "ba"
    assert len(queue) == 2
    queue.remove(retracted)
    assert [job.submit.rid for job in queue] == ["a"]


def test_a_long_queue_is_sorted_less_often_than_it_is_asked() -> None:
    clock = Clock()
    queue = Queue("lpm", cached(list(range(50))), clock)
    for index in range(5000):
        queue.add(make_job(str(index), [index % 100, 1]))
    clock.now += 1.0
    before = names(queue)
    queue.add(make_job("late", list(range(50))))
    clock.now += order.SORT_SHARE * order.SORT_S_A_JOB * 1000
    assert names(queue) == before + "late"
    clock.now += 1.0
    assert names(queue).startswith("late") is False  # a second of waiting outweighs 50 tokens
