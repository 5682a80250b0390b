from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radixlm.runtime.desk.detokenize import Detokenizer
from radixlm.runtime.tokenizer import Tokenizer


def feed(tokenizer: Tokenizer, ids: list[int], *, skip: bool = True) -> Detokenizer:
    detokenizer = Detokenizer(tokenizer, skip_special_tokens=skip)
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
