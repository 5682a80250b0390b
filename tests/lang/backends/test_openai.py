"""Programs on a service that speaks OpenAI's protocol, over real connections."""

from __future__ import annotations

import asyncio
import math
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import radixlm as rl
from radixlm.ir import loop
from radixlm.lang.backends.service import Usage
from radixlm.lang.chat_template import get_chat_template

from .conftest import QUICK, Body, Reply, Service, failing

pytest.importorskip("openai", reason="the package openai is not installed")


@pytest.fixture
def chat(service: Service) -> Iterator[rl.OpenAI]:
    made = rl.OpenAI("fake", base_url=service.url + "/v1", api_key="key", retry=QUICK)
    yield made
    made.close()


@pytest.fixture
def plain(service: Service) -> Iterator[rl.OpenAI]:
    url = service.url + "/v1"
    made = rl.OpenAI("fake", is_chat_model=False, base_url=url, api_key="key", retry=QUICK)
    yield made
    made.close()


@pytest.fixture
def extended(service: Service) -> Iterator[rl.OpenAI]:
    url = service.url + "/v1"
    made = rl.OpenAI("fake", base_url=url, api_key="key", retry=QUICK, extensions=True)
    yield made
    made.close()


def ended(state: rl.ProgramState) -> rl.ProgramState:
    """The state of a streamed program when its body has ended: until then it may bind nothing."""
    list(state.text_iter())
    return state


@rl.function
def talk(s: rl.ProgramState, **options: Any) -> None:
    s += rl.system("Be brief.")
    s += rl.user("Hello?")
    s += rl.assistant(rl.gen("a", **options))


@rl.function
def ask(s: rl.ProgramState, **options: Any) -> None:
    s += "Q: hello\nA:" + rl.gen("a", **options)


# ---- chat


def test_turns_become_messages(service: Service, chat: rl.OpenAI) -> None:
    service.replies = ["Hi there", "Bye"]

    @rl.function
    def program(s: rl.ProgramState) -> None:
        s += rl.system("Be brief.")
        with s.user():
            s += " Hello?\nUSER: I am text"
            s += "ASSISTANT: so am I\n"
        s += "\n"
        s += rl.assistant(rl.gen("a", max_tokens=5))
        s += rl.user("And now?") + rl.assistant(rl.gen("b"))

    state = program.run(backend=chat)
    assert (state["a"], state["b"]) == ("Hi there", "Bye")
    first, second = service.bodies
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello?\nUSER: I am textASSISTANT: so am I\n"},
    ]
    assert first == {
        "model": "fake",
        "messages": messages,
        "max_tokens": 5,
        "temperature": 1.0,
        "top_p": 1.0,
    }
    assert second["messages"] == [
        *messages,
        {"role": "assistant", "content": "Hi there"},
        {"role": "user", "content": "And now?"},
    ]
    assert state.text().startswith("SYSTEM:Be brief.\nUSER: Hello?")
    assert state.messages()[-1] == {"role": "assistant", "content": "Bye"}
    assert service.headers[0]["Authorization"] == "Bearer key"
    usage = chat.token_usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (14, 3)
    assert chat.get_server_info()["completion_tokens"] == 3
    usage.reset()
    assert chat.token_usage == Usage()


def test_parameters_reach_the_service_by_its_names(service: Service, chat: rl.OpenAI) -> None:
    service.replies = ["x"]
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    talk.run(
        max_tokens=3,
        temperature=0.5,
        top_p=0.9,
        frequency_penalty=0.1,
        presence_penalty=-0.2,
        stop=["a", "b"],
        sampling_seed=7,
        json_schema=schema,
        backend=chat,
    )["a"]
    body = service.bodies[0]
    del body["messages"], body["model"]
    assert body.pop("response_format")["json_schema"] == {
        "name": "answer",
        "schema": schema,
        "strict": True,
    }
    assert body == {
        "max_tokens": 3,
        "temperature": 0.5,
        "top_p": 0.9,
        "frequency_penalty": 0.1,
        "presence_penalty": -0.2,
        "stop": ["a", "b"],
        "seed": 7,
    }


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"top_k": 5}, "top_k"),
    ({"min_p": 0.1}, "min_p"),
    ({"min_tokens": 2}, "min_tokens"),
    ({"repetition_penalty": 1.2}, "repetition_penalty"),
    ({"stop_token_ids": [3]}, "stop_token_ids"),
    ({"ignore_eos": True}, "ignore_eos"),
    ({"regex": "a+"}, "regex"),
    ({"dtype": int}, "regex"),
    ({"ebnf": 'root ::= "a"', "top_k": 2}, "ebnf, top_k"),
]


