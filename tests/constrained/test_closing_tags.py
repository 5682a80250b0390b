"""Structural tags and free JSON objects that end within a budget, by random walks."""

from __future__ import annotations

import json
import random
import re

import pytest

from radixlm.constrained import auto_backend
from radixlm.constrained.closing import Closing
from radixlm.constrained.errors import BudgetError
from radixlm.constrained.spec import GrammarSpec
from radixlm.constrained.vocab import Vocabulary

from .test_closing import walk
from .test_tags import LEGACY, THINK, tag

NESTED = 'root ::= "(" more* ")"\nmore ::= [a-z] | root'
CASES = {
    "object": (GrammarSpec.json_object(), r"\{.*\}"),
    "think": (tag(**THINK), r'<think>.{0,12}?</think>\{"city": ?".*"\}'),
    "triggered": (
        GrammarSpec.structural_tag(LEGACY),
        r"((?!<f=|\[\[).|<f=weather>\{.*?\}</f>|<f=add>-?\d+</f>|\[\[(true|false)\]\])*",
    ),
    "wanted": (
        tag(
            type="triggered_tags",
            triggers=["<f="],
            tags=[
                {
                    "begin": "<f=sum>",
                    "content": {"type": "regex", "pattern": "[0-9]{3}"},
                    "end": "</f>",
                }
            ],
            at_least_one=True,
        ),
        r".*<f=sum>\d{3}</f>.*",
    ),
    "grammar": (
        tag(
            type="tag",
            begin="<g>",
            content={"type": "grammar", "grammar": NESTED},
            end="</g>",
        ),
        r"<g>\([a-z()]*\)</g>",
    ),
}


@pytest.fixture(scope="module")
def compiler(vocabulary: Vocabulary) -> auto_backend.Compiler:
    return auto_backend.Compiler(vocabulary)


@pytest.mark.parametrize("name", CASES)
def test_texts_are_whole_at_every_budget(
    name: str, compiler: auto_backend.Compiler, vocabulary: Vocabulary
) -> None:
    spec, whole = CASES[name]
    grammar = compiler.compile(spec)
    minimum = grammar.completion.minimum
    assert minimum is not None
    for seed in range(10):
        budget = minimum.tokens + (0, 1, 2, 3, 5, 8, 13, 21, 34, 55)[seed]
        text = walk(grammar, vocabulary, budget, random.Random(seed))
        assert re.fullmatch(whole, text, re.DOTALL), text
        assert text.count("(") == text.count(")") or name != "grammar"
        if name == "object":
            assert isinstance(json.loads(text), dict)
    if minimum.tokens:
        with pytest.raises(BudgetError):
            Closing.of(grammar, minimum.tokens - 1)


def test_a_tag_is_recognised_so_that_its_price_is_trusted(
    compiler: auto_backend.Compiler,
) -> None:
    for name in ("object", "triggered", "wanted", "grammar"):
        assert compiler.compile(CASES[name][0]).completion.analysis.is_trusted, name
    # The bound of the free text is not counted there, so each plan is verified.
    assert not compiler.compile(CASES["think"][0]).completion.analysis.is_trusted
