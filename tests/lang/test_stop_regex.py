"""`stop_regex` from a script: over an engine, streamed, and over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

import radixlm as rl


@rl.function
def asks(s: rl.ProgramState, **sampling: Any) -> None:
    s += "Q: What is the capital of France?\nA:"
    s += rl.gen("a", max_tokens=24, **sampling)
    s += "|"


def test_the_text_ends_before_the_match(engine: rl.Engine) -> None:
    whole = asks.run(backend=engine, temperature=0)["a"]
    assert "Paris" in whole
    state = asks.run(stop_regex="P[a-z]r", backend=engine, temperature=0)
    assert state["a"] == whole[: whole.index("Par")]
    assert state.text().endswith(state["a"] + "|")
    assert state.get_meta_info("a")["finish_reason"] == {"type": "stop", "matched": "P[a-z]r"}


def test_a_run_can_say_it_for_all_its_gens(engine: rl.Engine) -> None:
    def body(s: rl.ProgramState) -> None:
        s += "Q: What is the capital of France?\nA:" + rl.gen("a") + rl.gen("b", stop_regex="zzz")

    state = rl.function(body).run(backend=engine, temperature=0, stop_regex="Pa", max_new_tokens=8)
    assert "Pa" not in state["a"]
    assert state["b"].startswith("Paris")  # the gen's own pattern takes the place of the run's


def test_a_run_refuses_one_that_cannot_end_a_text() -> None:
    with pytest.raises(ValueError, match="asks for the end"):
        asks.run(stop_regex="a$", backend=rl.ScriptedBackend())


def test_a_stream_never_shows_what_is_cut_off(engine: rl.Engine) -> None:
    state = asks.run(stop_regex=r"\s*P[a-z]+s", backend=engine, temperature=0, stream=True)
    assert "".join(state.text_iter("a")) == state["a"]
    assert "P" not in state["a"]


def test_the_native_api_takes_it(engine: rl.Engine) -> None:
    prompt = "Q: What is the capital of France?\nA:"
    sampling = {"temperature": 0, "max_new_tokens": 24, "stop_regex": "Par|Lon"}
    found: Any = engine.generate(prompt, sampling)
    assert "Par" not in found["text"]
    assert found["meta_info"]["finish_reason"] == {"type": "stop", "matched": "Par|Lon"}


def test_a_service_without_it_refuses_it_before_anything_is_sent() -> None:
    from radixlm.ir.nodes import Gen, Sampling
    from radixlm.lang.backends.service import take, wanted

    asked = wanted(Gen(sampling=Sampling(stop_regex=("a",))))
    with pytest.raises(rl.UnsupportedError, match="has nothing for stop_regex") as caught:
        take(asked, {}, service="the service")
    assert "Use stop" in str(caught.value.hint)
    assert wanted(Gen(sampling=Sampling(stop_regex=()))) == {}
