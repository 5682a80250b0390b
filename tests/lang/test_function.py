import asyncio
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest

import radixlm as rl
from radixlm.ir.nodes import Gen, Sampling
from radixlm.lang.backends import default
from radixlm.lang.batch import GENERATOR_CHUNK
from radixlm.lang.function import Function

Backend = rl.ScriptedBackend


@rl.function
def ask(s: rl.ProgramState, question: str, mark: str = "?") -> str:
    s += question + mark
    s += rl.gen("answer")
    return question.upper()


@rl.function
def fail(s: rl.ProgramState, number: int) -> None:
    s += rl.gen("x")
    if number == 1:
        raise LookupError(f"number {number}")


def echo(prompt: str, gen: Gen) -> str:
    return f"<{prompt}>"


@pytest.fixture
def backend() -> Backend:
    return Backend(echo)


@pytest.fixture
def default_backend(backend: Backend) -> Iterator[Backend]:
    rl.set_default_backend(backend)
    yield backend
    rl.set_default_backend(None)


# ---- definition


@pytest.mark.parametrize("func", [lambda: None, lambda state: None, lambda q, s: None])
def test_the_first_parameter_must_be_called_s(func: Callable[..., None]) -> None:
    with pytest.raises(AssertionError, match="must be called 's'"):
        rl.function(func)


def test_an_async_function_is_refused_with_the_way_to_do_it() -> None:
    async def program(s: rl.ProgramState) -> None: ...

    with pytest.raises(TypeError, match=r"await f\.arun"):
        rl.function(program)


def test_the_decorator_works_with_and_without_arguments() -> None:
    @rl.function(num_api_spec_tokens=8)
    def program(s: rl.ProgramState) -> None:
        """Says nothing."""

    assert isinstance(program, Function)
    assert (program.__name__, program.__doc__) == ("program", "Says nothing.")


def test_bind_fixes_arguments_in_a_new_program(backend: Backend) -> None:
    bound = ask.bind(mark="!").bind(question="Hi")
    assert bound.run(backend=backend).text() == "Hi!<Hi!>"
    assert bound.run(question="Oh", backend=backend)["answer"] == "<Oh!>"
    assert ask.run("Hi", backend=backend)["answer"] == "<Hi?>"
    with pytest.raises(TypeError, match=r"ask\(\) has no argument colour; it has question, mark"):
        ask.bind(colour=1)


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, r"ask\(\) missing a required argument: 'question'"),
        (("a", "b", "c"), {}, r"ask\(\) too many positional"),
        (("a",), {"regex": "b"}, r"ask\(\) got an unexpected keyword argument 'regex'"),
    ],
)
def test_arguments_that_do_not_fit_fail_at_once_by_name(
    args: Any, kwargs: Any, message: str, backend: Backend
) -> None:
    with pytest.raises(TypeError, match=message):
        ask.run(*args, backend=backend, **kwargs)
    assert backend.calls == []


# ---- run


def test_run_returns_the_state_with_values_text_and_return_value(backend: Backend) -> None:
    state = ask.run("Hi", mark="!", backend=backend)
    assert state["answer"] == state.get_var("answer") == "<Hi!>"
    assert state.text() == "Hi!<Hi!>"
    assert state.ret_value == "HI"
    assert state.error() is None


def test_runs_values_are_the_defaults_of_every_gen(backend: Backend) -> None:
    ask.run("Hi", backend=backend).sync()
    ask.run("Hi", backend=backend, max_new_tokens=5, stop="x", temperature=0, n=2).sync()
    plain, said = (call.gen.sampling for call in backend.calls if call.gen)
    assert plain == Sampling(
        max_new_tokens=128,
        n=1,
        stop=(),
        stop_token_ids=(),
        stop_regex=(),
        temperature=1.0,
        top_p=1.0,
        top_k=-1,
        min_p=0.0,
        frequency_penalty=0.0,
        presence_penalty=0.0,
        ignore_eos=False,
    )
    assert (said.max_new_tokens, said.stop, said.temperature, said.n) == (5, ("x",), 0, 2)


def test_the_body_does_not_wait_for_generations_it_does_not_read() -> None:
    backend = Backend(echo, held=["answer"])
    state = ask.run("Hi", backend=backend)  # returns although the answer is held back
    assert "answer" in state
    backend.let_go()
    assert state["answer"] == "<Hi?>"


def test_what_the_body_raises_is_raised_by_run(backend: Backend) -> None:
    with pytest.raises(LookupError, match="number 1"):
        fail.run(1, backend=backend)