@pytest.mark.parametrize(("options", "named"), REFUSED)
def test_what_the_protocol_cannot_say_is_refused_by_name(
    options: dict[str, Any], named: str, service: Service, chat: rl.OpenAI
) -> None:
    state = talk.run(**options, backend=chat)
    with pytest.raises(rl.UnsupportedError, match=rf"has nothing for {named}\n") as caught:
        state["a"]
    assert caught.value.hint
    assert "test_openai.py" in str(caught.value.__notes__)
    assert service.bodies == []


def test_values_that_ask_for_nothing_are_not_refused(service: Service, chat: rl.OpenAI) -> None:
    service.replies = ["x"]
    state = talk.run(top_k=-1, min_p=0.0, ignore_eos=False, stop_token_ids=[], backend=chat)
    assert state["a"] == "x"


def test_a_server_with_extensions_gets_them(service: Service, extended: rl.OpenAI) -> None:
    service.replies = ["x"]
    talk.run(top_k=5, min_p=0.1, regex="a+", min_tokens=2, stop_regex="b+", backend=extended)["a"]
    body = service.bodies[0]
    wanted = {"top_k": 5, "min_p": 0.1, "regex": "a+", "min_tokens": 2, "stop_regex": ["b+"]}
    assert {name: body[name] for name in wanted} == wanted


def test_openais_own_service_gets_its_own_names(service: Service) -> None:
    import openai

    backend = rl.OpenAI("gpt", api_key="k", extra_body={"reasoning_effort": "low"})
    talked = talk.run(max_tokens=3, temperature=1.0, backend=rl.ScriptedBackend(["x"]))
    assert talked["a"] == "x"
    from radixlm.ir.nodes import Gen, Sampling
    from radixlm.lang.backends.talk import Talk, Turn

    said = Talk(turns=[Turn("user", "x"), Turn("assistant")], is_open=True)
    gen = Gen(sampling=Sampling(max_new_tokens=3, temperature=1.0, top_p=1.0, n=1))
    assert backend._fields(said, gen) == {
        "model": "gpt",
        "messages": [{"role": "user", "content": "x"}],
        "max_completion_tokens": 3,
        "extra_body": {"reasoning_effort": "low"},
    }
    backend.close()
    ready = openai.AsyncOpenAI(base_url=service.url + "/v1", api_key="k", max_retries=0)
    service.replies = ["y"]
    given = rl.OpenAI("fake", client=ready)
    assert talk.run(backend=given)["a"] == "y"
    given.close()


@pytest.mark.parametrize("stream", [False, True])
def test_several_samples_are_a_list_and_the_first_goes_on(
    stream: bool, service: Service, chat: rl.OpenAI
) -> None:
    service.replies = [["one a", "two b", "three"], "end"]

    @rl.function
    def program(s: rl.ProgramState) -> None:
        s += rl.user("Q") + rl.assistant(rl.gen("a", n=3))
        s += rl.user("R") + rl.assistant(rl.gen("b"))

    state = ended(program.run(backend=chat, stream=stream))
    assert state["a"] == ["one a", "two b", "three"]
    assert state["b"] == "end"
    assert len(state.get_meta_info("a")) == 3
    assert service.bodies[0]["n"] == 3
    assert service.bodies[1]["messages"][1] == {"role": "assistant", "content": "one a"}
    if stream:
        assert "".join(state.text_iter("a")) == "one a"


def test_a_service_that_ignores_n_is_found_out(service: Service, chat: rl.OpenAI) -> None:
    service.replies = [["only"]]
    with pytest.raises(rl.BackendError, match="gave 1 samples where 2 were asked for"):
        talk.run(n=2, backend=chat)["a"]


