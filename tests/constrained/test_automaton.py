"""Automata of patterns against `re` on short texts."""

from __future__ import annotations

import itertools
import re

import pytest

from radixlm.constrained.automaton import Automaton, analysed
from radixlm.constrained.errors import LimitError
from radixlm.constrained.normal.complement import complement_pattern

TEXTS = ["".join(text) for size in range(5) for text in itertools.product("ab\n", repeat=size)]
PATTERNS = [
    "",
    "a",
    "^a",
    "a$",
    "^a*b$",
    "^(a|b){2,3}$",
    "a.b",
    "^[^a]*$",
    "(ab)+",
    "^$|a",
    "^a?b?$",
]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_opposite_of_a_pattern_matches_every_other_text(pattern: str) -> None:
    opposite = complement_pattern(pattern)
    assert opposite is not None
    whole = opposite.removesuffix("$") + r"\Z"
    plain = re.compile(pattern.replace("$", r"\Z"))
    for text in TEXTS:
        assert bool(re.search(whole, text)) != bool(plain.search(text)), text


@pytest.mark.parametrize(
    ("pattern", "is_finite", "shortest"),
    [("a{2,3}", True, 2), ("a*", False, 0), ("(a|bc)d", True, 2), ("[ab]+c?", False, 1)],
)
def test_finiteness_and_the_shortest_text(pattern: str, is_finite: bool, shortest: int) -> None:
    automaton = Automaton.of(pattern)
    assert automaton.is_finite == is_finite
    assert automaton.min_length() == shortest
    assert not automaton.is_empty
    assert automaton.complement().complement() == automaton


def test_the_texts_of_a_finite_pattern_are_listed() -> None:
    assert Automaton.of("(a|bc)d?").texts(10) == ["a", "ad", "bc", "bcd"]
    assert Automaton.of("[a-z]{2}").texts(10) is None
    assert Automaton.of("a*").texts(10) is None


def test_disjoint_patterns_are_told_apart() -> None:
    assert Automaton.of("a+").is_disjoint(Automaton.of("b*c"))
    assert not Automaton.of("a*").is_disjoint(Automaton.of("b*"))


def test_a_pattern_that_explodes_is_a_limit() -> None:
    with pytest.raises(LimitError):
        Automaton.of(".*a.{30}")
    assert analysed("(?=a)b") is None
