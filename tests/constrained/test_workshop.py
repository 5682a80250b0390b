"""The process that compiles, and what it does with grammars that would stop a server."""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from radixlm.constrained.bitmask import allocate_bitmask
from radixlm.constrained.compiler import GrammarCompiler
from radixlm.constrained.errors import GrammarError, LimitError, UnsatisfiableError
from radixlm.constrained.llguidance_backend import Compiler
from radixlm.constrained.orders import Limits
from radixlm.constrained.spec import GrammarSpec
from radixlm.constrained.vocab import Vocabulary

pytestmark = pytest.mark.slow

DOUBLED = "\n".join(f"r{n} ::= r{n + 1} r{n + 1}" for n in range(40))
# Of one text without an end: xgrammar would write it out when it is asked what is forced.
ENDLESS = GrammarSpec.ebnf(f'root ::= r0\n{DOUBLED}\nr40 ::= "a"')
RANGES = [{"type": "integer", "minimum": n, "maximum": n + 500} for n in range(400)]
SLOW = GrammarSpec.json_schema({"oneOf": RANGES})  # some seconds, of our own code
OBJECT = GrammarSpec.json_schema({"type": "object", "required": ["a"], "maxProperties": 3})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("grammars")


@pytest.fixture(scope="module")
def compiler(byte_vocabulary: Vocabulary, folder: Path) -> Iterator[GrammarCompiler]:
    limits = Limits(slow_s=10.0, memory_bytes=500 << 20)
    options: Any = {"max_cached": 64, "timeout_s": 100.0, "limits": limits, "folder": folder}
    with closing(GrammarCompiler(byte_vocabulary, **options)) as made:
        yield made


def children(pid: int) -> set[int]:
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == pid:
            found |= {int(folder.name)} | children(int(folder.name))
    return found


def test_what_was_compiled_there_masks_the_same(
    compiler: GrammarCompiler, byte_vocabulary: Vocabulary
) -> None:
    here = Compiler(byte_vocabulary).compile(OBJECT)
    there = compiler.compile(OBJECT)
    assert there.contract == here.contract
    masks = allocate_bitmask(2, byte_vocabulary.size)
    matches = [here.matcher(), there.matcher()]
    for byte in b'{"a":[1,"\xc3\xa9"],"b':
        for row, match in enumerate(matches):
            match.fill(masks, row)
            assert match.accept(byte)
        assert masks[0].equal(masks[1])


def test_a_refusal_says_there_what_it_says_here(compiler: GrammarCompiler) -> None:
    spec = GrammarSpec.json_schema({"type": "integer", "minimum": 3, "maximum": 2})
    with pytest.raises(UnsatisfiableError) as caught:
        compiler.compile(spec)
    assert caught.value.pointer == ""


def test_a_check_that_the_mask_leaves_open_is_made_here(compiler: GrammarCompiler) -> None:
    schema = {"type": "array", "items": {"type": "number"}, "uniqueItems": True}
    grammar = compiler.compile(GrammarSpec.json_schema(schema, mode="best_effort"))
    assert not grammar.contract.is_enforced
    assert [failure.keyword for failure in grammar.check("[1,1]")] == ["/uniqueItems"]
    assert grammar.check("[1,2]") == []


def test_a_grammar_of_endless_text_is_refused_and_the_next_is_compiled(
    compiler: GrammarCompiler,
) -> None:
    endless = compiler.submit(ENDLESS)
    begun = time.monotonic()
    assert compiler.compile(GrammarSpec.regex("[a-f]+"))  # does not wait for it
    waited_s = time.monotonic() - begun
    with pytest.raises(LimitError) as caught:
        endless.result()
    assert not caught.value.retryable
    assert waited_s < time.monotonic() - begun
    assert compiler.counts().over_limit == 1
    assert compiler.compile(GrammarSpec.regex("[a-e]+"))


def test_a_grammar_that_computes_for_too_long_is_refused_and_kept_so(
    byte_vocabulary: Vocabulary,
) -> None:
    limits = Limits(turn_s=0.1, slow_s=0.3)
    options: Any = {"max_cached": 8, "timeout_s": 100.0, "limits": limits}
    with closing(GrammarCompiler(byte_vocabulary, **options)) as compiler:
        for _ in range(2):
            with pytest.raises(LimitError, match=r"more than 0.3 s of computing") as caught:
                compiler.compile(SLOW)
            assert not caught.value.retryable
        assert compiler.compile(OBJECT)
        counts = compiler.counts()
    assert (counts.over_limit, counts.compiled, counts.hits) == (1, 1, 1)


