"""Reasoning that ends where its mark is met or its tokens are spent, and what follows it."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest

from radixlm.constrained import auto_backend
from radixlm.constrained.closing import Closing
from radixlm.constrained.errors import BudgetError, MalformedError
from radixlm.constrained.grammar import Matcher
from radixlm.constrained.spec import GrammarSpec, Reasoning
from radixlm.constrained.vocab import Vocabulary

from .test_backends import allowed
from .test_closing import walk

# What spans the marks, and pieces of them.
EXTRA = (
    b"</",
    b"nk>",
    b">{",
    b"thi",
    b"></",
    b"\n\n",
    b"\n\n{",
    b"</think>\n",
    b"x<",
    b"ab",
    b"cd",
)
MARKS = Reasoning(begin="<think>", gap="\n\n", max_tokens=4)
WHOLE = r'<think>((?!</think>).)*</think>\n\n\{"a": ?(true|false)\}'
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"a": {"type": "boolean"}},
    "required": ["a"],
    "additionalProperties": False,
}
SPECS = {
    "json": GrammarSpec.json_schema(SCHEMA).after(MARKS),
    "regex": GrammarSpec.regex("[a-d]{2}<?").after(Reasoning(end="</</", max_tokens=3)),
    "ebnf": GrammarSpec.ebnf('root ::= "(" root ")" | "x<" | "</t"').after(MARKS),
    "none": GrammarSpec.regex("[ab]<?").after(Reasoning("<x>", "</x>", max_tokens=0)),
    "unbounded": GrammarSpec.choices(["ab", "<>"]).after(Reasoning()),
}


@pytest.fixture(scope="module")
def letters() -> Vocabulary:
    tokens = (*(bytes([byte]) for byte in range(256)), *EXTRA, b"", b"")
    return Vocabulary(tokens, frozenset({len(tokens) - 1}))


@pytest.fixture(scope="module")
def compiler(letters: Vocabulary) -> auto_backend.Compiler:
    return auto_backend.Compiler(letters)


def fed(matcher: Matcher, vocabulary: Vocabulary, *pieces: str) -> list[bool]:
    return [matcher.accept(vocabulary.tokens.index(piece.encode())) for piece in pieces]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", SPECS)
def test_the_mask_is_the_set_of_tokens_that_a_fork_accepts(
    name: str, seed: int, compiler: auto_backend.Compiler, letters: Vocabulary
) -> None:
    rng = random.Random(seed)
    matcher, masks = compiler.compile(SPECS[name]).matcher(), []
    marks = [token for token, text in enumerate(letters.tokens) if text and text[:1] in b"</>\n{"]
    while True:
        masks.append(mask := allowed(matcher, letters))
        assert mask == {t for t in range(letters.size) if matcher.fork().accept(t)}
        assert matcher.is_accepting == bool(mask & letters.stop_ids)
        if not mask - letters.stop_ids or len(masks) == 25:
            break
        likely = sorted(mask.intersection(marks)) or sorted(mask - letters.stop_ids)
        assert matcher.accept(rng.choice(rng.choice([likely, sorted(mask - letters.stop_ids)])))
    count = rng.randrange(len(masks))
    matcher.rollback(count)
    assert allowed(matcher, letters) == masks[len(masks) - 1 - count]


def test_the_bound_holds_in_tokens_and_the_close_is_forced(
    compiler: auto_backend.Compiler, letters: Vocabulary
) -> None:
    matcher = compiler.compile(SPECS["json"]).matcher()
    assert matcher.forced() == "<think>"
    assert all(fed(matcher, letters, *"<think>", "ab", "cd", "ab"))
    assert matcher.forced() == ""
    assert fed(matcher, letters, "</") == [True]  # the fourth, and a part of the mark
    assert matcher.forced() == 'think>\n\n{"a":'
    assert not any(fed(matcher, letters, "a", "</", "x<"))
    assert all(fed(matcher, letters, "thi", "nk>", "\n\n{"))
    assert matcher.forced() == '"a":'


@pytest.mark.parametrize("bound", range(1, 6))
@pytest.mark.parametrize("seed", range(8))
def test_a_character_is_begun_only_where_it_can_be_ended(
    seed: int, bound: int, compiler: auto_backend.Compiler, letters: Vocabulary
) -> None:
    rng = random.Random(seed)
    reasoning = Reasoning(begin="<think>", max_tokens=bound)
    matcher = compiler.compile(GrammarSpec.regex("[ab]").after(reasoning)).matcher()
    for _ in range(40):
        if matcher.is_finished:
            break
        mask = allowed(matcher, letters)
        pieces = [token for token in mask if letters.tokens[token] >= b"\x80"]
        assert matcher.accept(rng.choice(sorted(pieces or mask)))
    assert matcher.is_accepting


def test_no_reasoning_at_all_is_a_bound_too(
    compiler: auto_backend.Compiler, letters: Vocabulary
) -> None:
    spec = GrammarSpec.regex("[ab]").after(Reasoning(begin="<x>", end="</x>", max_tokens=0))
    for pieces, is_taken in [(("<", "x", ">"), True), (("<", "x", "></"), True)]:
        matcher = compiler.compile(spec).matcher()
        assert fed(matcher, letters, *pieces)[-1] is is_taken
        assert "</x>".endswith(matcher.forced())
        assert not any(fed(matcher, letters, "a", "ab"))
    matcher = compiler.compile(spec).matcher()
    assert fed(matcher, letters, "<", "x", ">{") == [True, True, False]


def test_a_mark_that_comes_by_itself_ends_the_reasoning(
    compiler: auto_backend.Compiler, letters: Vocabulary
) -> None:
    matcher = compiler.compile(SPECS["json"]).matcher()
    assert all(fed(matcher, letters, *"<thi", "nk>", "</think>\n"))
    assert matcher.forced() == '\n{"a":'


@pytest.mark.parametrize("name", SPECS)
def test_texts_are_whole_at_every_budget(
    name: str, compiler: auto_backend.Compiler, letters: Vocabulary
) -> None:
    grammar = compiler.compile(SPECS[name])
    minimum = grammar.completion.minimum
    assert minimum is not None
    assert grammar.completion.analysis.is_trusted
    for seed in range(12):
        text = walk(grammar, letters, minimum.tokens + seed * seed // 4, random.Random(seed))
        reasoning = SPECS[name].reasoning
        assert reasoning is not None
        assert re.fullmatch(WHOLE, text, re.DOTALL) or name != "json"
        assert reasoning.answer(text), text
    with pytest.raises(BudgetError):
        Closing.of(grammar, minimum.tokens - 1)


def test_what_is_checked_is_the_answer_alone(compiler: auto_backend.Compiler) -> None:
    unique = {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}
    spec = GrammarSpec.json_schema(unique, mode="best_effort").after(MARKS)
    grammar = compiler.compile(spec)
    assert grammar.check("<think>[1,1]</think>\n\n[1,2]") == []
    (failure,) = grammar.check("<think></think>\n\n[1,1]")
    assert failure.keyword == "/uniqueItems"


@pytest.mark.parametrize(
    ("reasoning", "message"),
    [
        (Reasoning(end=""), "reasoning.end"),
        (Reasoning(begin="x" * 65), "at most 64"),
        (Reasoning(gap="\ud800"), "reasoning.gap"),
        (Reasoning(max_tokens=-1), "at least 0"),
    ],
)
def test_marks_that_cannot_be_kept_are_refused(reasoning: Reasoning, message: str) -> None:
    with pytest.raises(MalformedError, match=message):
        GrammarSpec.regex("a").after(reasoning)