def test_pieces_stream_as_they_come(service: Service, chat: rl.OpenAI) -> None:
    service.replies = ["a bc d"]
    state = talk.run(stream=True, backend=chat)
    assert list(state.text_iter("a")) == ["a", " bc", " d"]
    assert service.bodies[0]["stream_options"] == {"include_usage": True}
    meta = state.get_meta_info("a")
    assert meta["finish_reason"] == {"type": "stop", "matched": None}
    assert (meta["prompt_tokens"], meta["completion_tokens"]) == (7, 3)


@pytest.mark.parametrize("stream", [False, True])
def test_logprobs_are_triples(stream: bool, service: Service, chat: rl.OpenAI) -> None:
    service.replies = ["a b"]
    state = ended(talk.run(stream=stream, return_logprob=True, top_logprobs_num=1, backend=chat))
    assert state["a"] == "a b"
    meta = state.get_meta_info("a")
    assert meta["output_token_logprobs"] == [(-0.5, None, "a"), (-0.5, None, " b")]
    assert meta["output_top_logprobs"] == [[(-1.5, None, "x")]] * 2
    assert (service.bodies[0]["logprobs"], service.bodies[0]["top_logprobs"]) == (True, 1)


def test_the_logprobs_of_a_piece_are_its_own(service: Service, chat: rl.OpenAI) -> None:
    service.replies = ["a b"]
    state = talk.run(stream=True, return_logprob=True, backend=chat)

    async def pieces() -> list[tuple[str, Any]]:
        return [piece async for piece in state.text_async_iter("a", return_meta_data=True)]

    found = [(text, meta["output_token_logprobs"]) for text, meta in asyncio.run(pieces())]
    assert found == [("a", [(-0.5, None, "a")]), (" b", [(-0.5, None, " b")])]


def test_text_outside_the_turns_is_refused(service: Service, chat: rl.OpenAI) -> None:
    @rl.function
    def program(s: rl.ProgramState) -> None:
        s += "Read this first. " + rl.user("Q") + rl.assistant(rl.gen("a"))

    with pytest.raises(rl.UnsupportedError, match=r"'Read this first\.' stands outside every role"):
        program.run(backend=chat)["a"]


def test_a_gen_outside_a_turn_of_the_assistant_is_refused(chat: rl.OpenAI) -> None:
    @rl.function
    def asks(s: rl.ProgramState) -> None:
        s += rl.user("Q" + rl.gen("a"))

    with pytest.raises(rl.UnsupportedError, match="this gen stands in a turn of 'user'"):
        asks.run(backend=chat)["a"]

    @rl.function
    def bare(s: rl.ProgramState) -> None:
        s += rl.gen("a")

    with pytest.raises(rl.UnsupportedError, match="this gen stands outside every role"):
        bare.run(backend=chat)["a"]


@rl.function
def begun(s: rl.ProgramState) -> None:
    s += rl.user("Q") + rl.assistant("Well, " + rl.gen("a") + ". Also, " + rl.gen("b"))


def test_a_turn_that_has_begun_needs_a_server_that_goes_on(
    service: Service, chat: rl.OpenAI, extended: rl.OpenAI
) -> None:
    with pytest.raises(rl.UnsupportedError, match=r"turn already begins with 'Well, '") as caught:
        begun.run(backend=chat)["a"]
    assert "extensions=True" in str(caught.value.hint)
    service.replies = ["yes", "no"]
    state = begun.run(backend=extended)
    assert (state["a"], state["b"]) == ("yes", "no")
    last = service.bodies[-1]
    assert last["messages"][-1] == {"role": "assistant", "content": "Well, yes. Also, "}
    assert (last["continue_final_message"], last["add_generation_prompt"]) == (True, False)


def test_select_on_a_chat_model_is_refused_with_a_way_out(chat: rl.OpenAI) -> None:
    @rl.function
    def program(s: rl.ProgramState) -> None:
        s += rl.user("Q") + rl.assistant(rl.select("a", ["x", "y"]))

    with pytest.raises(rl.UnsupportedError, match="select needs the log-prob") as caught:
        program.run(backend=chat)["a"]
    assert "enum" in str(caught.value.hint)


def test_branches_go_their_own_ways(service: Service, chat: rl.OpenAI) -> None:
    service.replies = [lambda body: body["messages"][-1]["content"].upper()] * 3

    @rl.function
    def program(s: rl.ProgramState) -> None:
        s += rl.system("S")
        forks = s.fork(3)
        for index, fork in enumerate(forks):
            fork += rl.user(f"q{index}") + rl.assistant(rl.gen("a"))
        forks.join()

    assert program.run(backend=chat)["a"] == ["Q0", "Q1", "Q2"]