def test_a_body_that_raises_stops_what_is_running_and_releases_it() -> None:
    backend = Backend(echo, held=["x"])
    states: list[rl.ProgramState] = []

    @rl.function
    def program(s: rl.ProgramState) -> None:
        s += rl.gen("x")
        forks = s.fork(2)
        forks += rl.gen("y")
        states.extend([s, *forks])
        raise LookupError("no")

    with pytest.raises(LookupError):
        program.run(backend=backend)
    for state in states:
        assert isinstance(state.error(), LookupError)
        with pytest.raises(LookupError):
            state["x"]
    assert backend.alive == {}


def test_without_threads_each_statement_is_waited_for_and_raises_at_once() -> None:
    backend = Backend(["a", rl.BackendError("down")])
    reached: list[str] = []

    @rl.function
    def program(s: rl.ProgramState) -> None:
        s += rl.gen("x")
        reached.append("x")
        s += rl.gen("y")
        reached.append("y")

    with pytest.raises(rl.BackendError, match="down"):
        program.run(backend=backend, use_thread=False)
    assert reached == ["x"]


def test_the_default_backend_serves_programs_that_name_none(default_backend: Backend) -> None:
    assert ask("Hi")["answer"] == "<Hi?>"
    assert rl.get_server_info() == {"backend": "scripted", "num_calls": 1}
    ask.run("Hi").sync()
    assert rl.flush_cache() in (True, False)


def test_without_a_backend_the_cache_functions_start_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(default, "_shipped", None)
    assert rl.flush_cache() is False
    assert rl.get_server_info() is None


def test_something_else_as_a_backend_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="is no backend; give an Engine"):
        ask.run("Hi", backend=3)


def test_a_nested_call_runs_on_its_own_on_the_callers_backend(default_backend: Backend) -> None:
    backend = Backend(lambda prompt, gen: f"[{prompt}]")

    @rl.function
    def outer(s: rl.ProgramState) -> Any:
        s += "outer " + rl.gen("x")
        inner = ask("inner")
        s += inner["answer"]
        return [state["answer"] for state in ask.run_batch([("b1", "?"), ("b2", "?")])]

    for stream in (False, True):
        state = outer.run(backend=backend, stream=stream)
        assert "".join(state.text_iter()) == "outer [outer ][inner?]"
        assert state.ret_value == ["[b1?]", "[b2?]"]
    assert asyncio.run(outer.arun(backend=backend)).ret_value == ["[b1?]", "[b2?]"]
    assert default_backend.calls == []


# ---- arun


def test_arun_waits_for_the_whole_program_below_a_running_loop(backend: Backend) -> None:
    async def main() -> list[rl.ProgramState]:
        return await asyncio.gather(*(ask.arun(str(i), backend=backend) for i in range(40)))

    states = asyncio.run(main())
    assert [state["answer"] for state in states] == [f"<{i}?>" for i in range(40)]
    assert backend.alive == {}


def test_more_aruns_than_a_pool_has_threads_can_wait_for_one_another() -> None:
    count = 64
    barrier = threading.Barrier(count, timeout=30)

    @rl.function
    def program(s: rl.ProgramState) -> None:
        barrier.wait()

    async def main() -> None:
        await asyncio.gather(*(program.arun(backend=Backend()) for _ in range(count)))

    asyncio.run(main())


def test_arun_raises_what_the_body_raises_and_what_stopped_the_program() -> None:
    async def main() -> None:
        with pytest.raises(LookupError, match="number 1"):
            await fail.arun(1, backend=Backend(echo))
        with pytest.raises(rl.BackendError, match="down"):
            await ask.arun("Hi", backend=Backend([rl.BackendError("down")]))
        with pytest.raises(TypeError, match="missing a required argument"):
            await ask.arun(backend=Backend())

    asyncio.run(main())


