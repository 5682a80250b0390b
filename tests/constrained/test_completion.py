"""When grammars are analysed, and who waits for whom. Nothing is analysed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from radixlm.constrained.completion import Completion
from radixlm.constrained.spec import GrammarSpec
from radixlm.constrained.spelling import speller_of
from radixlm.constrained.vocab import Vocabulary

Make = Callable[[Callable[[], Any]], Completion]


@pytest.fixture
def make(byte_vocabulary: Vocabulary) -> Make:
    spec, speller = GrammarSpec.regex("a"), speller_of(byte_vocabulary)
    return lambda analyse: Completion(spec, speller, None, analyse)


def wait_until_ready(completion: Completion) -> float:
    """Return the seconds until a match can begin."""
    begun = time.monotonic()
    while not completion.is_ready(1):
        assert time.monotonic() - begun < 20
        time.sleep(0.005)
    return time.monotonic() - begun


def test_an_ordinary_analysis_does_not_wait_for_a_hostile_one_to_end(make: Make) -> None:
    is_over = threading.Event()
    hostile = make(lambda: is_over.wait(20))
    ordinary = [make(lambda: object()) for _ in range(3)]
    try:
        assert not hostile.is_ready(1)
        waits_s = [wait_until_ready(one) for one in ordinary]
        assert not hostile.is_ready(1)
    finally:
        is_over.set()
    wait_until_ready(hostile)
    assert max(waits_s) < 10


def test_short_analyses_are_made_one_at_a_time(make: Make) -> None:
    running, most = 0, 0

    def analyse() -> object:
        nonlocal running, most
        running += 1
        most = max(most, running)
        time.sleep(0.005)
        running -= 1
        return object()

    every = [make(analyse) for _ in range(6)]
    for one in every:
        assert not one.is_ready(1)
    for one in every:
        wait_until_ready(one)
    assert most == 1
