from __future__ import annotations

import pytest
from transformers import PreTrainedTokenizerFast

from radixlm.constrained.special import encoded
from radixlm.constrained.vocab import Vocabulary

TEXTS = [
    "Hello, world!\n",
    'd\u00e9j\u00e0 \u6771\u4eac \U0001f600 {"a": [1, 2]}',
    "  two  spaces\t",
]


def test_a_byte_level_vocabulary_spells_what_it_encodes(
    tokenizer: PreTrainedTokenizerFast, vocabulary: Vocabulary
) -> None:
    for text in TEXTS:
        ids = tokenizer.encode(text, add_special_tokens=False)
        assert b"".join(vocabulary.tokens[token] for token in ids) == text.encode()


def test_special_tokens_are_no_text_and_padding_is_nothing(
    tokenizer: PreTrainedTokenizerFast, vocabulary: Vocabulary
) -> None:
    start = tokenizer.convert_tokens_to_ids("<|im_start|>")
    stop = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert isinstance(start, int)
    assert isinstance(stop, int)
    assert vocabulary.stop_ids == {stop}
    assert vocabulary.size == len(tokenizer) + 10
    assert vocabulary.written("a<|im_start|>b<|im_end|>") == "a\ud801b<|im_end|>"
    assert vocabulary.tokens[start] == encoded("\ud801")
    assert vocabulary.tokens[stop] == b""
    assert [t for t, text in enumerate(vocabulary.tokens) if b"\xff" in text] == [0, start]
    assert vocabulary.is_spelled(start)
    assert vocabulary.is_spelled(stop)
    assert not any(map(vocabulary.is_spelled, [-1, len(tokenizer), vocabulary.size]))


def test_logits_may_be_narrower_than_the_tokenizer(tokenizer: PreTrainedTokenizerFast) -> None:
    assert Vocabulary.from_tokenizer(tokenizer, vocab_size=100, stop_ids=[2]).size == 100


@pytest.mark.parametrize("stop_ids", [[], [-1], [400, 10_000]])
def test_stop_ids_must_be_there(tokenizer: PreTrainedTokenizerFast, stop_ids: list[int]) -> None:
    with pytest.raises(ValueError, match="stop_ids"):
        Vocabulary.from_tokenizer(tokenizer, vocab_size=400, stop_ids=stop_ids)


@pytest.mark.slow
def test_real_vocabularies_spell_what_they_encode(real_tokenizer: PreTrainedTokenizerFast) -> None:
    stop = real_tokenizer.eos_token_id
    assert isinstance(stop, int)
    vocabulary = Vocabulary.from_tokenizer(
        real_tokenizer, vocab_size=len(real_tokenizer) + 64, stop_ids=[stop]
    )
    for text in TEXTS:
        ids = real_tokenizer.encode(text, add_special_tokens=False)
        spelled = b"".join(vocabulary.tokens[token] for token in ids)
        assert spelled in (text.encode(), b" " + text.encode())  # SentencePiece adds a space
    assert {len(bytes_) for bytes_ in vocabulary.tokens[len(real_tokenizer) :]} == {0}
