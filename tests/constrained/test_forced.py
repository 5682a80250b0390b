"""Forced texts in tokens: as the tokenizer has the whole text, and never more than is certain."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

import pytest
from transformers import PreTrainedTokenizerFast

from radixlm.constrained.forced import Spelling
from radixlm.constrained.vocab import Vocabulary

TEXTS = [
    '{"name": "Ada", "age": 36, "long_property_name": [1.5, -20, 12345], "ok": true}',
    '{"street_name":"red_apple","street_number":null}\n{\n    "a": {\n        "b": ""\n    }\n}',
    "def add(a, b): return a + b  # it's 1, don't     you'll  \n\n\n see \t\tthem",
    "Les élèves déjà là; 東京 2026-01-01T10:00:00Z 😀😀 naïve café → ok. ÀÉ   東京都",
    "internationalisation_of_the_networked_organisations = 'unbelievable'",
]


def encoder(tokenizer: PreTrainedTokenizerFast) -> Callable[[str], list[int]]:
    return partial(tokenizer.encode, add_special_tokens=False)


def check(spelling: Spelling, vocabulary: Vocabulary, encode: Callable[[str], list[int]]) -> float:
    """Cut texts at random places; return which share of the forced tokens was certain.

    Of a text, some tokens are the sequence, some characters after them are forced, and the rest is
    what nobody knows yet.
    """
    rng = random.Random(0)
    found = certain = 0
    for _ in range(1500):
        text = rng.choice(TEXTS)
        start = rng.randrange(len(text) - 20)
        whole = encode(text[start : start + rng.randint(20, 50)])
        kept = rng.randrange(1, len(whole))
        try:
            rest = b"".join(vocabulary.tokens[token] for token in whole[kept:]).decode()
        except UnicodeDecodeError:  # cut inside a character: no text is forced there
            continue
        if not rest:
            continue
        run = spelling.run(whole[:kept], rest[: rng.randint(1, len(rest))])
        assert list(run.tokens[: run.certain]) == whole[kept : kept + run.certain], repr(text)
        found, certain = found + len(run.tokens), certain + run.certain
    return certain / found


def test_certain_tokens_are_those_of_the_whole_text(
    tokenizer: PreTrainedTokenizerFast, vocabulary: Vocabulary
) -> None:
    encode = encoder(tokenizer)
    assert check(Spelling(vocabulary, encode), vocabulary, encode) > 0.7


@pytest.mark.slow
@pytest.mark.parametrize("real_tokenizer", ["llama-3.1", "qwen2.5", "llama-2-spm"], indirect=True)
def test_certain_tokens_of_real_tokenizers_are_those_of_the_whole_text(
    real_tokenizer: PreTrainedTokenizerFast,
) -> None:
    stop = real_tokenizer.convert_tokens_to_ids(str(real_tokenizer.eos_token))
    assert isinstance(stop, int)
    vocabulary = Vocabulary.from_tokenizer(
        real_tokenizer, vocab_size=len(real_tokenizer), stop_ids=[stop]
    )
    encode = encoder(real_tokenizer)
    assert check(Spelling(vocabulary, encode), vocabulary, encode) > 0.4


WORDS = {b"name": 300, b"names": 301, b'":': 302, b'":"': 303, b"na": 304, b"me": 305, b'"n': 306}


def longest_first(text: str) -> list[int]:
    """A tokenizer with some words, and bytes."""
    data, found = text.encode(), list[int]()
    while data:
        word = next((w for w in sorted(WORDS, key=len, reverse=True) if data.startswith(w)), None)
        found.append(data[0] if word is None else WORDS[word])
        data = data[1 if word is None else len(word) :]
    return found


@pytest.fixture(scope="module")
def spelling() -> Spelling:
    tokens = [bytes([byte]) for byte in range(256)] + [b""] * 60
    for word, token in WORDS.items():
        tokens[token] = word
    return Spelling(Vocabulary(tuple(tokens), frozenset({256})), longest_first)


@pytest.mark.parametrize(
    ("before", "forced", "tokens", "certain"),
    [
        ([], 'x"name":', [ord("x"), 306, ord("a"), 305, 302], 4),  # `":"` may come of `":`
        ([], "a name", [ord("a"), ord(" "), 300], 2),  # `names` may
        ([], "a name.", [ord("a"), ord(" "), 300, ord(".")], 4),
        ([ord("x"), 304], "me.", [305, ord(".")], 2),  # `na` stays, though `name` is a token
        ([ord("x"), ord('"')], "name.", [300, ord(".")], 2),  # so does `"`, though `"n` is one
        ([256, 304], "me.", [305, ord(".")], 2),  # a special token: another text before it
        ([], "na", [304], 0),
    ],
)
def test_what_is_there_stays_and_an_open_end_is_left_to_the_sampler(
    spelling: Spelling, before: list[int], forced: str, tokens: list[int], certain: int
) -> None:
    assert spelling.run(before, forced) == (tuple(tokens), certain)


def test_a_tokenizer_that_changes_the_text_forces_nothing(spelling: Spelling) -> None:
    tokens = (*(bytes([byte]) for byte in range(256)), b"")
    changing = Spelling(Vocabulary(tokens, frozenset({256})), lambda text: list(b"other"))
    assert changing.run([], "text") == ((), 0)


def test_a_special_token_spelled_out_in_a_forced_text_is_not_taken_for_one() -> None:
    tokens = (*(bytes([byte]) for byte in range(256)), b"")
    spelling = Spelling(Vocabulary(tokens, frozenset({256})), lambda text: [*b"a", 256])
    assert spelling.run([], "a<|end|>") == ((), 0)
