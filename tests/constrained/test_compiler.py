from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any, cast

import pytest

from radixlm.constrained import compiler as compiler_module
from radixlm.constrained.compiler import GrammarCompiler
from radixlm.constrained.errors import GrammarError, LimitError, MalformedError
from radixlm.constrained.grammar import Grammar
from radixlm.constrained.spec import GrammarSpec
from radixlm.constrained.vocab import Vocabulary


class Gate:
    """A back end that compiles when told to, and counts."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.opened = threading.Event()
        self.started = threading.Event()
        self.compiled: list[str] = []

    def compile(self, spec: GrammarSpec) -> Grammar:
        self.compiled.append(spec.source)
        self.started.set()
        assert self.opened.wait(10)
        if spec.source == "bug":
            raise KeyError("oops")
        if spec.source == "bad":
            raise MalformedError("bad", kind=spec.kind)
        return cast(Grammar, Made())


class Unanalysed:
    num_nodes = 0

    def prepare(self) -> None:
        """There is nothing to prepare."""


class Made:
    completion = Unanalysed()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch, byte_vocabulary: Vocabulary) -> Gate:
    gate = Gate(byte_vocabulary)
    monkeypatch.setattr(compiler_module, "load_backend", lambda name, vocabulary: gate)
    return gate


@pytest.fixture
def make(byte_vocabulary: Vocabulary) -> Iterator[Callable[..., GrammarCompiler]]:
    with ExitStack() as stack:

        def make(**options: Any) -> GrammarCompiler:
            return stack.enter_context(
                closing(GrammarCompiler(byte_vocabulary, **{"max_cached": 8, **options}))
            )

        yield make


def test_a_spec_in_the_works_is_shared_and_a_finished_one_kept(
    gate: Gate, make: Callable[..., GrammarCompiler]
) -> None:
    compiler = make(num_workers=2)
    spec = GrammarSpec.regex("a")
    with ThreadPoolExecutor(8) as pool:
        futures = list(pool.map(compiler.submit, [spec] * 50))
    gate.opened.set()
    assert len({id(future) for future in futures}) == 1
    grammar = futures[0].result(5)
    assert compiler.compile(spec) is grammar
    assert gate.compiled == ["a"]


def test_the_least_recently_used_is_forgotten(
    gate: Gate, make: Callable[..., GrammarCompiler]
) -> None:
    gate.opened.set()
    compiler = make(max_cached=2)
    for source in ["a", "b", "a", "c", "a", "b"]:
        compiler.compile(GrammarSpec.regex(source))
    assert gate.compiled == ["a", "b", "c", "b"]


def test_what_is_kept_is_bounded_by_bytes_but_the_newest_stays(
    gate: Gate, make: Callable[..., GrammarCompiler]
) -> None:
    gate.opened.set()
    compiler = make(max_bytes=2 * compiler_module.GRAMMAR_BYTES)
    for source in ["a", "a", "b", "b", "a"]:  # each takes more than half of it
        compiler.compile(GrammarSpec.regex(source))
    assert gate.compiled == ["a", "b", "a"]


def test_failures_are_grammar_errors_and_kept(
    gate: Gate, make: Callable[..., GrammarCompiler]
) -> None:
    gate.opened.set()
    compiler = make()
    for _ in range(2):
        with pytest.raises(MalformedError, match="bad"):
            compiler.compile(GrammarSpec.regex("bad"))
        with pytest.raises(GrammarError, match="KeyError"):
            compiler.compile(GrammarSpec.regex("bug"))
    assert gate.compiled == ["bad", "bug"]
    compiler.compile(GrammarSpec.regex("good"))


def test_a_full_queue_fails_at_once_and_may_be_tried_again(
    gate: Gate, make: Callable[..., GrammarCompiler]
) -> None:
    compiler = make(max_queued=2)
    futures = [compiler.submit(GrammarSpec.regex(source)) for source in "abc"]
    with pytest.raises(LimitError, match="waiting") as caught:
        futures[2].result(0)
    assert caught.value.retryable
    gate.opened.set()
    assert futures[1].result(5)
    assert compiler.compile(GrammarSpec.regex("c"))


def test_time_runs_out_for_the_one_in_the_works_and_those_behind_it(
    gate: Gate, make: Callable[..., GrammarCompiler]
) -> None:
    compiler = make(timeout_s=0.05)
    futures = [compiler.submit(GrammarSpec.regex(source)) for source in "ab"]
    for future in futures:
        with pytest.raises(LimitError, match=r"not compiled within 0.05 s") as caught:
            future.result(5)
        assert caught.value.retryable
    gate.opened.set()
    deadline = time.monotonic() + 5
    while not (done := compiler.submit(GrammarSpec.regex("a"))).done():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert done.exception() is None  # what came too late serves the next who asks
    assert "b" not in gate.compiled


def test_a_shared_future_cannot_be_cancelled(
    gate: Gate, make: Callable[..., GrammarCompiler]
) -> None:
    compiler = make()
    future = compiler.submit(GrammarSpec.regex("a"))
    assert not future.cancel()
    gate.opened.set()
    assert future.result(5)


def test_closing_fails_what_waits_and_refuses_more(
    gate: Gate, make: Callable[..., GrammarCompiler]
) -> None:
    compiler = make()
    futures = [compiler.submit(GrammarSpec.regex(source)) for source in "ab"]
    assert gate.started.wait(5)
    compiler.close()
    for future in futures:
        with pytest.raises(LimitError, match="closed"):
            future.result(5)
    gate.opened.set()
    with pytest.raises(RuntimeError, match="closed"):
        compiler.submit(GrammarSpec.regex("c"))


def test_an_unknown_back_end_is_refused_with_the_names(byte_vocabulary: Vocabulary) -> None:
    with pytest.raises(ValueError, match=r"'zebra'; there are: auto, llguidance, xgrammar"):
        GrammarCompiler(byte_vocabulary, max_cached=1, backend="zebra")


def test_compiling_lets_other_threads_run(make: Callable[..., GrammarCompiler]) -> None:
    compiler = make()
    future = compiler.submit(GrammarSpec.ebnf('root ::= "' + "ab" * 30_000 + '"'))
    turns = 0
    while not future.done():
        turns += 1
        time.sleep(0.001)
    assert future.result()
    assert turns > 10  # some 0.3 s of compiling
