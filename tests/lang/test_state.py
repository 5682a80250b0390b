import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import radixlm as rl
from radixlm.ir.nodes import Gen

Backend = rl.ScriptedBackend


def run(
    body: Callable[[rl.ProgramState], Any], backend: Backend | None = None, **settings: Any
) -> rl.ProgramState:
    def program(s: rl.ProgramState) -> Any:
        return body(s)

    return rl.Function(program).run(backend=backend or Backend(echo), **settings)


def echo(prompt: str, gen: Gen) -> str:
    return f"<{prompt}>"


# ---- writing


@pytest.mark.parametrize(
    ("item", "error"), [(None, ValueError), (3, TypeError), (["a"], TypeError)]
)
def test_only_text_and_expressions_can_be_appended(item: Any, error: type[Exception]) -> None:
    def body(s: rl.ProgramState) -> None:
        s += item

    with pytest.raises(error, match="appended to a program"):
        run(body)


def test_roles_work_around_content_and_around_blocks() -> None:
    def body(s: rl.ProgramState) -> None:
        s.system("Be brief.")
        with s.user():
            s += "Hi"
        with s.assistant():
            s += rl.gen("x")

    state = run(body, Backend(["Oh", "no"]))
    assert state.text() == "SYSTEM:Be brief.\nUSER:Hi\nASSISTANT:Oh\n"
    assert state.messages() == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Oh"},
    ]
    state.messages()[0]["content"] = "changed"
    assert state.messages()[0]["content"] == "Be brief."


def test_a_block_ends_its_turn_even_when_its_body_raises() -> None:
    def body(s: rl.ProgramState) -> None:
        try:
            with s.user():
                s += "Hi"
                raise LookupError
        except LookupError:
            s.assistant("Oh")

    assert run(body).text() == "USER:Hi\nASSISTANT:Oh\n"


def test_a_variable_scope_binds_the_text_inside() -> None:
    def body(s: rl.ProgramState) -> Any:
        s += "Q"
        with s.var_scope("part"):
            s += "A" + rl.gen("x")
        s += "Z"
        return s["part"]

    assert run(body).ret_value == "A<QA>"


def test_values_can_be_set_and_looked_for() -> None:
    def body(s: rl.ProgramState) -> list[bool]:
        s["a"] = 1
        s.set_var("b", [2])
        s += rl.gen("c")
        return [name in s for name in "abcd"]

    state = run(body)
    assert state.ret_value == [True, True, True, False]
    assert (state["a"], state["b"], state["c"]) == (1, [2], "<>")
    assert repr(state) == "ProgramState(variables=['a', 'b', 'c'])"


def test_a_repeated_name_holds_the_last_value() -> None:
    state = run(lambda s: s.__iadd__(rl.gen("x") + rl.gen("x")), Backend(["1", "2"]))
    assert (state["x"], state.text()) == ("2", "12")


def test_nothing_can_be_written_after_the_end() -> None:
    def body(s: rl.ProgramState) -> Any:
        return s.fork(1)

    state = run(body)
    writes: list[Callable[[], Any]] = [
        lambda: state.__iadd__("x"),
        lambda: state.set_var("x", 1),
        lambda: state.fork(2),
        lambda: state.ret_value[0].__iadd__("x"),
        lambda: state.user("x"),
    ]
    for write in writes:
        with pytest.raises(rl.ProgramEndedError, match="this state has ended"):
            write()
    assert state.text() == ""


# ---- reading


def test_reading_waits_only_for_what_is_read() -> None:
    backend = Backend(["1 2", "3"], held=["later"])

    def body(s: rl.ProgramState) -> Any:
        s += rl.gen("x") + rl.gen("later")
        read = s["x"], s.get_meta_info("x")["completion_tokens"]  # neither waits for `later`
        backend.let_go()
        return read

    assert run(body, backend).ret_value == ("1 2", 2)


def test_an_unbound_name_is_an_error_at_the_readers_line() -> None:
    def body(s: rl.ProgramState) -> None:
        s += rl.gen("x")
        s["y"]

    with pytest.raises(rl.UnboundVariableError) as caught:
        run(body)
    line = body.__code__.co_firstlineno + 2
    assert str(caught.value).startswith(f"test_state.py:{line}: 'y' is read")
    assert "bound here: ['x']" in str(caught.value)


