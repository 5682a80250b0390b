"""`separate_reasoning`: the answer stays in the text, the thinking gets a variable of its own."""

from __future__ import annotations

from typing import Any

import pytest

import radixlm as rl
from radixlm.ir.nodes import Gen, RoleBegin, RoleEnd
from radixlm.ir.text import from_text, to_text

ANSWER = "<think>\nParis or Lyon?\n</think>\n\nParis."


@rl.function
def ask(s: rl.ProgramState, question: str) -> None:
    s += rl.user(question)
    s += rl.separate_reasoning(rl.assistant("So: " + rl.gen("a")), model_type="qwen3")
    s += rl.user("Why?")
    s += rl.assistant(rl.gen("why"))


def test_text_messages_and_variable_hold_the_answer_alone() -> None:
    backend = rl.ScriptedBackend([ANSWER, "So it is."])
    state = ask.run("Capital?", backend=backend)
    assert state["a"] == "Paris."
    assert state["a_reasoning_content"] == "Paris or Lyon?"
    assert state.messages()[1] == {"role": "assistant", "content": "So: Paris."}
    assert "Lyon" not in state.text()
    assert state.text() == backend.calls[1].prompt + "So it is.\n"  # later gens do not see it
    assert backend.alive == {}


@pytest.mark.parametrize("compiled", [True, False])
def test_a_compiled_program_does_the_same(compiled: bool) -> None:
    state = ask.run("Capital?", backend=rl.ScriptedBackend([ANSWER, "x"]), compiled=compiled)
    assert (state["a"], state["a_reasoning_content"]) == ("Paris.", "Paris or Lyon?")
    program = ask.compile().program
    assert program is not None
    assert "gen('a', reasoning='qwen3')" in to_text(program)
    assert from_text(to_text(program)).hash() == program.hash()


def test_a_stream_gives_the_answer_and_by_name_the_thinking() -> None:
    def run() -> rl.ProgramState:
        return ask.run("Capital?", backend=rl.ScriptedBackend([ANSWER, "x"]), stream=True)

    assert "".join(run().text_iter("a")) == "Paris."
    assert list(run().text_iter("a_reasoning_content")) == ["Paris", " or", " Lyon?"]
    state = run()
    assert "".join(state.text_iter()) == state.text()


def test_several_samples_are_split_each() -> None:
    @rl.function
    def twice(s: rl.ProgramState) -> None:
        s += rl.separate_reasoning(rl.gen("a", n=2), "deepseek-r1")

    state = twice.run(backend=rl.ScriptedBackend(["x</think>y", "z"]))
    assert state["a"] == ["y", ""]
    assert state["a_reasoning_content"] == ["x", "z"]
    assert state.text() == "y"


def test_each_gen_is_split_on_its_own_and_other_statements_stay() -> None:
    expr = rl.separate_reasoning(rl.assistant(rl.gen("a") + "," + rl.gen("b")), "qwen3")
    kinds = [type(statement).__name__ for statement in expr.statements]
    assert kinds == ["RoleBegin", "Gen", "Text", "Gen", "RoleEnd"]
    gens = [statement for statement in expr.statements if isinstance(statement, Gen)]
    assert [(gen.out, gen.reasoning) for gen in gens] == [("a", "qwen3"), ("b", "qwen3")]
    assert expr.statements[0] == RoleBegin(role="assistant")
    assert expr.statements[-1] == RoleEnd(role="assistant")


def test_what_cannot_be_separated_is_refused_where_it_stands() -> None:
    with pytest.raises(ValueError, match="no family of reasoning models is named 'gpt-9'"):
        rl.separate_reasoning(rl.gen("a"), "gpt-9")
    with pytest.raises(ValueError, match="needs a gen"):
        rl.separate_reasoning(rl.user("x"), "qwen3")

    @rl.function
    def unknown(s: rl.ProgramState) -> None:
        s += rl.separate_reasoning(rl.gen("a"), "gpt-9")

    assert "gpt-9" in str(unknown.compile().reason)


@pytest.mark.parametrize("compiled", [True, False])
def test_a_server_does_the_same(server: Any, compiled: bool) -> None:
    @rl.function
    def capital(s: rl.ProgramState) -> None:
        s += rl.user("What is the capital of France?")
        s += rl.separate_reasoning(rl.assistant(rl.gen("a", max_tokens=12)), "deepseek-r1")
        s += rl.user("Thanks.")

    state = capital.run(backend=server, compiled=compiled, temperature=0)
    assert state["a"] == ""  # the shipped model does not close what it never opened
    assert "Paris" in state["a_reasoning_content"]
    assert "Paris" not in state.text()
    assert state.messages()[-1]["content"] == "Thanks."
