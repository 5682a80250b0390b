"""Module paths and names that SGLang's users import."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

import radixlm as rl
from radixlm.lang.interpreter import StreamExecutor

PATHS = {
    "lang.ir": "REGEX_INT REGEX_FLOAT REGEX_STR SglGen SglExprList SglSeparateReasoning",
    "lang.choices": "token_length_normalized greedy_token_selection ChoicesMethod",
    "lang.chat_template": "get_chat_template get_chat_template_by_model_path ChatTemplateStyle",
    "lang.interpreter": "StreamExecutor ProgramState ProgramStateGroup",
    "lang.backend.base_backend": "BaseBackend",
    "lang.backend.runtime_endpoint": "RuntimeEndpoint Runtime",
    "lang.backend.openai": "OpenAI",
    "lang.backend.anthropic": "Anthropic",
    "lang.backend.litellm": "LiteLLM",
    "lang.backend.vertexai": "VertexAI",
    "lang.backend.crusoe": "Crusoe",
    "srt.server_args": "ServerArgs",
    "srt.entrypoints.engine": "Engine",
    "srt.parser.reasoning_parser": "ReasoningParser",
}


@pytest.mark.parametrize(("path", "names"), PATHS.items(), ids=list(PATHS))
def test_the_path_has_its_names(path: str, names: str) -> None:
    module = importlib.import_module(f"radixlm.{path}")
    for name in names.split():
        assert getattr(module, name) is not None
        assert getattr(rl, name, None) in (None, getattr(module, name))


def test_sglangs_nodes_make_expressions() -> None:
    from radixlm.lang.ir import SglConstantText, SglGen, SglRoleBegin, SglRoleEnd, SglVarScopeEnd

    made = SglRoleBegin("user") + SglConstantText("a") + SglRoleEnd("user")
    assert made.statements == rl.user("a").statements
    assert SglGen("x", max_tokens=3).statements == rl.gen("x", max_tokens=3).statements
    assert SglVarScopeEnd("x").statements[0].__class__.__name__ == "ScopeEnd"


def test_the_stream_executor_shows_a_program() -> None:
    @rl.function
    def talk(s: rl.ProgramState) -> None:
        s += rl.user("Q") + rl.assistant(rl.gen("a"))

    backend = rl.ScriptedBackend(["A"], held=["a"])
    state = talk.run(backend=backend)
    executor = state.stream_executor
    assert isinstance(executor, StreamExecutor)
    assert not executor.is_finished
    assert executor.variables == {}
    backend.let_go()
    executor.sync()
    assert executor.variables == {"a": "A"}
    assert executor.variable_event["a"].done()
    assert executor.text_ == state.text() == "USER:Q\nASSISTANT:A\n"
    assert executor.messages_ == state.messages()
    assert executor.meta_info["a"]["completion_tokens"] == 1
    assert executor.backend is backend
    assert executor.error() is executor.error_ is None


def test_server_args_are_settings_by_name() -> None:
    args = rl.ServerArgs(port=31000, page_size=16)
    assert (args.port, args.page_size, args.host) == (31000, 16, "127.0.0.1")  # type: ignore[attr-defined]  # made from the configuration
    assert args.given() == {"port": 31000, "page_size": 16}
    assert repr(args) == "ServerArgs(port=31000, page_size=16)"
    with pytest.raises(TypeError, match="no setting is named tp; known: api_key,"):
        rl.ServerArgs(tp=2)
    with pytest.raises(ValueError, match="a setting cannot be used: Expected `int`"):
        rl.ServerArgs(port="a")


def test_an_endpoint_can_be_told_its_chat_template(server: Any) -> None:
    @rl.function
    def talk(s: rl.ProgramState, question: str) -> None:
        s += rl.user(question) + rl.assistant(rl.gen("a", max_tokens=4))

    endpoint = rl.RuntimeEndpoint(server.url, chat_template_name="vicuna_v1.1")
    state = talk.run("Hi?", backend=endpoint, temperature=0)
    assert state.text().startswith("A chat between a curious user")
    assert "USER:Hi? ASSISTANT:" + state["a"] + "</s>" in state.text()
    own = talk.run("Hi?", backend=server, temperature=0)
    assert "USER:" not in own.text()
    endpoint.close()
    with pytest.raises(KeyError, match="no chat template is named 'x'"):
        rl.RuntimeEndpoint(server.url, chat_template_name="x")


def test_vertexai_and_crusoe_are_thin(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openai", reason="the package openai is not installed")
    monkeypatch.delenv("CRUSOE_API_KEY", raising=False)
    with pytest.raises(rl.BackendError, match="set CRUSOE_API_KEY"):
        rl.Crusoe("m")
    monkeypatch.setenv("CRUSOE_API_KEY", "k")
    crusoe = rl.Crusoe("m")
    assert isinstance(crusoe, rl.OpenAI)
    assert crusoe.is_chat_model
    assert "crusoe" in str(crusoe._client.base_url)
    crusoe.close()


def test_vertexai_names_project_and_place(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("litellm", reason="the package litellm is not installed")
    monkeypatch.setenv("GCP_PROJECT_ID", "mine")
    vertex = rl.VertexAI("gemini-2.5-flash", location="here")
    assert vertex.model_name == "vertex_ai/gemini-2.5-flash"
    assert vertex._options["vertex_project"] == "mine"
    assert vertex._options["vertex_location"] == "here"
