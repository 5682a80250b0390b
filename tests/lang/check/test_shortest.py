"""The fewest tokens of a grammar, against a search over all texts."""

from __future__ import annotations

import itertools
import random
import re

import pytest

from radixlm.constrained.expressions import Reference, UnreadableError, read_grammar
from radixlm.constrained.pattern import lower_pattern
from radixlm.lang.check.grammar import forced_prefix, longest_bytes, may_begin, shortest_texts
from radixlm.lang.check.shortest import fewest_tokens

ROOT = Reference("root")
LETTERS = "abc"


def pattern(rng: random.Random, depth: int = 3) -> str:
    if not depth or rng.random() < 0.3:
        return rng.choice([*LETTERS, "[ab]", "[bc]"])
    inner = [pattern(rng, depth - 1) for _ in range(rng.randint(1, 3))]
    shape = rng.choice(["{}{}", "({}|{})", "({})?{}", "({}){{1,2}}{}", "({}{}){{2}}"])
    return shape.format(inner[0], inner[-1])


def tokens_of(text: str, vocabulary: set[str]) -> int | None:
    best: list[int | None] = [0] + [None] * len(text)
    for end in range(1, len(text) + 1):
        ways = [
            before + 1
            for start in range(end)
            if (before := best[start]) is not None and text[start:end] in vocabulary
        ]
        best[end] = min(ways, default=None)
    return best[-1]


@pytest.mark.parametrize("seed", range(40))
def test_random_patterns_agree_with_a_search_over_all_texts(seed: int) -> None:
    rng = random.Random(seed)
    source = pattern(rng)
    vocabulary = {*LETTERS, *("".join(rng.choices(LETTERS, k=rng.randint(2, 4))) for _ in range(9))}
    rules = read_grammar(f"root ::= {lower_pattern(source)}")
    texts = [
        "".join(letters)
        for size in range(9)
        for letters in itertools.product(LETTERS, repeat=size)
        if re.fullmatch(source, "".join(letters))
    ]
    if not texts:
        pytest.skip("its shortest text is longer than is searched")
    # A bounded repetition counts as an unbounded one behind its least: the result may be lower.
    best = min(count for text in texts if (count := tokens_of(text, vocabulary)) is not None)
    found = fewest_tokens(ROOT, rules, vocabulary)
    assert found is not None
    assert found <= best
    if "{1,2}" not in source and "?" not in source:
        assert found == best
    assert len(shortest_texts(rules)["root"]) == len(texts[0])
    most = longest_bytes(ROOT, rules)
    assert most is not None
    assert max(map(len, texts)) <= most
    prefix, _ = forced_prefix(ROOT, rules)
    assert all(text.startswith(prefix) for text in texts)
    firsts = {text[:1] for text in texts}
    assert {c for c in LETTERS if may_begin(ROOT, c, rules)[0]} == firsts - {""}


def test_a_rule_that_ends_in_itself_is_counted() -> None:
    rules = read_grammar('root ::= "a" rest\nrest ::= "b" | "a" rest')
    assert fewest_tokens(ROOT, rules, ["a", "b", "ab"]) == 1
    assert fewest_tokens(ROOT, rules, ["a", "b"]) == 2
    assert longest_bytes(ROOT, rules) is None


def test_a_recursion_in_the_middle_counts_as_free_text() -> None:
    rules = read_grammar('root ::= "(a" root "a)" | "xyz"')
    assert fewest_tokens(ROOT, rules, list("(a)xyz")) == 3
    rules = read_grammar('root ::= "a" list\nlist ::= "(" list ")b" | "(cc)b"')
    assert fewest_tokens(ROOT, rules, list("(abc)")) == 3  # a, (, and the b behind any ")"
    assert shortest_texts(rules)["root"] == "a(cc)b"


def test_free_text_counts_nothing_and_tokens_may_end_in_it() -> None:
    rules = read_grammar('root ::= "<" [^<>]* ">;"')
    assert fewest_tokens(ROOT, rules, ["<", ">", ";"]) == 2
    assert fewest_tokens(ROOT, rules, ["<", "<id>", ">", ";", ">;"]) == 1


def test_a_rule_without_finite_texts_has_no_shortest() -> None:
    assert shortest_texts(read_grammar('root ::= "a" root')) == {}


def test_escapes_sets_and_comments_are_read() -> None:
    rules = read_grammar(
        'root ::= "\\"\\n" [^a-z\\-\\]] # an end\n  [\\u0041-\\x43]{2} other?\nother ::= "z"'
    )
    assert shortest_texts(rules)["root"].startswith('"\n')
    assert len(shortest_texts(rules)["root"]) == 5
    assert longest_bytes(ROOT, rules) == 2 + 4 + 2 + 1


def test_what_is_not_known_is_said_to_be_unreadable() -> None:
    with pytest.raises(UnreadableError):
        read_grammar("root ::= /[a-z]/")
