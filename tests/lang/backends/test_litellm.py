"""Programs on a service through LiteLLM, over real connections."""

from __future__ import annotations

from typing import Any

import pytest

import radixlm as rl

from .conftest import QUICK, Service, failing

pytest.importorskip("litellm", reason="the package litellm is not installed")
# The package warns about its own use of pydantic and of event loops.
pytestmark = pytest.mark.filterwarnings("ignore")


@rl.function
def talk(s: rl.ProgramState, prefix: str = "", **options: Any) -> None:
    s += rl.system("Be brief.")
    s += rl.user("Hello?")
    s += rl.assistant(prefix + rl.gen("a", **options))


@pytest.fixture
def lite(service: Service) -> rl.LiteLLM:
    return rl.LiteLLM("openai/fake", base_url=service.url + "/v1", api_key="key", retry=QUICK)


@pytest.mark.parametrize("stream", [False, True])
def test_turns_become_messages(stream: bool, service: Service, lite: rl.LiteLLM) -> None:
    service.replies = ["Hi there you"]
    state = talk.run(backend=lite, stream=stream, stop=["x"], max_tokens=5)
    assert "".join(state.text_iter()).endswith("Hi there you\n")
    assert state["a"] == "Hi there you"
    body = service.bodies[0]
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello?"},
    ]
    assert (body["model"], body["stop"], body["max_tokens"]) == ("fake", ["x"], 5)
    assert state.get_meta_info("a")["finish_reason"] == {"type": "stop", "matched": None}


def test_samples_are_a_call_each(service: Service, lite: rl.LiteLLM) -> None:
    service.replies = ["one", "one"]
    assert talk.run(backend=lite, n=2)["a"] == ["one", "one"]


def test_what_may_pass_is_tried_again(service: Service, lite: rl.LiteLLM) -> None:
    service.replies = [failing(429), failing(500), "fine"]
    assert talk.run(backend=lite)["a"] == "fine"
    assert len(service.bodies) == 3


def test_what_cannot_pass_is_not_tried_again(service: Service, lite: rl.LiteLLM) -> None:
    service.replies = [failing(400, "never")]
    with pytest.raises(rl.BackendError, match="never") as caught:
        talk.run(backend=lite)["a"]
    assert not caught.value.retryable


def test_what_cannot_be_said_is_refused(service: Service, lite: rl.LiteLLM) -> None:
    with pytest.raises(rl.UnsupportedError, match="nothing for regex"):
        talk.run(backend=lite, regex="a")["a"]
    with pytest.raises(rl.UnsupportedError, match="begins a new message"):
        talk.run("Well,", backend=lite)["a"]
    with pytest.raises(rl.UnsupportedError, match="nothing for top_k"):
        talk.run(backend=lite, top_k=3)["a"]
    assert service.bodies == []


def test_what_litellm_refuses_is_unsupported(service: Service) -> None:
    backend = rl.LiteLLM("anthropic/claude-3-haiku-20240307", base_url=service.url, api_key="k")
    with pytest.raises(rl.UnsupportedError, match="presence_penalty"):
        talk.run(backend=backend, presence_penalty=0.5)["a"]
    assert service.bodies == []


def test_call_options_are_passed_on(service: Service) -> None:
    service.replies = ["x"]
    url = service.url + "/v1"
    backend = rl.LiteLLM("openai/fake", base_url=url, api_key="k", retry=QUICK, top_k=3)
    assert talk.run(backend=backend)["a"] == "x"
    assert service.bodies[0]["top_k"] == 3