# ---- failures


@pytest.mark.parametrize("status", [408, 429, 500, 503])
@pytest.mark.parametrize("stream", [False, True])
def test_what_may_pass_is_tried_again(
    status: int, stream: bool, service: Service, chat: rl.OpenAI
) -> None:
    service.replies = [failing(status), failing(status, after="0.01"), "fine"]
    assert ended(talk.run(backend=chat, stream=stream))["a"] == "fine"
    assert len(service.bodies) == 3


def test_patience_has_an_end(service: Service, chat: rl.OpenAI) -> None:
    service.replies = [failing(429, "slow down") for _ in range(9)]
    with pytest.raises(rl.BackendError, match="slow down") as caught:
        talk.run(backend=chat)["a"]
    assert caught.value.retryable
    assert len(service.bodies) == 1 + QUICK.retries


@pytest.mark.parametrize(("status", "code"), [(400, ""), (401, ""), (429, "insufficient_quota")])
def test_what_cannot_pass_is_not_tried_again(
    status: int, code: str, service: Service, chat: rl.OpenAI
) -> None:
    service.replies = [failing(status, "never", code)]
    with pytest.raises(rl.BackendError, match="never") as caught:
        talk.run(backend=chat)["a"]
    assert not caught.value.retryable
    assert len(service.bodies) == 1


def test_nobody_there_is_retryable(service: Service, chat: rl.OpenAI) -> None:
    loop.wait(service.stop())
    with pytest.raises(rl.BackendError, match="Connection error") as caught:
        talk.run(backend=chat)["a"]
    assert caught.value.retryable


def test_an_answer_that_does_not_come_is_a_retryable_failure(service: Service) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/v1"
        backend = rl.OpenAI("x", base_url=url, api_key="k", timeout_s=0.05, retry=QUICK)
        with pytest.raises(rl.BackendError, match="timed out") as caught:
            talk.run(backend=backend)["a"]
        assert caught.value.retryable
        backend.close()


def test_a_stream_that_breaks_off_is_an_error_and_no_text_comes_twice(
    service: Service, chat: rl.OpenAI
) -> None:
    service.replies = ["a b c d", "never asked for"]
    service.cut = 2
    state = talk.run(stream=True, backend=chat)
    pieces: list[str] = []
    with pytest.raises(rl.BackendError, match="closed the stream before its end"):
        pieces.extend(state.text_iter("a"))
    assert len(service.bodies) == 1


def test_a_refusal_is_an_error(service: Service, chat: rl.OpenAI) -> None:
    from aiohttp import web

    message = {"role": "assistant", "content": None, "refusal": "I will not"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    body = {"id": "1", "object": "chat.completion", "created": 1, "model": "x", "choices": [choice]}
    service.replies = [web.json_response(body)]
    with pytest.raises(rl.BackendError, match="the model refused: I will not"):
        talk.run(backend=chat)["a"]


def test_without_a_key_the_message_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(rl.BackendError, match="OPENAI_API_KEY"):
        rl.OpenAI("gpt")


def test_a_missing_package_names_the_extra() -> None:
    program = (
        "import sys; sys.modules['openai'] = None\n"
        "import radixlm\n"
        "try: radixlm.OpenAI('x')\n"
        "except ModuleNotFoundError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == (
        "OpenAI needs the package 'openai': pip install 'radixlm[openai]'"
    ), done.stderr


def test_a_chat_models_service_takes_no_template() -> None:
    with pytest.raises(ValueError, match="takes no chat_template"):
        rl.OpenAI("gpt", chat_template=get_chat_template("chatml"), api_key="k")


def test_a_completion_models_turns_follow_its_template(service: Service) -> None:
    service.replies = ["hi"]
    backend = rl.OpenAI(
        "fake", False, get_chat_template("qwen"), base_url=service.url + "/v1", api_key="k"
    )

    @rl.function
    def program(s: rl.ProgramState) -> None:
        s += rl.user("Q") + rl.assistant(rl.gen("a"))

    program.run(backend=backend)["a"]
    backend.close()
    assert service.bodies[0]["prompt"] == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n"
    )
    assert service.bodies[0]["stop"] == ["<|im_end|>"]


