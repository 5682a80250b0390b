"""One back end for all grammars, fixed by whoever starts the engine."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec
import pytest

from radixlm.constrained.errors import GrammarError
from radixlm.runtime.offline import Engine


@pytest.fixture(scope="module")
def engine(tiny_model: str) -> Iterator[Engine]:
    with Engine(
        model_path=tiny_model, in_process=True, max_total_tokens=2000, grammar_backend="xgrammar"
    ) as made:
        yield made


def test_what_the_back_end_reads_is_kept(engine: Engine) -> None:
    answer = engine.generate("x", {"regex": "a[0-9]{2}b", "max_new_tokens": 20})
    assert re.fullmatch("a[0-9]{2}b", answer["text"])


def test_what_it_does_not_read_is_refused_by_name(engine: Engine) -> None:
    with pytest.raises(GrammarError, match="xgrammar does not read lark"):
        engine.generate("x", {"lark": 'start: "a"', "max_new_tokens": 20})


def test_a_back_end_that_is_not_there_is_refused_with_those_that_are(tiny_model: str) -> None:
    with pytest.raises(msgspec.ValidationError, match="grammar_backend"):
        Engine(model_path=tiny_model, grammar_backend="zebra")
