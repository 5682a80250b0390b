"""The compiler's side: who waits for what, what is kept, what is counted. Nothing is compiled."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any

import msgspec
import pytest

from radixlm.constrained import compiler as compiler_module
from radixlm.constrained.compiler import GrammarCompiler
from radixlm.constrained.errors import GrammarError, LimitError, MalformedError
from radixlm.constrained.grammar import Grammar
from radixlm.constrained.lowered import Lowered, Refusal
from radixlm.constrained.orders import Cancel, Compile, Done, Order, Setup, Started
from radixlm.constrained.spec import GrammarSpec
from radixlm.constrained.vocab import Vocabulary
from radixlm.constrained.workshop import Notify


class Shop:
    """Takes orders, and carries out what it is told to."""

    def __init__(self, setup: Setup, notify: Notify) -> None:
        self.notify = notify
        self.orders: list[Order] = []
        self.is_open = True
        self.is_immediate = False

    def send(self, order: Order) -> None:
        self.orders.append(order)
        if self.is_immediate and isinstance(order, Compile):
            self.finish(order.spec.source)

    def close(self) -> None:
        self.is_open = False

    @property
    def compiled(self) -> list[str]:
        return [order.spec.source for order in self.orders if isinstance(order, Compile)]

    @property
    def cancelled(self) -> list[int]:
        return [order.id for order in self.orders if isinstance(order, Cancel)]

    def id_of(self, source: str) -> int:
        found = [one for one in self.orders if isinstance(one, Compile)]
        return next(one.id for one in reversed(found) if one.spec.source == source)

    def finish(self, source: str, **more: Any) -> None:
        error = MalformedError("bad", kind="regex")
        result = Refusal.of(error) if source == "bad" else Lowered("fake", source)
        before = set(threading.enumerate())
        self.notify(Done(self.id_of(source), result, **more))
        for made in set(threading.enumerate()) - before:
            if source != "slow":
                made.join()


class Loader:
    """A back end that loads anything but a bug."""

    slow_may_go_on = threading.Event()

    def load(self, spec: GrammarSpec, lowered: Lowered) -> Grammar:
        if spec.source == "bug":
            raise KeyError("oops")
        if spec.source == "slow":
            assert self.slow_may_go_on.wait(10)
        return Made()  # type: ignore[return-value]


class Unanalysed:
    num_nodes = 0

    def prepare(self) -> None:
        """There is nothing to prepare."""


class Made:
    completion = Unanalysed()


Make = Callable[..., tuple[GrammarCompiler, Shop]]


@pytest.fixture
def make(byte_vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    monkeypatch.setattr(compiler_module, "load_backend", lambda name, vocabulary: Loader())
    with ExitStack() as stack:

        def make(*, is_immediate: bool = False, **options: Any) -> tuple[GrammarCompiler, Shop]:
            shops: list[Shop] = []

            def make_shop(setup: Setup, notify: Notify) -> Shop:
                shops.append(Shop(setup, notify))
                return shops[0]

            options = {"max_cached": 8, **options}
            compiler = GrammarCompiler(byte_vocabulary, make_shop=make_shop, **options)
            stack.enter_context(closing(compiler))
            shops[0].is_immediate = is_immediate
            return compiler, shops[0]

        yield make


def regexes(sources: str) -> list[GrammarSpec]:
    return [GrammarSpec.regex(source) for source in sources]


def test_a_spec_in_the_works_is_shared_and_a_finished_one_kept(make: Make) -> None:
    compiler, shop = make()
    spec = GrammarSpec.regex("a")
    with ThreadPoolExecutor(8) as pool:
        futures = list(pool.map(compiler.submit, [spec] * 50))
    assert len({id(future) for future in futures}) == 1
    shop.finish("a")
    assert compiler.compile(spec) is futures[0].result(0)
    assert shop.compiled == ["a"]
    assert compiler.counts().hits == 50


def test_the_least_recently_used_is_forgotten(make: Make) -> None:
    compiler, shop = make(is_immediate=True, max_cached=2)
    for spec in regexes("abacab"):
        compiler.compile(spec)
    assert shop.compiled == ["a", "b", "c", "b"]


def test_what_is_kept_is_bounded_by_bytes_but_the_newest_stays(make: Make) -> None:
    compiler, shop = make(is_immediate=True, max_bytes=2 * compiler_module.GRAMMAR_BYTES)
    for spec in regexes("aabba"):  # each takes more than half of it
        compiler.compile(spec)
    assert shop.compiled == ["a", "b", "a"]
    assert compiler.counts().kept_bytes <= 2 * compiler_module.GRAMMAR_BYTES


def test_failures_are_grammar_errors_and_kept(make: Make) -> None:
    compiler, shop = make(is_immediate=True)
    for _ in range(2):
        with pytest.raises(MalformedError, match="bad"):
            compiler.compile(GrammarSpec.regex("bad"))
        with pytest.raises(GrammarError, match="KeyError"):
            compiler.compile(GrammarSpec.regex("bug"))
    assert shop.compiled == ["bad", "bug"]
    assert compiler.counts().refused == 2


def test_a_full_queue_fails_at_once_and_may_be_tried_again(make: Make) -> None:
    compiler, shop = make(max_queued=2)
    futures = [compiler.submit(spec) for spec in regexes("abc")]
    with pytest.raises(LimitError, match="waiting") as caught:
        futures[2].result(0)
    assert caught.value.retryable
    shop.finish("a")
    shop.finish("b")
    assert futures[1].result(0)
    again = compiler.submit(GrammarSpec.regex("c"))
    shop.finish("c")
    assert again.result(0)


def test_when_time_runs_out_the_work_is_stopped_and_what_only_waited_may_be_tried_again(
    make: Make,
) -> None:
    compiler, shop = make(timeout_s=0.05)
    futures = [compiler.submit(spec) for spec in regexes("ab")]
    shop.notify(Started(shop.id_of("a")))
    for future, has_waited_alone in zip(futures, (False, True), strict=True):
        with pytest.raises(LimitError, match=r"not compiled within 0.05 s") as caught:
            future.result(5)
        assert caught.value.retryable is has_waited_alone
    assert shop.cancelled == [shop.id_of("a"), shop.id_of("b")]
    shop.finish("a")  # it was under way already: nobody is told
    assert compiler.submit(GrammarSpec.regex("a")) is not futures[0]
    assert compiler.counts().timed_out == 2


def test_what_nobody_wants_any_more_is_stopped(make: Make) -> None:
    compiler, shop = make()
    spec = GrammarSpec.regex("a")
    future = compiler.submit(spec)
    assert compiler.submit(spec) is future
    compiler.abandon(future)
    assert shop.cancelled == []  # the other one still wants it
    compiler.abandon(future)
    assert shop.cancelled == [shop.id_of("a")]
    assert future.done()
    assert compiler.counts().cancelled == 1
    compiler.abandon(future)
    assert compiler.submit(spec) is not future


def test_an_abandoned_grammar_that_is_finished_stays(make: Make) -> None:
    compiler, shop = make(is_immediate=True)
    future = compiler.submit(GrammarSpec.regex("a"))
    compiler.abandon(future)
    assert compiler.submit(GrammarSpec.regex("a")) is future
    assert shop.cancelled == []


def test_when_the_process_ends_all_that_waits_fails_and_may_be_tried_again(make: Make) -> None:
    compiler, shop = make()
    futures = [compiler.submit(spec) for spec in regexes("ab")]
    shop.notify(None)
    for future in futures:
        error = future.exception(0)
        assert isinstance(error, LimitError)
        assert error.retryable
    again = compiler.submit(GrammarSpec.regex("a"))
    shop.finish("a")
    assert again.result(0)


def test_what_waits_what_is_compiled_and_what_came_of_it_are_counted(make: Make) -> None:
    compiler, shop = make()
    futures: list[Future[Grammar]] = [compiler.submit(spec) for spec in regexes("abcd")]
    shop.notify(Started(shop.id_of("a")))
    counts = compiler.counts()
    assert (counts.queued, counts.compiling) == (3, 1)
    shop.finish("a", is_from_disk=True)
    shop.finish("b", is_over_limit=True)
    shop.finish("c")
    compiler.abandon(futures[3])
    counts = msgspec.structs.replace(compiler.counts(), kept_bytes=0)
    wanted = {"compiled": 2, "from_disk": 1, "over_limit": 1, "cancelled": 1, "kept": 3}
    assert {
        name: value for name, value in msgspec.structs.asdict(counts).items() if value
    } == wanted


def test_a_shared_future_cannot_be_cancelled(make: Make) -> None:
    compiler, shop = make()
    future = compiler.submit(GrammarSpec.regex("a"))
    assert not future.cancel()
    shop.finish("a")
    assert future.result(0)


def test_closing_fails_what_waits_and_refuses_more(make: Make) -> None:
    compiler, shop = make()
    futures = [compiler.submit(spec) for spec in regexes("ab")]
    threads = threading.active_count()
    compiler.close()
    for future in futures:
        with pytest.raises(LimitError, match="closed"):
            future.result(0)
    assert not shop.is_open
    with pytest.raises(RuntimeError, match="closed"):
        compiler.submit(GrammarSpec.regex("c"))
    assert threading.active_count() <= threads


def test_an_unknown_back_end_is_refused_with_the_names(byte_vocabulary: Vocabulary) -> None:
    with pytest.raises(ValueError, match=r"'zebra'; there are: auto, llguidance, xgrammar"):
        GrammarCompiler(byte_vocabulary, max_cached=1, backend="zebra")


def test_no_grammar_waits_while_another_is_made(make: Make) -> None:
    compiler, shop = make()
    waiting = [compiler.submit(GrammarSpec.regex(source)) for source in ("slow", "a")]
    Loader.slow_may_go_on.clear()
    shop.finish("slow")
    shop.finish("a")
    assert waiting[1].result(5)
    assert not waiting[0].done()
    Loader.slow_may_go_on.set()
    assert waiting[0].result(5)