# ---- completions


@pytest.mark.parametrize("stream", [False, True])
def test_a_completion_model_gets_the_text(stream: bool, service: Service, plain: rl.OpenAI) -> None:
    service.replies = [" hi you", " bye"]

    @rl.function
    def program(s: rl.ProgramState) -> None:
        s += rl.user("Q") + rl.assistant(rl.gen("a", stop="\n"))
        s += "Then:" + rl.gen("b")

    state = ended(program.run(backend=plain, stream=stream))
    assert (state["a"], state["b"]) == (" hi you", " bye")
    assert [body["prompt"] for body in service.bodies] == [
        "USER:Q\nASSISTANT:",
        "USER:Q\nASSISTANT: hi you\nThen:",
    ]
    assert service.bodies[0]["stop"] == ["\n"]


def test_a_completion_model_takes_a_schema_only_as_an_extension(
    service: Service, plain: rl.OpenAI
) -> None:
    with pytest.raises(rl.UnsupportedError, match="no json_schema for completion models"):
        ask.run(json_schema={"type": "object"}, backend=plain)["a"]


def echo(rates: dict[str, float]) -> Reply:
    """A model that echoes; a word with the space before it is a token, of a given logprob."""

    def reply(body: Body) -> Any:
        import re

        from aiohttp import web

        text = body["prompt"]
        tokens = re.findall(r"\s?[^\s]+", text)
        found = {
            "tokens": tokens,
            "token_logprobs": [None, *(rates.get(token, -9.0) for token in tokens[1:])],
            "top_logprobs": None,
            "text_offset": [0] * len(tokens),
        }
        choice = {"index": 0, "text": text, "finish_reason": "length", "logprobs": found}
        head = {"id": "1", "object": "text_completion", "created": 1, "model": "fake"}
        return web.json_response({**head, "choices": [choice]})

    return reply


def test_select_scores_what_a_completion_model_echoes(service: Service, plain: rl.OpenAI) -> None:
    rates = {" yes": math.log(0.2), " no": math.log(0.6), " sir": math.log(0.5)}
    service.replies = [echo(rates)] * 4

    @rl.function
    def program(s: rl.ProgramState) -> None:
        s += "Well then" + rl.select(
            "a", [" yes", " no", " yes sir"], choices_method=rl.distribution
        )

    state = program.run(backend=plain)
    assert state["a"] == " no"
    assert state.text() == "Well then no"
    assert state.get_meta_info("a")["distribution"] == pytest.approx([2 / 9, 6 / 9, 1 / 9])
    assert {body["max_tokens"] for body in service.bodies} == {0}


def test_a_token_across_the_boundary_is_scored_for_every_choice(
    service: Service, plain: rl.OpenAI
) -> None:
    rates = {" ant": -5.0, " anthem": -1.0, " antler": -2.0}
    service.replies = [echo(rates)] * 3

    @rl.function
    def program(s: rl.ProgramState) -> None:
        s += "An ant" + rl.select("a", ["ler", "hem"])

    state = program.run(backend=plain)
    assert state["a"] == "hem"
    assert state.get_meta_info("a")["normalized_prompt_logprobs"] == [-2.0, -1.0]


def test_the_unconditional_method_asks_without_the_text(service: Service, plain: rl.OpenAI) -> None:
    service.replies = [echo({" a": -1.0, " b": -2.0, " c": -3.0})] * 5

    @rl.function
    def program(s: rl.ProgramState) -> None:
        method = rl.unconditional_likelihood_normalized
        s += "Text" + rl.select("x", [" a c", " b c"], choices_method=method)

    state = program.run(backend=plain)
    assert state["x"] == " a c"
    meta = state.get_meta_info("x")
    assert meta["unconditional_token_logprobs"] == [[0.0, -3.0]] * 2
    assert [body["prompt"] for body in service.bodies][3:] == [" a c", " b c"]


def test_a_service_that_does_not_echo_is_found_out(service: Service, plain: rl.OpenAI) -> None:
    service.replies = ["something else"] * 3

    @rl.function
    def program(s: rl.ProgramState) -> None:
        s += "Text" + rl.select("x", [" a", " b"])

    with pytest.raises(rl.UnsupportedError, match="does not echo them"):
        program.run(backend=plain)["x"]
