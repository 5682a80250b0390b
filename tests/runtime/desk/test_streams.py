from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radixlm.constrained.errors import GrammarError
from radixlm.runtime.desk.check import Checker
from radixlm.runtime.desk.streams import Stream, meta_info
from radixlm.runtime.errors import EngineError, InvalidRequestError, QueueFullError
from radixlm.runtime.messages import Delta, Fault, Finish, LogprobRequest, Submit, Usage
from radixlm.runtime.request import RequestId, sampling_params
from radixlm.runtime.tokenizer import Tokenizer

EOS = 2


def stream_of(
    tokenizer: Tokenizer,
    *,
    stop_ids: tuple[int, ...] = (EOS,),
    prompt: list[int] | None = None,
    logprobs: LogprobRequest | None = None,
    **sampling: Any,
) -> Stream:
    submit = Submit(
        rid=RequestId("0"),
        tokens=prompt or [5, 6, 7],
        sampling=sampling_params(sampling),
        seed=0,
        stop_ids=stop_ids,
        logprobs=logprobs,
    )
    return Stream(submit, tokenizer, "mine", Checker())


def feed(stream: Stream, *tokens: int, finish: Finish | None = None) -> bool:
    return stream.feed(Delta(rid=RequestId("0"), tokens=list(tokens), finish=finish))


def bytes_of(tokenizer: Tokenizer, text: str) -> list[int]:
    """One token a character of ASCII, one a byte of the rest: as no tokenizer would choose."""
    ids = [token for char in text for token in tokenizer.encode(char)]
    assert tokenizer.decode(ids) == text
    return ids


def play(stream: Stream, ids: list[int]) -> list[str]:
    """Feed ids one by one until the stream ends; return what was shown after each."""
    shown: list[str] = []
    for token in ids:
        ended = feed(stream, token)
        shown.append(stream.snapshot().text)
        if ended:
            break
    return shown


def test_a_stop_string_ends_the_text_before_it(tokenizer: Tokenizer) -> None:
    stream = stream_of(tokenizer, stop="STOP")
    shown = play(stream, bytes_of(tokenizer, "go on STOP now"))
    assert shown[-1] == "go on "
    assert stream.finish == Finish(type="stop", matched="STOP")
    assert all("go on ".startswith(text) for text in shown)


def test_no_stop_trim_leaves_the_stop_string_and_nothing_after_it(tokenizer: Tokenizer) -> None:
    stream = stream_of(tokenizer, stop="STOP", no_stop_trim=True)
    ids = bytes_of(tokenizer, "go STO") + tokenizer.encode("Poney")
    play(stream, ids)
    assert stream.snapshot().text == "go STOP"


def test_a_stop_string_that_cuts_a_token_leaves_its_beginning_as_the_tail(
    tokenizer: Tokenizer,
) -> None:
    [token] = tokenizer.encode(" nobody")  # in the training text: one token
    ids = [*bytes_of(tokenizer, "and"), token]
    stream = stream_of(tokenizer, stop="body")
    play(stream, ids)
    snapshot = stream.snapshot()
    assert (snapshot.text, snapshot.kept, snapshot.tail) == ("and no", 3, " no")
    assert snapshot.tokens == ids


def test_a_stop_string_may_end_in_a_character_of_several_tokens(tokenizer: Tokenizer) -> None:
    stream = stream_of(tokenizer, stop="a→")
    shown = play(stream, bytes_of(tokenizer, "xa→y"))
    assert shown[-1] == "x"
    assert stream.finish == Finish(type="stop", matched="a→")


def test_a_character_cut_off_from_its_token_takes_all_its_tokens_along(
    tokenizer: Tokenizer,
) -> None:
    """The last byte of 日 and a full stop in one piece would leave half a character behind."""
    stream = stream_of(tokenizer, stop="c")
    play(stream, bytes_of(tokenizer, "日abc"))
    snapshot = stream.snapshot()
    assert tokenizer.decode(snapshot.tokens[: snapshot.kept]) + snapshot.tail == snapshot.text


def test_a_stop_pattern_cuts_the_text_and_is_never_shown(tokenizer: Tokenizer) -> None:
    stream = stream_of(tokenizer, stop_regex=r"\n+Q\d")
    shown = play(stream, bytes_of(tokenizer, "one\n\nq\n\nQ7 no"))
    assert shown[-1] == "one\n\nq"
    assert stream.finish == Finish(type="stop", matched=r"\n+Q\d")
    assert all(shown[-1].startswith(text) for text in shown)
    assert "one\n\nq" in shown[:-1]  # let out once it could no longer become a match
    kept = stream_of(tokenizer, stop_regex=r"\n+Q\d", no_stop_trim=True)
    assert play(kept, bytes_of(tokenizer, "one\nQ7 no"))[-1] == "one\nQ7"


@given(
    text=st.text("abSé😀→ ", max_size=25),
    stops=st.lists(st.text("abSé→", min_size=1, max_size=3), min_size=1, max_size=3),
    joined=st.booleans(),
)
@settings(deadline=None, max_examples=150)
def test_stop_strings_cut_at_the_first_and_nothing_of_it_was_ever_shown(
    text: str, stops: list[str], joined: bool, tokenizer: Tokenizer
) -> None:
    ids = tokenizer.encode(text) if joined else bytes_of(tokenizer, text)
    stream = stream_of(tokenizer, stop=stops)
    shown = play(stream, ids)
    if stream.finish is None:
        feed(stream, finish=Finish(type="length", length=len(ids)))
    final = stream.snapshot()
    places = [at for stop in stops if (at := text.find(stop)) >= 0]
    if joined and places:  # a token may bring two stops at once; the earlier one cuts
        assert len(final.text) <= len(text)
        assert not any(stop in final.text for stop in stops)
    elif places:
        # The stop that is complete first decides; among those the earliest beginning.
        ends = min(text.find(stop) + len(stop) for stop in stops if stop in text)
        starts = [text[:ends].rfind(stop) for stop in stops if text[:ends].endswith(stop)]
        assert final.text == text[: min(starts)]
    else:
        assert final.text == text
    assert all(final.text.startswith(piece) for piece in shown)
    assert tokenizer.decode(final.tokens[: final.kept]) + final.tail == final.text


