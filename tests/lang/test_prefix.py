"""What programs begin with: traced, cached, and computed once for a batch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

import radixlm as rl
from radixlm.ir.machine import Emit, Generation, SequenceId
from radixlm.ir.nodes import Gen, RoleBegin, RoleEnd, Text
from radixlm.lang.prefix import common_beginning

EXAMPLES = (
    "Q: What is the capital of Norway?\nA: Oslo\n"
    "Q: What is the capital of Chile?\nA: Santiago\n"
    "Q: What is the capital of Egypt?\nA: Cairo\n"
)


@rl.function
def few_shot(s: rl.ProgramState, examples: str, question: str) -> None:
    s += "Answer in a word.\n"
    s += examples
    s += "Q: " + question + "\nA:" + rl.gen("answer", max_tokens=4, stop="\n")


@pytest.fixture
def config() -> Iterator[Any]:
    before = {name: getattr(rl.global_config, name) for name in rl.global_config.__slots__}
    yield rl.global_config
    for name, value in before.items():
        setattr(rl.global_config, name, value)


# ---- trace


def test_a_trace_shows_the_statements_and_what_the_program_begins_with() -> None:
    trace = few_shot.bind(examples=EXAMPLES).trace()
    assert trace.text() == "Answer in a word.\n" + EXAMPLES + "Q: "
    assert trace.nodes[0].text == "s += 'Answer in a word.\\n'"
    graph = trace.last_node.print_graph_dfs()
    assert graph.splitlines()[0] == "%0: s += 'Answer in a word.\\n'"
    assert len(graph.splitlines()) == len(trace.nodes)
    assert few_shot.trace().text() == "Answer in a word.\n"
    assert few_shot.trace(examples="e").text() == "Answer in a word.\neQ: "


def test_a_trace_runs_nothing_and_refuses_what_does_not_compile() -> None:
    ran: list[int] = []

    @rl.function
    def counts(s: rl.ProgramState) -> None:
        s += "a"
        ran.append(1)

    @rl.function
    def tries(s: rl.ProgramState) -> None:
        try:
            s += "a"
        finally:
            ran.append(1)

    with pytest.raises(rl.ProgramError, match="try"):
        tries.trace()
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        few_shot.trace(colour=1)
    assert ran == []
    with pytest.raises(AttributeError, match="a trace has no 'strand'"):
        _ = few_shot.trace().strand


def test_turns_are_in_the_beginning() -> None:
    @rl.function
    def chat(s: rl.ProgramState, question: str) -> None:
        s += rl.system("Be short.")
        s += rl.user("Now: " + question)

    system = (RoleBegin(role="system"), Text(text="Be short."), RoleEnd(role="system"))
    assert chat.trace().prefix == (*system, RoleBegin(role="user"), Text(text="Now: "))


# ---- batches


@pytest.mark.parametrize(
    ("batch", "expected"),
    [
        ([{"examples": EXAMPLES, "question": q} for q in "ab"], "Answer in a word.\n" + EXAMPLES),
        ([{"examples": e, "question": "q"} for e in "ab"], "Answer in a word.\n"),
        ([{"examples": EXAMPLES, "question": "q"}] * 2, "Answer in a word.\n" + EXAMPLES),
    ],
)
def test_what_is_the_same_for_all_members_is_common(
    batch: list[dict[str, str]], expected: str
) -> None:
    [text] = common_beginning(few_shot, batch)
    assert isinstance(text, Text)
    assert text.text.startswith(expected)


def test_numbers_that_read_differently_are_not_the_same() -> None:
    @rl.function
    def shows(s: rl.ProgramState, number: Any) -> None:
        s += "n" + str(number)

    assert common_beginning(shows, [{"number": 1}, {"number": 1}]) == (Text(text="n1"),)
    for other in (1.0, True, "1", object()):
        assert common_beginning(shows, [{"number": 1}, {"number": other}]) == (Text(text="n"),)


class Watched(rl.ScriptedBackend):
    """Notes which sequences were alive at every generation."""

    def __init__(self) -> None:
        super().__init__(lambda prompt, gen: "x")
        self.seen: list[list[str]] = []

    async def generate(self, sequence: SequenceId, gen: Gen, emit: Emit | None) -> Generation:
        self.seen.append(list(self.alive.values()))
        return await super().generate(sequence, gen, emit)


def test_the_beginning_is_held_while_a_batch_runs_and_no_body_runs_twice(config: Any) -> None:
    bodies: list[str] = []

    @rl.function
    def noted(s: rl.ProgramState, question: str) -> None:
        s += EXAMPLES + "Q: "
        note(question)
        s += question + rl.gen("x")

    def note(question: str) -> None:
        bodies.append(question)

    batch = [{"question": "a"}, {"question": "b"}]
    backend = Watched()
    states = noted.run_batch(batch, backend=backend)
    assert [state["x"] for state in states] == ["x", "x"]
    assert all(EXAMPLES + "Q: " in alive for alive in backend.seen)
    assert backend.alive == {}
    assert sorted(bodies) == ["a", "b"]
    config.enable_precache_with_tracing = False
    backend = Watched()
    noted.run_batch(batch, backend=backend, num_threads=1)
    assert all(len(alive) == 1 for alive in backend.seen)
    single = Watched()
    few_shot.run_batch([("e" * 100, "q")], backend=single)
    assert [len(alive) for alive in single.seen] == [1]


def test_a_batch_whose_beginning_cannot_be_computed_runs_all_the_same() -> None:
    class NoForks(rl.ScriptedBackend):
        async def fork(self, sequence: SequenceId, count: int) -> list[SequenceId]:
            raise rl.BackendError("no forks here")

    backend = NoForks(lambda prompt, gen: "x")
    states = few_shot.run_batch([(EXAMPLES, "a"), (EXAMPLES, "b")], backend=backend)
    assert [state["answer"] for state in states] == ["x", "x"]
    assert backend.alive == {}


def beginning_tokens(engine: rl.Engine, text: str) -> int:
    return len(engine.desk.tokenizer.encode(text))


@pytest.mark.parametrize("where", ["engine", pytest.param("server", marks=pytest.mark.slow)])
def test_every_member_of_a_batch_finds_the_beginning_in_the_cache(
    engine: rl.Engine, where: str, request: pytest.FixtureRequest
) -> None:
    backend = request.getfixturevalue(where)
    rl.flush_cache(backend)
    questions = ["Where is Lima?", "Who is Ann?", "Why is it so?"]
    batch = [{"examples": EXAMPLES, "question": question} for question in questions]
    states = few_shot.run_batch(batch, backend=backend, temperature=0)
    shared = beginning_tokens(engine, "Answer in a word.\n" + EXAMPLES)
    assert shared > 40
    for state in states:
        assert state.error() is None
        assert state.get_meta_info("answer")["cached_tokens"] >= shared


@pytest.mark.parametrize("where", ["engine", pytest.param("server", marks=pytest.mark.slow)])
def test_a_program_can_be_put_into_the_cache(
    engine: rl.Engine, where: str, request: pytest.FixtureRequest
) -> None:
    backend = request.getfixturevalue(where)
    rl.flush_cache(backend)
    bound = few_shot.bind(examples="In short:\n" + EXAMPLES)
    bound.cache(backend)
    state = bound.run(question="Where is Lima?", backend=backend)
    shared = beginning_tokens(engine, "Answer in a word.\nIn short:\n" + EXAMPLES)
    assert state.get_meta_info("answer")["cached_tokens"] >= shared


# ---- global_config


def test_the_default_backend_is_a_setting(config: Any) -> None:
    backend = rl.ScriptedBackend(lambda prompt, gen: "x")
    config.default_backend = backend
    assert few_shot.run("e", "q")["answer"] == "x"
    rl.set_default_backend(rl.ScriptedBackend(lambda prompt, gen: "y"))
    assert few_shot.run("e", "q")["answer"] == "y"


def test_verbose_programs_print_their_text(config: Any, capsys: pytest.CaptureFixture[str]) -> None:
    config.verbosity = 2
    for compiled in (True, False):
        state = few_shot.run("e\n", "q", backend=rl.ScriptedBackend(["x"]), compiled=compiled)
        state.strand.done.result()
        printed, deadline = "", time.monotonic() + 10
        while not printed and time.monotonic() < deadline:  # on another thread, when it has ended
            time.sleep(0.01)
            printed = capsys.readouterr().out
        assert printed == "Answer in a word.\ne\nQ: q\nA:x\n"
    config.verbosity = 1
    few_shot.run("e", "q", backend=rl.ScriptedBackend(["x"])).strand.done.result()
    assert capsys.readouterr().out == ""


def test_special_tokens_can_be_kept_in_generated_text(config: Any, engine: rl.Engine) -> None:
    @rl.function
    def ends(s: rl.ProgramState) -> None:
        s += rl.user("Hi") + rl.assistant_begin() + rl.gen("a", max_tokens=60, ignore_eos=True)

    plain = ends.run(backend=engine, temperature=0)["a"]
    config.skip_special_tokens_in_output = False
    kept = ends.run(backend=engine, temperature=0)["a"]
    assert "<|im_end|>" in kept
    assert "<|im_end|>" not in plain


# ---- log-probabilities for all gens of a run


@pytest.mark.parametrize("compiled", [True, False])
def test_a_run_can_ask_for_log_probabilities(engine: rl.Engine, compiled: bool) -> None:
    @rl.function
    def two(s: rl.ProgramState) -> None:
        s += "One, two," + rl.gen("a", max_tokens=3)
        s += rl.gen("b", max_tokens=3, return_logprob=True, top_logprobs_num=2)

    state = two.run(backend=engine, return_logprob=True, compiled=compiled)
    assert len(state.get_meta_info("a")["output_token_logprobs"]) == 3
    assert "output_top_logprobs" not in state.get_meta_info("a")
    assert len(state.get_meta_info("b")["output_top_logprobs"][0]) == 2
    assert "output_token_logprobs" not in two.run(backend=engine).get_meta_info("a")
