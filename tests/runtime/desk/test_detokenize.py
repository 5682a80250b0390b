from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radixlm.runtime.desk.detokenize import Detokenizer
from radixlm.runtime.tokenizer import Tokenizer

from ..vocabularies import REAL, real, sentence_piece


def feed(
    tokenizer: Tokenizer, ids: list[int], *, skip: bool = True, follows: bool = False
) -> Detokenizer:
    detokenizer = Detokenizer(tokenizer, skip_special_tokens=skip, follows=follows)
    for token in ids:
        before = detokenizer.text
        detokenizer.feed(token)
        assert detokenizer.text.startswith(before), "shown text never changes"
    detokenizer.finish()
    assert len(detokenizer.ends) == len(ids)
    return detokenizer


@given(text=st.text(max_size=40))
@settings(deadline=None, max_examples=80)
def test_pieces_of_any_text_join_to_the_text(text: str, tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(text)
    found = feed(tokenizer, ids, skip=False)
    assert found.text == tokenizer.decode(ids, skip_special_tokens=False) == text


@given(ids=st.lists(st.integers(0, 599), max_size=30), skip=st.booleans())
@settings(deadline=None, max_examples=80)
def test_pieces_of_any_tokens_join_to_the_whole_decoded_at_once(
    ids: list[int], skip: bool, tokenizer: Tokenizer
) -> None:
    found = feed(tokenizer, ids, skip=skip)
    assert found.text == tokenizer.decode(ids, skip_special_tokens=skip)


@pytest.mark.parametrize("text", ["😀", "東京", "é", "a😀b", "\ufffd", "x\ufffdy"])
def test_no_half_character_is_let_out_before_its_end(text: str, tokenizer: Tokenizer) -> None:
    detokenizer = Detokenizer(tokenizer)
    for token in tokenizer.encode(text):
        detokenizer.feed(token)
        assert text.startswith(detokenizer.text)


@given(text=st.text("aé😀東 b", max_size=20))
@settings(deadline=None, max_examples=60)
def test_tokens_that_end_within_a_prefix_decode_to_its_beginning(
    text: str, tokenizer: Tokenizer
) -> None:
    """What `Snapshot.kept` relies on, for every place where a stop string may cut."""
    ids = tokenizer.encode(text)
    ends = feed(tokenizer, ids).ends
    for cut in range(len(text) + 1):
        kept = len(ids)
        while kept and ends[kept - 1] > cut:
            kept -= 1
        covered = ends[kept - 1] if kept else 0
        assert tokenizer.decode(ids[:kept]) == text[:covered]


# Characters of one to four bytes, of which some are in no vocabulary, spaces, and special tokens.
TEXTS = st.lists(
    st.sampled_from(["a", " hello", "  ", "\n", "é", "東", "\u0e01", "😀", "👩‍👧", "\x00"])
    | st.sampled_from(["</s>", "[user]", "<|im_end|>", "<|eot_id|>", "<|end|>", "<|endoftext|>"])
    | st.text(max_size=3),
    max_size=12,
).map("".join)


def assert_split_anywhere(tokenizer: Tokenizer, text: str, cut: float, *, skip: bool) -> None:
    """Feed the end of a text's ids behind its beginning, for the text that they add."""
    ids = tokenizer.encode(text, add_special_tokens=False)
    whole = tokenizer.decode(ids, skip_special_tokens=skip)
    assert feed(tokenizer, ids, skip=skip).text == whole
    at = int(cut * len(ids))
    before = tokenizer.decode(ids[:at], skip_special_tokens=skip)
    if tokenizer.decode(ids[:at], skip_special_tokens=False) and whole.startswith(before):
        after = feed(tokenizer, ids[at:], skip=skip, follows=True).text
        # Where nothing but special tokens is before it, the first space is the decoder's to drop.
        assert whole[len(before) :] in ((after,) if before else (after, after[1:]))


@given(text=TEXTS, cut=st.floats(0, 1), skip=st.booleans())
@settings(deadline=None, max_examples=100)
def test_pieces_of_sentence_piece_texts_join_to_the_whole(
    text: str, cut: float, skip: bool
) -> None:
    assert_split_anywhere(sentence_piece(), text, cut, skip=skip)


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_pieces_of_texts_in_real_vocabularies_join_to_the_whole(name: str) -> None:
    tokenizer = real(name)

    @given(text=TEXTS, cut=st.floats(0, 1), skip=st.booleans())
    @settings(deadline=None, max_examples=150)
    def check(text: str, cut: float, skip: bool) -> None:
        assert_split_anywhere(tokenizer, text, cut, skip=skip)

    check()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gpt-2", "qwen2.5", "llama-3.1"])
def test_pieces_of_any_ids_of_byte_level_vocabularies_join_to_the_whole(name: str) -> None:
    tokenizer = real(name)
    size = len(tokenizer._tokenizer)

    @given(ids=st.lists(st.integers(0, 500) | st.integers(0, size - 1), max_size=20))
    @settings(deadline=None, max_examples=150)
    def check(ids: list[int]) -> None:
        assert feed(tokenizer, ids).text == tokenizer.decode(ids)

    check()


def test_bytes_that_are_no_character_spoil_no_neighbour() -> None:
    tokenizer = sentence_piece()
    ids = [*tokenizer.encode("東", add_special_tokens=False), 3 + 0xC3]
    h = tokenizer.encode_literal("h", opens=False)
    assert feed(tokenizer, ids + h).text == "東\ufffdh"
