"""What is found out about a grammar before a scheduler meets it."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from radixlm.constrained import llguidance_backend
from radixlm.constrained.errors import LimitError
from radixlm.constrained.spec import GrammarSpec
from radixlm.constrained.trial import try_out


class Match:
    """Allows one token for ever, each of which costs something."""

    is_finished = False

    def __init__(self, cost_s: float, takes: int) -> None:
        self.cost_s = cost_s
        self.takes = takes

    def forced(self) -> str:
        return ""

    def row(self) -> NDArray[np.int32]:
        begun = time.thread_time()
        while time.thread_time() - begun < self.cost_s:
            pass
        return np.array([0, 1 << 3], dtype=np.int32)

    def accept(self, token: int) -> bool:
        assert token == 35
        self.takes -= 1
        return self.takes >= 0


class Made:
    spec = GrammarSpec.regex("a")

    def __init__(self, cost_s: float = 0, takes: int = 1_000) -> None:
        self.cost_s = cost_s
        self.takes = takes

    def matcher(self) -> Any:
        return Match(self.cost_s, self.takes)


def test_a_cheap_grammar_passes() -> None:
    grammar: Any = Made()
    try_out(grammar)


def test_a_mask_that_takes_too_long_is_refused_with_its_time() -> None:
    grammar: Any = Made(cost_s=0.12)
    with pytest.raises(LimitError, match=r"behind 0 tokens a mask takes 1\d\d ms"):
        try_out(grammar)


def test_a_parser_that_gives_up_is_refused_with_the_place() -> None:
    grammar: Any = Made(takes=7)
    with pytest.raises(LimitError, match="behind 7 tokens too much is open at once"):
        try_out(grammar)


@pytest.mark.parametrize("is_object", [False, True])
def test_thousands_of_choices_and_hundreds_of_properties_pass(
    is_object: bool, byte_llguidance: llguidance_backend.Compiler
) -> None:
    if is_object:
        properties = {f"property_{n}": {"type": "integer"} for n in range(600)}
        spec = GrammarSpec.json_schema({"type": "object", "properties": properties})
        text = b'{"property_7":1,"property_55":2}'
    else:
        spec = GrammarSpec.choices([f"option {n} of many" for n in range(3_000)])
        text = b"option 1777 of many"
    grammar = byte_llguidance.compile(spec)
    try_out(grammar)
    match = grammar.matcher()
    assert all(map(match.accept, text))
    assert match.is_accepting