def test_meta_info_is_none_for_unknown_names_and_plain_values() -> None:
    def body(s: rl.ProgramState) -> None:
        s["a"] = 1
        s += rl.gen("x", n=2)

    state = run(body, Backend(["1", "2 3"]))
    assert state.get_meta_info("nobody") is None
    assert state.get_meta_info("a") is None
    assert [meta["completion_tokens"] for meta in state.get_meta_info("x")] == [1, 2]


# ---- failing


def test_a_failing_backend_stops_the_program_and_keeps_its_partial_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def body(s: rl.ProgramState) -> None:
        s += "Q" + rl.gen("x") + "; "
        s += rl.gen("y") + rl.gen("z") + "end"

    state = run(body, Backend(["fine", rl.BackendError("down"), "never"]))
    error = state.error()
    assert isinstance(error, rl.BackendError)
    line = body.__code__.co_firstlineno + 2
    assert error.__notes__ == [f"in the statement at {__file__}:{line}"]
    assert state["x"] == "fine"
    assert state.text() == "Qfine; "
    assert state.messages() == []
    for name in ("y", "z"):
        with pytest.raises(rl.BackendError, match="down"):
            state[name]
        with pytest.raises(rl.BackendError, match="down"):
            state.get_meta_info(name)
    assert [record.message for record in caplog.records] == ["a program stopped: down"]


def test_a_backend_that_never_starts_fails_every_read() -> None:
    class Broken(Backend):
        async def ready(self) -> Backend:
            raise rl.BackendError("nobody there")

    def body(s: rl.ProgramState) -> None:
        s += "Q" + rl.gen("x")
        s.fork(2).join()

    state = run(body, Broken())
    assert str(state.error()) == "nobody there"
    assert (state.text(), state.messages()) == ("", [])
    with pytest.raises(rl.BackendError, match="nobody there"):
        state["x"]


def test_nested_roles_are_reported_at_the_users_line() -> None:
    def body(s: rl.ProgramState) -> None:
        with s.user():
            s.assistant("Hi")

    line = body.__code__.co_firstlineno + 2
    assert str(run(body).error()).startswith(f"test_state.py:{line}: the role 'assistant' begins")


def test_errors_in_groups_name_the_users_line_too() -> None:
    def body(s: rl.ProgramState) -> Any:
        forks = s.fork(2)
        forks += rl.user_end()
        return forks

    line = body.__code__.co_firstlineno + 2
    error = run(body).ret_value[0].error()
    assert str(error).startswith(f"test_state.py:{line}: the role 'user' ends")


def test_a_backend_that_cancels_its_own_call_counts_as_failing() -> None:
    def answer(prompt: str, gen: Gen) -> str:
        raise asyncio.CancelledError

    state = run(lambda s: s.__iadd__(rl.gen("x") + rl.gen("y")), Backend(answer))
    assert str(state.error()) == "the backend abandoned the call"
    with pytest.raises(rl.BackendError):
        state["y"]


def test_a_sequence_that_cannot_be_released_spoils_nothing() -> None:
    class Clinging(Backend):
        async def release(self, sequence: Any) -> None:
            raise rl.BackendError("no")

    state = run(lambda s: s.__iadd__(rl.gen("x")), Clinging(["1"]), stream=True)
    assert list(state.text_iter()) == ["1"]
    assert (state.text(), state.error()) == ("1", None)


# ---- forks


def test_forks_run_side_by_side_and_join_into_lists() -> None:
    def body(s: rl.ProgramState) -> Any:
        s += "Q"
        forks = s.fork(2)
        assert len(forks) == len(list(forks)) == 2
        for index, fork in enumerate(forks):
            fork += f"{index}" + rl.gen("x")
        forks.join()
        s += "; " + rl.gen("y")
        return s["x"]

    state = run(body)
    assert state.ret_value == ["<Q0>", "<Q1>"]
    assert state.text() == "Q; <Q; >"
    assert [meta["completion_tokens"] for meta in state.get_meta_info("x")] == [1, 1]


@pytest.mark.parametrize(
    ("item", "texts"),
    [
        ("a", ["Qa", "Qa"]),
        (lambda index: f"{index}", ["Q0", "Q1"]),
        (["a", "b"], ["Qa", "Qb"]),
        (("a", "b"), ["Qa", "Qb"]),
        (rl.user("a"), ["QUSER:a\n", "QUSER:a\n"]),
    ],
)
def test_a_group_takes_one_for_all_one_each_or_a_function(item: Any, texts: list[str]) -> None:
    def body(s: rl.ProgramState) -> None:
        s += "Q"
        forks = s.fork(2)
        forks += item
        s["texts"] = [fork.text() for fork in forks]

    assert run(body)["texts"] == texts


