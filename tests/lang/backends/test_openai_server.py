"""The same programs through OpenAI's protocol and natively, on our own server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import radixlm as rl
from radixlm.lang.choices import ChoicesMethod

pytest.importorskip("openai", reason="the package openai is not installed")
pytestmark = pytest.mark.slow


@pytest.fixture
def chat(server: rl.Runtime) -> Iterator[rl.OpenAI]:
    made = rl.OpenAI("radixlm", base_url=server.url + "/v1", api_key="none", extensions=True)
    yield made
    made.close()


@pytest.fixture
def plain(server: rl.Runtime) -> Iterator[rl.OpenAI]:
    url = server.url + "/v1"
    made = rl.OpenAI("radixlm", is_chat_model=False, base_url=url, api_key="none", extensions=True)
    yield made
    made.close()


@rl.function
def talk(s: rl.ProgramState, **options: object) -> None:
    s += rl.user("What is the capital of France?")
    s += rl.assistant(rl.gen("a", max_tokens=12, temperature=0, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("stream", [False, True])
def test_a_chat_is_the_native_one(stream: bool, chat: rl.OpenAI, server: rl.Runtime) -> None:
    state = talk.run(backend=chat, stream=stream)
    pieces = "".join(state.text_iter("a"))
    native = talk.run(backend=server)
    assert native["a"] == state["a"] == pieces
    assert state["a"].strip()
    meta = state.get_meta_info("a")
    assert meta["completion_tokens"] == native.get_meta_info("a")["completion_tokens"]


def test_constraints_and_samples_reach_the_server(chat: rl.OpenAI) -> None:
    assert talk.run(backend=chat, regex="[0-9]{3}")["a"].isdigit()
    found = talk.run(backend=chat, n=3, regex="[ab]{2}", ignore_eos=False)["a"]
    assert [len(text) for text in found] == [2, 2, 2]
    schema = {"enum": ["red", "green"]}
    assert talk.run(backend=chat, json_schema=schema)["a"] in ('"red"', '"green"')


def test_a_turn_goes_on_from_its_beginning(chat: rl.OpenAI, server: rl.Runtime) -> None:
    @rl.function
    def program(s: rl.ProgramState) -> None:
        s += rl.user("What is the capital of France?")
        s += rl.assistant("The capital of" + rl.gen("a", max_tokens=6, temperature=0))

    assert program.run(backend=chat)["a"] == program.run(backend=server)["a"]


@pytest.mark.parametrize(
    "method",
    [
        rl.token_length_normalized,
        rl.greedy_token_selection,
        rl.distribution,
    ],
)
def test_select_through_echo_gives_the_native_scores(
    method: ChoicesMethod,
    plain: rl.OpenAI,
    server: rl.Runtime,
) -> None:
    @rl.function
    def program(s: rl.ProgramState) -> None:
        s += "The capital of France is"
        s += rl.select("a", [" Paris", " London", " Parisian"], choices_method=method)

    through, native = program.run(backend=plain), program.run(backend=server)
    assert through["a"] == native["a"]
    key = "normalized_prompt_logprobs"
    assert through.get_meta_info("a")[key] == pytest.approx(
        native.get_meta_info("a")[key], abs=1e-3
    )


@pytest.mark.parametrize("stream", [False, True])
def test_a_completion_is_the_native_one(stream: bool, plain: rl.OpenAI, server: rl.Runtime) -> None:
    @rl.function
    def program(s: rl.ProgramState) -> None:
        s += "The capital of France is" + rl.gen("a", max_tokens=8, temperature=0, stop=".")

    state = program.run(backend=plain, stream=stream)
    assert "".join(state.text_iter("a")) == state["a"] == program.run(backend=server)["a"]


def test_a_bad_value_is_the_servers_error_and_not_retried(plain: rl.OpenAI) -> None:
    @rl.function
    def program(s: rl.ProgramState) -> None:
        s += "a" + rl.gen("a", temperature=-1)

    with pytest.raises(rl.BackendError, match="temperature") as caught:
        program.run(backend=plain)["a"]
    assert not caught.value.retryable
