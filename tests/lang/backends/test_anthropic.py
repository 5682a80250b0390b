"""Programs on a service that speaks Anthropic's protocol, over real connections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import radixlm as rl

from .conftest import QUICK, Service, failing

pytest.importorskip("anthropic", reason="the package anthropic is not installed")


@pytest.fixture
def claude(service: Service) -> Iterator[rl.Anthropic]:
    made = rl.Anthropic("fake", base_url=service.url, api_key="key", retry=QUICK)
    yield made
    made.close()


@rl.function
def talk(s: rl.ProgramState, prefix: str = "", **options: Any) -> None:
    s += rl.system("Be brief.")
    s += rl.user("Hello?")
    s += rl.assistant(prefix + rl.gen("a", **options))


@pytest.mark.parametrize("stream", [False, True])
def test_the_systems_turn_goes_apart(stream: bool, service: Service, claude: rl.Anthropic) -> None:
    service.replies = ["Hi there you"]
    state = talk.run(backend=claude, stream=stream, stop=["x"], top_k=3, temperature=0.5)
    assert "".join(state.text_iter()).endswith("Hi there you\n")
    assert state["a"] == "Hi there you"
    body = service.bodies[0]
    assert body.pop("stream", False) is stream
    assert body == {
        "model": "fake",
        "max_tokens": 128,
        "system": [{"type": "text", "text": "Be brief."}],
        "messages": [{"role": "user", "content": "Hello?"}],
        "stop_sequences": ["x"],
        "top_k": 3,
        "temperature": 0.5,
    }
    assert state.get_meta_info("a") == {
        "id": "m1",
        "finish_reason": {"type": "stop", "matched": None},
        "prompt_tokens": 7,
        "completion_tokens": 3,
    }
    assert claude.token_usage.completion_tokens == 3


def test_pieces_stream_as_they_come(service: Service, claude: rl.Anthropic) -> None:
    service.replies = ["a bc d"]
    assert list(talk.run(backend=claude, stream=True).text_iter("a")) == ["a", " bc", " d"]


def test_samples_are_a_call_each(service: Service, claude: rl.Anthropic) -> None:
    service.replies = ["one", "one", "one"]
    assert talk.run(backend=claude, n=3)["a"] == ["one"] * 3
    assert len(service.bodies) == 3
    assert all("n" not in body for body in service.bodies)


def test_one_sample_that_fails_fails_the_gen(service: Service, claude: rl.Anthropic) -> None:
    service.replies = ["one", failing(400, "never"), "one"]
    with pytest.raises(rl.BackendError, match="never"):
        talk.run(backend=claude, n=3)["a"]


def test_a_schema_is_the_outputs_format(service: Service, claude: rl.Anthropic) -> None:
    service.replies = ["{}"]
    talk.run(backend=claude, json_schema={"type": "object"})["a"]
    form = {"type": "json_schema", "schema": {"type": "object"}}
    assert service.bodies[0]["output_config"] == {"format": form}


def test_a_turn_may_begin_with_text(service: Service, claude: rl.Anthropic) -> None:
    service.replies = [" indeed"]
    assert talk.run("Yes,", backend=claude)["a"] == " indeed"
    assert service.bodies[0]["messages"][-1] == {"role": "assistant", "content": "Yes,"}
    with pytest.raises(rl.UnsupportedError, match="cannot go on from text that ends in a space"):
        talk.run("Yes, ", backend=claude)["a"]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"regex": "a"}, "nothing for regex"),
        ({"sampling_seed": 1}, "nothing for sampling_seed"),
        ({"presence_penalty": 0.5}, "nothing for presence_penalty"),
        ({"return_logprob": True}, "nothing for return_logprob"),
        ({"stop": "\n"}, "stop sequences cannot be blank"),
    ],
)
def test_what_the_protocol_cannot_say_is_refused_by_name(
    options: dict[str, Any], named: str, service: Service, claude: rl.Anthropic
) -> None:
    with pytest.raises(rl.UnsupportedError, match=named):
        talk.run(backend=claude, **options)["a"]
    assert service.bodies == []


def test_a_later_turn_of_the_system_has_no_place(claude: rl.Anthropic) -> None:
    @rl.function
    def program(s: rl.ProgramState) -> None:
        s += rl.user("Q") + rl.system("S") + rl.assistant(rl.gen("a"))

    with pytest.raises(rl.UnsupportedError, match="no place for a turn of 'system'"):
        program.run(backend=claude)["a"]


def test_an_overloaded_service_is_tried_again(service: Service, claude: rl.Anthropic) -> None:
    service.replies = [failing(529), failing(429, after="0.01"), "fine"]
    assert talk.run(backend=claude)["a"] == "fine"


def test_a_stream_that_breaks_off_is_an_error(service: Service, claude: rl.Anthropic) -> None:
    service.replies = ["a b c"]
    service.cut = 3
    state = talk.run(backend=claude, stream=True)
    with pytest.raises(rl.BackendError, match="closed the stream before its end"):
        list(state.text_iter())


def test_a_program_without_roles_is_a_message_of_the_user(
    service: Service, claude: rl.Anthropic
) -> None:
    service.replies = ["one", "two"]

    @rl.function
    def program(s: rl.ProgramState) -> None:
        s += "Q: " + rl.gen("a") + "\nR: " + rl.gen("b")

    assert program.run(backend=claude)["b"] == "two"
    assert [body["messages"] for body in service.bodies] == [
        [{"role": "user", "content": "Q: "}],
        [{"role": "user", "content": "Q: one\nR: "}],
    ]