def test_an_ordinary_grammar_waits_for_short_turns_of_hostile_ones_alone(
    byte_vocabulary: Vocabulary,
) -> None:
    limits = Limits(turn_s=60.0)  # in which the hostile ones could all be refused
    with closing(GrammarCompiler(byte_vocabulary, max_cached=8, limits=limits)) as compiler:
        compiler.compile(GrammarSpec.regex("[r-s]+"))
        slow = [GrammarSpec.json_schema({"oneOf": RANGES, "title": f"{n}"}) for n in range(4)]
        futures = [compiler.submit(spec) for spec in slow]
        assert compiler.submit(GrammarSpec.regex("[s-t]+")).result(60)
        assert not all(future.done() for future in futures[1:])
        assert compiler.counts().queued == 0  # each has had its first turn


def test_those_that_are_abandoned_one_after_the_other_take_nobody_along(
    compiler: GrammarCompiler,
) -> None:
    compiler.compile(GrammarSpec.regex("[x-z]+"))
    before = compiler.counts()
    rng = random.Random(0)
    slow = [GrammarSpec.json_schema({"oneOf": RANGES, "title": f"{n}"}) for n in range(40)]
    futures = [compiler.submit(spec) for spec in slow]
    staying = compiler.submit(GrammarSpec.regex("[y-z]+"))
    while not compiler.counts().compiling:
        time.sleep(0.01)
    for future in futures:  # each is met where it is: waiting, begun, its process not there yet
        compiler.abandon(future)
        time.sleep(rng.uniform(0, 0.004))
    assert staying.result(20)
    after = compiler.counts()
    assert after.cancelled - before.cancelled == len(futures)
    assert after.compiled - before.compiled == 1


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are listed in /proc")
def test_an_abandoned_grammar_is_stopped_at_once(compiler: GrammarCompiler) -> None:
    compiler.compile(GrammarSpec.regex("[a-d]+"))
    before = children(os.getpid())
    future = compiler.submit(SLOW)
    while not compiler.counts().compiling:
        time.sleep(0.005)
    compiler.abandon(future)
    assert compiler.counts().compiling == 0
    begun = time.monotonic()
    assert compiler.compile(GrammarSpec.regex("[a-c]+"))
    assert time.monotonic() - begun < 20  # SLOW would have to end first
    assert children(os.getpid()) != before  # another hand than before


def test_what_is_dear_comes_from_the_disk_the_next_time(
    compiler: GrammarCompiler, byte_vocabulary: Vocabulary, folder: Path
) -> None:
    spec = GrammarSpec.ebnf(f'root ::= "{"ab" * 4_000}" | "{"ab" * 9}"')
    made = compiler.compile(spec)
    assert list(folder.iterdir())
    with closing(GrammarCompiler(byte_vocabulary, max_cached=1, folder=folder)) as other:
        again = other.compile(spec)
        assert other.counts().from_disk == 1
    for grammar in (made, again):
        match = grammar.matcher()
        assert all(map(match.accept, b"ab" * 9))
        assert match.is_accepting
        assert not match.accept(ord("b"))


@pytest.mark.skipif(sys.platform != "linux", reason="processes end with their parent on Linux")
def test_a_process_that_is_ended_fails_what_waits_and_is_started_again(
    byte_vocabulary: Vocabulary,
) -> None:
    with closing(GrammarCompiler(byte_vocabulary, max_cached=8, timeout_s=100.0)) as compiler:
        compiler.compile(GrammarSpec.regex("a"))
        shop = compiler._shop
        future = compiler.submit(SLOW)
        while not compiler.counts().compiling:
            time.sleep(0.005)
        ended = shop._child.pid  # type: ignore[attr-defined]
        hands = children(ended)
        assert hands
        shop._child.kill()  # type: ignore[attr-defined]
        with pytest.raises(GrammarError, match="has ended"):
            future.result(30)
        deadline = time.monotonic() + 10
        while any(Path(f"/proc/{pid}").exists() for pid in hands):  # what they were at is stopped
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert compiler.compile(GrammarSpec.regex("b"))