def test_cancelling_arun_stops_the_program() -> None:
    begun = threading.Event()

    def answer(prompt: str, gen: Gen) -> str:
        begun.set()
        return "never"

    backend = Backend(answer, held=["answer"])
    ended = threading.Event()

    @rl.function
    def program(s: rl.ProgramState) -> None:
        s += rl.gen("answer")
        try:
            s["answer"]
        finally:
            ended.set()

    async def main() -> None:
        task = asyncio.create_task(program.arun(backend=backend))
        await asyncio.to_thread(begun.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert ended.wait(10)  # the body, which was waiting, heard of it


def test_run_works_in_threads_and_below_a_running_loop(backend: Backend) -> None:
    async def main() -> list[str]:
        here = ask.run("0", backend=backend)
        there = await asyncio.gather(
            *(asyncio.to_thread(ask.run, str(i), backend=backend) for i in range(1, 5))
        )
        return [state["answer"] for state in [here, *there]]

    assert asyncio.run(main()) == [f"<{i}?>" for i in range(5)]


# ---- run_batch


@pytest.mark.parametrize("num_threads", ["auto", 1, 3])
@pytest.mark.parametrize("progress_bar", [False, True])
@pytest.mark.parametrize("generator_style", [False, True])
def test_a_batch_keeps_its_order(
    num_threads: Any, progress_bar: bool, generator_style: bool, backend: Backend
) -> None:
    items: list[Any] = [{"question": "a", "mark": "!"}, ("b", "!"), ["c", "!"]]
    states = ask.run_batch(
        items,
        backend=backend,
        num_threads=num_threads,
        progress_bar=progress_bar,
        generator_style=generator_style,
    )
    assert isinstance(states, list) is not generator_style
    assert [state["answer"] for state in states] == ["<a!>", "<b!>", "<c!>"]
    assert items[0] == {"question": "a", "mark": "!"}


def test_the_progress_bar_ticks_once_a_program(
    backend: Backend, capfd: pytest.CaptureFixture[str]
) -> None:
    ask.run_batch([{"question": "a"}] * 3, backend=backend, progress_bar=True)
    assert "3/3" in capfd.readouterr().err


@pytest.mark.parametrize("generator_style", [False, True])
def test_an_empty_batch_is_empty(generator_style: bool, backend: Backend) -> None:
    assert list(ask.run_batch([], backend=backend, generator_style=generator_style)) == []


def test_a_generator_starts_programs_in_chunks(backend: Backend) -> None:
    batch = [{"question": str(i)} for i in range(GENERATOR_CHUNK + 1)]
    states = ask.run_batch(batch, backend=backend, generator_style=True)
    assert backend.calls == []
    assert next(iter(states))["answer"] == "<0?>"
    assert len(backend.calls) == GENERATOR_CHUNK


def test_bound_arguments_are_left_out_of_tuples(backend: Backend) -> None:
    (state,) = ask.bind(mark="!").run_batch([("a",)], backend=backend)
    assert state["answer"] == "<a!>"


@pytest.mark.parametrize(
    ("batch", "settings", "message"),
    [
        ([("a",)], {}, r"1 arguments in a batch item, but ask\(\) takes 2: question, mark"),
        ([{"colour": 1}], {}, r"ask\(\) missing a required argument"),
        ([("a", "b")], {"colour": 1}, r"run_batch\(\) has no argument colour"),
    ],
)
def test_a_batch_that_does_not_fit_runs_nothing(
    batch: Any, settings: Any, message: str, backend: Backend
) -> None:
    with pytest.raises(TypeError, match=message):
        ask.run_batch([("ok", "!"), *batch], backend=backend, **settings)
    assert backend.calls == []


@pytest.mark.parametrize("num_threads", ["auto", 1])
def test_a_body_that_raises_is_raised_by_the_batch(num_threads: Any, backend: Backend) -> None:
    with pytest.raises(LookupError, match="number 1"):
        fail.run_batch([(0,), (1,), (2,)], backend=backend, num_threads=num_threads)


def test_a_backend_that_fails_for_one_program_leaves_the_others() -> None:
    def answer(prompt: str, gen: Gen) -> str | Exception:
        return rl.BackendError("down") if prompt.startswith("b") else "fine"

    states = list(ask.run_batch([("a", ""), ("b", ""), ("c", "")], backend=Backend(answer)))
    assert [str(state.error()) for state in states] == ["None", "down", "None"]
    assert states[2]["answer"] == "fine"


def test_an_argument_of_the_function_may_share_a_settings_name(backend: Backend) -> None:
    @rl.function
    def program(s: rl.ProgramState, temperature: str) -> None:
        s += temperature + rl.gen("x")

    (state,) = program.run_batch([("hot",)], backend=backend, temperature=0.5)
    assert state["x"] == "<hot>"
    assert backend.calls[0].gen is not None
    assert backend.calls[0].gen.sampling.temperature == 0.5


def test_bodies_see_the_callers_context_variables(backend: Backend) -> None:
    variable: ContextVar[str] = ContextVar("variable", default="unset")

    @rl.function
    def program(s: rl.ProgramState) -> str:
        return variable.get()

    async def main() -> str:
        return str((await program.arun(backend=backend)).ret_value)

    token = variable.set("mine")
    try:
        states = program.run_batch([{}, {}], backend=backend)
        assert [state.ret_value for state in states] == ["mine", "mine"]
        assert asyncio.run(main()) == "mine"
    finally:
        variable.reset(token)
