"""Programs in the manner of SGLang's readme and benchmarks; only the import is ours.

They run on the shipped model, which knows little: what is asserted is mechanics, not wisdom.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import pytest

import radixlm as sgl


@pytest.fixture(scope="module", autouse=True)
def default_backend(engine: sgl.Engine) -> Iterator[None]:
    sgl.set_default_backend(engine)
    yield
    sgl.set_default_backend(None)


def test_few_shot_questions_in_a_batch() -> None:
    @sgl.function
    def few_shot_qa(s, examples, question):
        s += "Questions and answers.\n\n" + examples
        s += "Q: " + question + "\n"
        s += "A:" + sgl.gen("answer", stop="\n", max_tokens=16, temperature=0)

    examples = "".join(
        f"Q: What is the capital of {land}?\nA: {city}\n"
        for land, city in (("Norway", "Oslo"), ("Chile", "Santiago"), ("Egypt", "Cairo"))
    )
    lands = ["France", "Italy", "Japan", "Peru"]
    states = few_shot_qa.bind(examples=examples).run_batch(
        [{"question": f"What is the capital of {land}?"} for land in lands], progress_bar=False
    )
    assert len(states) == 4
    for land, state in zip(lands, states, strict=True):
        assert state.text().endswith(f"capital of {land}?\nA:" + state["answer"])
        assert "\n" not in state["answer"]
        assert state.get_meta_info("answer")["cached_tokens"] > 32  # the examples


def test_a_two_turn_conversation() -> None:
    @sgl.function
    def answer_mt_bench(s, question_1, question_2):
        s += sgl.system("You are a helpful assistant.")
        s += sgl.user(question_1)
        s += sgl.assistant(sgl.gen("answer_1"))
        s += sgl.user(question_2)
        s += sgl.assistant(sgl.gen("answer_2"))

    state = answer_mt_bench.run(
        question_1="What is the capital of France?",
        question_2="And of Japan?",
        temperature=0.5,
        max_new_tokens=16,
    )
    messages = state.messages()
    assert [m["role"] for m in messages] == ["system", *["user", "assistant"] * 2]
    assert messages[4]["content"] == state["answer_2"].lstrip()


def test_tips_are_expanded_side_by_side() -> None:
    @sgl.function
    def parallel_tips(s, topic):
        s += "Two tips for " + topic + ": 1. Sleep. 2. Walk.\n\n"
        forks = s.fork(2)
        for i, f in enumerate(forks):
            f += f"Tip {i + 1}, in a paragraph:\n"
            f += sgl.gen("detail", max_tokens=12, stop="\n\n", temperature=0)
        s += "Tip 1: " + forks[0]["detail"] + "\n"
        s += "Tip 2: " + forks[1]["detail"] + "\n"
        s += "In summary," + sgl.gen("summary", max_tokens=8, temperature=0)

    state = parallel_tips.run("good health")
    assert "Tip 1: " in state.text()
    assert state.text().count("Tip 2: ") == 1
    assert state.text().endswith(state["summary"])


def test_nested_functions_run_on_their_own() -> None:
    @sgl.function
    def expand_tip(s, topic, tip):
        s += "Topic: " + topic + ". Tip: " + tip + "\nIn a paragraph:"
        s += sgl.gen("detailed_tip", max_tokens=10, stop=["\n\n"], temperature=0)

    @sgl.function
    def suggest_tips(s, topic):
        s += "Topic: " + topic + "\nTips: 1. Eat well. 2. Rest.\n"
        detailed = [expand_tip(topic=topic, tip=tip) for tip in ("Eat well", "Rest")]
        for number, state in enumerate(detailed, 1):
            s += f"Tip {number}: " + state["detailed_tip"] + "\n"

    state = suggest_tips.run(topic="health")
    assert state.error() is None
    assert "Tip 1: " in state.text()
    assert "In a paragraph" not in state.text()


def test_json_by_a_regular_expression() -> None:
    pattern = r'\{\n  "name": "[A-Z][a-z]{1,9}",\n  "age": [0-9]{1,2}\n\}'

    @sgl.function
    def character(s, name):
        s += name + " as JSON:\n"
        s += sgl.gen("json", max_tokens=64, regex=pattern, temperature=0)

    state = character.run("Anna Berg")
    assert re.fullmatch(pattern, state["json"])


def test_the_likeliest_ending_is_selected() -> None:
    @sgl.function
    def few_shot_hellaswag(s, question, choices):
        s += "A man opens his umbrella because it rains.\n"
        s += question + sgl.select("answer", choices=choices)

    choices = [" he eats the umbrella.", " he goes out.", " the moon is a cheese."]
    questions = ["A man takes his coat and", "The door opens and"]
    states = few_shot_hellaswag.run_batch([(q, choices) for q in questions], temperature=0)
    for state in states:
        assert state["answer"] in choices
        scores = state.get_meta_info("answer")["normalized_prompt_logprobs"]
        assert choices[scores.index(max(scores))] == state["answer"]


def test_a_tree_of_thought() -> None:
    def propose_plan(s, question, num_branches):
        s += sgl.user("Make a plan for: " + question)
        forks = s.fork(num_branches)
        forks += sgl.assistant(sgl.gen("plan", max_tokens=8, temperature=0.7))
        return forks

    def execute_plan(s, num_branches):
        s += sgl.user("Now carry the plan out.")
        forks = s.fork(num_branches)
        forks += sgl.assistant(sgl.gen("answer", max_tokens=8, temperature=0.7))
        return forks

    @sgl.function
    def tree_search(s, question, num_branches):
        leaves = []
        for plan in propose_plan(s, question, num_branches):
            leaves.extend(execute_plan(plan, num_branches))
        for leaf in leaves:
            leaf.sync()
        return [leaf["answer"] for leaf in leaves]

    state = tree_search.run("2 + 3 * 4", 2)
    assert len(state.ret_value) == 4
    assert all(isinstance(answer, str) for answer in state.ret_value)


def test_a_replay_of_reasoning_and_acting() -> None:
    @sgl.function
    def webthink(s, question, steps):
        s += "Thought, action, observation.\nQuestion: " + question
        for number, (thought, action, observation) in enumerate(steps, 1):
            s += f"Thought {number}:"
            s += sgl.gen(name=f"thought_{number}", stop=["\n", "Action"], max_tokens=6)
            s += " " + thought + f"\nAction {number}:" + sgl.gen(f"act_{number}", max_tokens=4)
            s += " " + action + f"\nObservation {number}: " + observation + "\n"

    steps = [("I search.", "Search[Oslo]", "A city."), ("I know.", "Finish[Norway]", "Done.")]
    state = webthink.run("Where is Oslo?\n", steps, temperature=0)
    assert state.error() is None
    assert {f"{kind}_{n}" for kind in ("thought", "act") for n in (1, 2)} <= set(
        state.stream_executor.variables
    )
    assert "Observation 2: Done." in state.text()


def test_documents_are_read_side_by_side_and_joined() -> None:
    @sgl.function
    def multi_document_qa(s, documents, question):
        s += "Documents:\n"
        forks = s.fork(len(documents))
        forks += lambda i: documents[i]
        forks.join("concate_and_append")
        s += "\nQuestion: " + question + "\nAnswer:" + sgl.gen("answer", max_tokens=4)

    documents = [f"Document {i}: the code is {i}{i}.\n" for i in range(3)]
    state = multi_document_qa.run(documents, "What is the code?", temperature=0)
    assert state.text().startswith("Documents:\n" + "".join(documents) + "\nQuestion")


def test_an_expert_answers_in_a_scope_of_a_copy() -> None:
    @sgl.function
    def expert_answer(s, question):
        s += sgl.user(question)
        with s.copy() as aside:
            aside += sgl.assistant("Ask " + sgl.gen("expert", max_tokens=4, temperature=0))
        with s.var_scope("turn"), s.assistant():
            s += "As " + s["expert"][0] + " says: " + sgl.gen("answer", max_tokens=4)

    state = expert_answer.run("Who knows?")
    assert isinstance(state["expert"], list)
    assert len(state["expert"]) == 1
    assert state["answer"] in state["turn"]
    assert [m["role"] for m in state.messages()][-2:] == ["user", "assistant"]


def test_roles_by_their_halves_and_a_tool_is_chosen() -> None:
    @sgl.function
    def tool_use(s, question):
        s += sgl.user_begin() + question + sgl.user_end()
        s += sgl.assistant_begin()
        s += "To answer I need a " + sgl.gen("tool", choices=["calculator", "search engine"])
        if s["tool"] == "calculator":
            s += ". The number is " + sgl.gen("number", dtype=int, max_tokens=8)
        else:
            s += ". The key word is " + sgl.gen("word", max_tokens=4)
        s += sgl.assistant_end()

    state = tool_use.run("What is 3 * 4?", temperature=0)
    if state["tool"] == "calculator":
        assert isinstance(state["number"], str)
        int(state["number"])
    else:
        assert "word" in state


def test_several_samples_of_one_generation() -> None:
    @sgl.function
    def one(s, n):
        s += "Once upon a time" + sgl.gen("story", max_tokens=8, n=n)

    state = one.run(3, temperature=1.0)
    assert len(state["story"]) == 3
    assert state.text() == "Once upon a time" + state["story"][0]
    assert len(state.get_meta_info("story")) == 3


def test_text_streams_in_and_out_of_a_loop() -> None:
    @sgl.function
    def talk(s):
        s += sgl.user("What is the capital of France?")
        s += sgl.assistant(sgl.gen("answer", max_tokens=12, temperature=0))

    state = talk.run(stream=True)
    assert "".join(state.text_iter()) == state.text()

    async def pieces() -> list[tuple[str, Any]]:
        stream = talk.run(stream=True)
        items = stream.text_async_iter(var_name="answer", return_meta_data=True)
        return [(text, meta) async for text, meta in items]

    found = asyncio.run(pieces())
    assert "".join(text for text, _ in found) == state["answer"]
    counts = [meta["completion_tokens"] for _, meta in found]
    assert counts == sorted(counts)


def test_a_judge_asks_about_each_dimension() -> None:
    @sgl.function
    def multi_dimensional_judge(s, article):
        s += "An essay: " + article + "\n"
        dimensions = ["Clarity", "Originality", "Evidence"]
        forks = s.fork(len(dimensions))
        for i in range(len(dimensions)):
            forks[i] += "Judge its " + dimensions[i] + ":" + sgl.gen("judgment", max_tokens=4)
        forks.join()
        s += "All in all:" + sgl.gen("summary", max_tokens=4, dtype=str)

    state = multi_dimensional_judge.run("Trees are green.", temperature=0)
    assert len(state["judgment"]) == 3
    assert state["summary"].startswith('"')


def test_a_regular_expression_for_an_address() -> None:
    octet = r"(25[0-5]|2[0-4]\d|[01]?\d\d?)"

    @sgl.function
    def regular_expression_gen(s):
        s += "The address of the server is "
        s += sgl.gen("ip", temperature=0, regex=rf"({octet}\.){{3}}{octet}", max_tokens=24)

    assert re.fullmatch(r"\d+(\.\d+){3}", regular_expression_gen.run()["ip"])