@pytest.mark.parametrize(
    ("use", "error", "message"),
    [
        (lambda s: s.fork(0), ValueError, "at least one branch"),
        (lambda s: s.fork(2).__iadd__(["a"]), ValueError, "1 items for a fork of 2"),
        (lambda s: s.fork(2).__iadd__(None), ValueError, "None cannot be appended"),
        (lambda s: s.fork(2).join("zip"), ValueError, "no join mode 'zip'"),
        (lambda s: s.fork(2).__setitem__(0, s), TypeError, "cannot be replaced"),
        (lambda s: s.fork(2)[2], IndexError, "range"),
    ],
)
def test_misused_forks_say_why(
    use: Callable[[Any], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run(use)


def test_forks_need_no_join_and_their_variables_can_be_read_directly() -> None:
    def body(s: rl.ProgramState) -> Any:
        forks = s.fork(2)
        forks[0] += "0" + rl.gen("x")
        forks[1] += "1" + rl.gen("x")
        return [fork["x"] for fork in forks]

    backend = Backend(echo)
    state = run(body, backend)
    assert state.ret_value == ["<0>", "<1>"]
    assert "x" not in state


def test_joining_appends_the_branches_text_in_order() -> None:
    def body(s: rl.ProgramState) -> None:
        s += "Q"
        forks = s.fork(2)
        forks += lambda index: f" {index}" + rl.gen("x", stop=">")
        forks.join("concate_and_append")

    assert run(body).text() == "Q 0<Q 0 1<Q 1"


def test_a_joined_branch_is_closed_for_writing_but_still_readable() -> None:
    def body(s: rl.ProgramState) -> None:
        forks = s.fork(1)
        forks += rl.gen("x")
        forks.join()
        assert forks[0]["x"] == "<>"
        with pytest.raises(rl.ProgramEndedError, match="its fork was joined"):
            forks += "more"
        with pytest.raises(rl.ProgramEndedError):
            forks.join()

    assert run(body)["x"] == ["<>"]


def test_forks_of_forks_join_level_by_level() -> None:
    def body(s: rl.ProgramState) -> None:
        outer = s.fork(2)
        for i, branch in enumerate(outer):
            inner = branch.fork(2)
            inner += lambda j, i=i: f"{i}{j}" + rl.gen("x")
            inner.join()
        outer.join()

    backend = Backend(echo)
    state = run(body, backend)
    assert state["x"] == [["<00>", "<01>"], ["<10>", "<11>"]]


def test_a_branch_that_fails_leaves_the_other_but_not_the_join() -> None:
    def answer(prompt: str, gen: Gen) -> str | Exception:
        return rl.BackendError("down") if prompt == "0" else "fine"

    def body(s: rl.ProgramState) -> Any:
        forks = s.fork(2)
        forks += lambda index: f"{index}" + rl.gen("x")
        read = forks[1]["x"], str(forks[0].error()), forks[0].text()
        forks.join()
        return read

    state = run(body, Backend(answer))
    assert state.ret_value == ("fine", "down", "0")
    assert str(state.error()) == "down"
    with pytest.raises(rl.BackendError):
        state["x"]


def test_a_backend_that_cannot_fork_fails_the_branches() -> None:
    class Single(Backend):
        async def fork(self, sequence: Any, count: int) -> Any:
            raise rl.UnsupportedError("this backend cannot fork")

    def body(s: rl.ProgramState) -> Any:
        forks = s.fork(2)
        forks += rl.gen("x")
        return forks

    state = run(body, Single())
    for branch in state.ret_value:
        with pytest.raises(rl.UnsupportedError):
            branch["x"]
    error = state.error()
    assert error is not None
    line = body.__code__.co_firstlineno + 1
    assert error.__notes__ == [f"in the fork at {__file__}:{line}"]


def test_a_copy_is_a_fork_of_one_that_joins_at_its_end() -> None:
    def body(s: rl.ProgramState) -> None:
        s += "Q"
        with s.copy() as other:
            other += "!" + rl.gen("x")

    state = run(body)
    assert (state["x"], state.text()) == (["<Q!>"], "Q")


def test_everything_is_released_when_the_program_has_ended() -> None:
    def body(s: rl.ProgramState) -> Any:
        forks = s.fork(3)
        forks += rl.gen("x")
        s.fork(2).join()
        return [s, *forks]

    backend = Backend(echo)
    for state in run(body, backend).ret_value:
        state.sync()
    assert backend.alive == {}
