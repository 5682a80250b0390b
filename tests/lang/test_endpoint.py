"""What `RuntimeEndpoint` makes of a server's words."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radixlm.ir.nodes import Gen, Logprobs, Sampling
from radixlm.lang.backends.endpoint import (
    _fields,
    _merge,
    _message,
)

TOKENS = ["one", " two", "", " three"]


def event(begin: int, end: int, **meta: Any) -> dict[str, Any]:
    """What a server sends about tokens `begin` to `end`, the whole having `end` so far."""
    return {
        "text": "".join(TOKENS[begin:end]),
        "output_ids": list(range(begin, end)),
        "meta_info": {
            "completion_tokens": end,
            "finish_reason": {"type": "stop"} if end == len(TOKENS) else None,
            "output_token_logprobs": [[-float(i), i, None] for i in range(begin, end)],
            **meta,
        },
    }


def ends(cuts: set[int]) -> list[int]:
    return [*sorted(cuts), len(TOKENS)]


@pytest.mark.parametrize("cumulative", [True, False])
@given(cuts=st.sets(st.integers(1, len(TOKENS) - 1)))
def test_both_kinds_of_streams_give_the_same_pieces_and_the_same_whole(
    cumulative: bool, cuts: set[int]
) -> None:
    whole: dict[str, Any] = {"text": "", "output_ids": []}
    for begin, end in itertools.pairwise([0, *ends(cuts)]):
        new = _merge(whole, event(0 if cumulative else begin, end))
        assert new == event(begin, end)
    assert whole == event(0, len(TOKENS))


def test_a_last_event_without_new_tokens_adds_nothing_but_its_meta_information() -> None:
    for begin in (0, 2):
        whole: dict[str, Any] = {"text": "", "output_ids": []}
        _merge(whole, event(0, 2))
        new = _merge(whole, event(begin, 2, finish_reason={"type": "abort"}))
        assert (new["text"], new["output_ids"]) == ("", [])
        assert whole == event(0, 2, finish_reason={"type": "abort"})


def test_logprob_lists_are_merged_only_where_they_are_sent() -> None:
    whole: dict[str, Any] = {"text": "", "output_ids": []}
    sent = event(0, 1)
    del sent["meta_info"]["output_token_logprobs"]
    _merge(whole, sent)
    assert "output_token_logprobs" not in whole["meta_info"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"error": {"message": "too long", "type": "x"}}', "too long"),
        ('{"error": "too long"}', "too long"),
        ('{"message": "too long", "code": 400}', "too long"),
        ('{"detail": "too long"}', "{'detail': 'too long'}"),
        ("<h1>Bad gateway</h1>\n", "<h1>Bad gateway</h1>"),
        ('["a"]', "['a']"),
        ("", ""),
    ],
)
def test_the_message_of_an_error_is_found_in_any_form(body: str, message: str) -> None:
    assert _message(body) == message


@pytest.mark.parametrize(
    ("gen", "fields"),
    [
        (Gen(), {"sampling_params": {}}),
        (
            Gen(sampling=Sampling(temperature=0.0, stop=("x",)), regex="a"),
            {"sampling_params": {"temperature": 0.0, "stop": ("x",), "regex": "a"}},
        ),
        (
            Gen(logprobs=Logprobs(start=0, top=2, with_text=True)),
            {
                "sampling_params": {},
                "return_logprob": True,
                "return_text_in_logprobs": True,
                "logprob_start_len": 0,
                "top_logprobs_num": 2,
            },
        ),
    ],
)
def test_a_gen_is_sent_with_what_it_says_only(gen: Gen, fields: dict[str, Any]) -> None:
    assert _fields(gen) == fields
