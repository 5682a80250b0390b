"""Spelling with the fewest tokens, networks and positions, against enumeration."""

from __future__ import annotations

import functools
import itertools
import random
import re

import pytest

from radixlm.constrained.ebnf import ALL, charset, one_of
from radixlm.constrained.errors import GrammarError
from radixlm.constrained.expressions import read_grammar
from radixlm.constrained.network import Network
from radixlm.constrained.pattern import lower_pattern
from radixlm.constrained.recogniser import Recogniser
from radixlm.constrained.spelling import IMPOSSIBLE, Speller
from radixlm.constrained.vocab import Vocabulary

LETTERS = "abc"
EXTRA = (b"ab", b"bc", b"abc", b"ca", b"aaa", b"cab", b"bb")


def speller(extra: tuple[bytes, ...] = EXTRA) -> Speller:
    tokens = (*(bytes([byte]) for byte in range(256)), *extra, b"")
    return Speller(Vocabulary(tokens, frozenset({len(tokens) - 1})))


def recogniser(ebnf: str, spell: Speller | None = None) -> Recogniser:
    spell = spell or speller()
    return Recogniser(Network.of(read_grammar(ebnf), spell.counts, max_spread=256), spell)


def pattern(rng: random.Random, depth: int = 3) -> str:
    if not depth or rng.random() < 0.3:
        return str(rng.choice([*LETTERS, "[ab]", "[bc]", "[^b]"]))
    inner = [pattern(rng, depth - 1) for _ in range(rng.randint(1, 3))]
    shape = rng.choice(["{}{}", "({}|{})", "({})?{}", "({}){{1,2}}{}", "({}{}){{2}}", "({})*{}"])
    return str(shape.format(*(rng.choice(inner) for _ in range(shape.count("{}")))))


def texts(longest: int) -> list[str]:
    return ["".join(t) for n in range(longest + 1) for t in itertools.product(LETTERS, repeat=n)]


def fewest(text: str, spell: Speller) -> int:
    """By trying every first token."""

    @functools.cache
    def of(rest: str) -> int:
        if not rest:
            return 0
        starts = [t.decode() for t in (*EXTRA, *(c.encode() for c in LETTERS))]
        return 1 + min(of(rest[len(t) :]) for t in starts if rest.startswith(t))

    return of(text)


def test_texts_are_spelled_with_the_fewest_tokens() -> None:
    spell = speller()
    for text in texts(6):
        tokens = spell.tokens(text.encode())
        assert tokens is not None
        assert b"".join(spell.vocabulary.tokens[token] for token in tokens) == text.encode()
        assert len(tokens) == fewest(text, spell)
        assert spell.counts(text.encode()) == [fewest(text[i:], spell) for i in range(len(text))]


def test_a_text_with_a_byte_that_no_token_has_cannot_be_spelled() -> None:
    spell = Speller(Vocabulary((b"a", b"b", b""), frozenset({2})))
    assert spell.tokens(b"abc") is None
    assert spell.counts(b"ca")[0] >= IMPOSSIBLE
    assert spell.tokens(b"") == ()


@pytest.mark.parametrize("seed", range(25))
def test_positions_accept_what_the_pattern_matches_and_complete_what_it_begins(seed: int) -> None:
    source = pattern(random.Random(seed))
    whole = re.compile(source)
    grammar = recogniser(f"root ::= {lower_pattern(source)}")
    matching = {text for text in texts(7) if whole.fullmatch(text)}
    for text in texts(4):
        position = grammar.after(grammar.start, text.encode())
        assert position.is_accepting == (text in matching)
        if position is grammar.nowhere:
            assert not any(other.startswith(text) for other in matching)
            continue
        rest = grammar.completion(position)
        assert whole.fullmatch(text + rest.decode()), (source, text, rest)
        spelled = speller().tokens(rest)
        assert spelled is not None
        assert len(spelled) <= position.price


@pytest.mark.parametrize("seed", range(8))
def test_sets_of_characters_are_the_same_over_their_bytes(seed: int) -> None:
    rng = random.Random(seed)
    points = [0x7F, 0x80, 0x7FF, 0x800, 0xFFFF, 0x10000, 0x10FFFF, 0xE000]
    ends = sorted({*rng.sample(points, 3), *(rng.randrange(0xD800) for _ in range(5))})
    chars = charset(itertools.zip_longest(ends[::2], ends[1::2], fillvalue=ends[-1]))
    grammar = recogniser(f"root ::= {one_of(chars)}")
    tried = {end + step for end in ends for step in (-1, 0, 1)} | {
        rng.randrange(0x11000) for _ in range(50)
    }
    for code in tried:
        if any(low <= code <= high for low, high in ALL):
            position = grammar.after(grammar.start, chr(code).encode())
            assert position.is_accepting == any(low <= code <= high for low, high in chars), hex(
                code
            )


def test_recursion_is_followed_and_closed_from_every_depth() -> None:
    grammar = recogniser('root ::= "[" (root ("," root)*)? "]" | "{" root "}" | "0"')
    position = grammar.start
    for char in "[[{[0,{":
        position = grammar.after(position, char.encode())
    assert grammar.completion(position) == b"0}]}]]"
    assert grammar.after(position, b"]") is grammar.nowhere
    assert grammar.after(position, b"0}]}]]").is_accepting


def test_a_rule_that_ends_in_itself_takes_no_room() -> None:
    grammar = recogniser('root ::= "(" list ")"\nlist ::= "a" list | ""')
    once = grammar.after(grammar.start, b"(a")
    assert grammar.after(once, b"a" * 50) is once


def test_left_recursion_is_given_up_and_a_missing_rule_refused() -> None:
    grammar = recogniser('root ::= root "a" | "a"')
    assert grammar.start is grammar.nowhere
    with pytest.raises(GrammarError, match="no rule 'x'"):
        recogniser("root ::= x")
    with pytest.raises(GrammarError, match="no finite text"):
        recogniser('root ::= "a" root')


@pytest.mark.parametrize("seed", range(10))
def test_all_tokens_are_followed_at_once_as_they_are_one_by_one(seed: int) -> None:
    spell = speller()
    grammar = recogniser(f"root ::= {lower_pattern(pattern(random.Random(seed)))}", spell)
    position = grammar.after(grammar.start, b"a")
    if position is grammar.nowhere:
        position = grammar.start
    reach = grammar.reach(position)
    ends = dict(grammar.ends(position))
    for token, text in enumerate(spell.vocabulary.tokens):
        index = int(reach.of_token[token])
        after = grammar.after(position, text) if text else grammar.nowhere
        assert (reach.positions[index] if index >= 0 else grammar.nowhere) is after
        assert after is grammar.nowhere or after in ends