def test_reaching_the_length_in_the_same_step_wins_and_the_stop_string_stays(
    tokenizer: Tokenizer,
) -> None:
    stream = stream_of(tokenizer, stop="b")
    a, b = bytes_of(tokenizer, "ab")
    feed(stream, a)
    assert not feed(stream, b, finish=Finish(type="length", length=2))
    assert stream.snapshot().text == "ab"
    assert stream.finish == Finish(type="length", length=2)


def test_a_stop_token_is_in_the_ids_but_not_in_the_text(tokenizer: Tokenizer) -> None:
    stream = stream_of(tokenizer, skip_special_tokens=False)
    [a] = tokenizer.encode("a")
    feed(stream, a, EOS, finish=Finish(type="stop", matched=EOS))
    snapshot = stream.snapshot()
    assert (snapshot.text, snapshot.tokens, snapshot.kept) == ("a", [a, EOS], 1)


def test_unfinished_bytes_are_let_out_at_the_end(tokenizer: Tokenizer) -> None:
    stream = stream_of(tokenizer)
    first = tokenizer.encode("👽")[0]
    feed(stream, first)
    assert stream.snapshot().text == ""
    feed(stream, finish=Finish(type="length", length=1))
    assert stream.snapshot().text == "\ufffd"


def test_tokens_and_logprobs_after_a_stop_string_are_forgotten(tokenizer: Tokenizer) -> None:
    stream = stream_of(tokenizer, stop="b", logprobs=LogprobRequest(top=1))
    a, b, c = bytes_of(tokenizer, "abc")
    delta = Delta(
        rid=RequestId("0"),
        tokens=[a, b, c],
        logprobs=[-1.0, -2.0, -3.0],
        top_logprobs=[[(-0.5, 9)]] * 3,
    )
    assert stream.feed(delta)
    meta = meta_info(stream)
    assert stream.tokens == [a, b]
    assert meta["output_token_logprobs"] == [(-1.0, a, None), (-2.0, b, None)]
    assert len(meta["output_top_logprobs"]) == meta["output_token_logprobs_length"] == 2


def test_news_after_the_end_change_nothing(tokenizer: Tokenizer) -> None:
    stream = stream_of(tokenizer)
    feed(stream, finish=Finish(type="abort", status=499))
    assert not feed(stream, 9)
    assert stream.tokens == []


def test_input_logprobs_begin_at_the_start_with_none(tokenizer: Tokenizer) -> None:
    stream = stream_of(tokenizer, prompt=[5, 6, 7, 8], logprobs=LogprobRequest(start=1))
    stream.feed(Delta(rid=RequestId("0"), tokens=[9], input_logprobs=[None, -1.0, -2.0]))
    meta = meta_info(stream, with_text=True)
    rows = meta["input_token_logprobs"]
    assert [(p, t) for p, t, _ in rows] == [(None, 6), (-1.0, 7), (-2.0, 8)]
    assert [text for _, _, text in rows] == tokenizer.token_texts([6, 7, 8])


def test_meta_information_has_the_known_keys(tokenizer: Tokenizer) -> None:
    stream = stream_of(tokenizer)
    assert meta_info(stream)["finish_reason"] is None
    usage = Usage(prompt=3, cached=2, computed=1, retractions=4)
    finish = Finish(type="length", length=1)
    stream.feed(Delta(rid=RequestId("0"), tokens=[9], usage=usage, finish=finish))
    meta = meta_info(stream)
    assert meta.pop("e2e_latency") >= 0
    assert meta == {
        "id": "mine",
        "finish_reason": {"type": "length", "length": 1},
        "prompt_tokens": 3,
        "completion_tokens": 1,
        "forced_tokens": 0,
        "cached_tokens": 2,
        "computed_tokens": 1,
        "num_retractions": 4,
        "weight_version": "default",
    }


@pytest.mark.parametrize(
    ("finish", "kind"),
    [
        (Finish(type="abort", message="full", status=503), QueueFullError),
        (Finish(type="abort", message="bad", status=400), InvalidRequestError),
        (Finish(type="abort", message="broken", status=500), EngineError),
        (
            Finish(type="abort", status=400, fault=Fault(reason="no", kind="regex")),
            GrammarError,
        ),
    ],
)
def test_a_failure_is_an_error_of_its_kind(
    finish: Finish, kind: type[Exception], tokenizer: Tokenizer
) -> None:
    stream = stream_of(tokenizer)
    feed(stream, finish=finish)
    assert isinstance(stream.error, kind)


def test_an_abort_from_outside_is_no_error(tokenizer: Tokenizer) -> None:
    stream = stream_of(tokenizer)
    feed(stream, *tokenizer.encode("so far"))
    feed(stream, finish=Finish(type="abort", message="the request was aborted", status=499))
    assert stream.error is None
    assert stream.snapshot().text == "so far"
    assert meta_info(stream)["finish_reason"]["type"] == "abort"
