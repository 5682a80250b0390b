import asyncio
import math
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from radixlm.ir.errors import BackendError, ProgramError, RoleError, UnboundVariableError
from radixlm.ir.machine import Execution, Piece
from radixlm.ir.nodes import (
    Gen,
    Let,
    RoleBegin,
    RoleEnd,
    Sampling,
    ScopeBegin,
    ScopeEnd,
    Select,
    Span,
    Stmt,
    Text,
)
from radixlm.ir.roles import PLAIN, RoleFormat
from radixlm.lang.backends.scripted import ScriptedBackend

CHAT = RoleFormat(
    parts={
        "system": ("<system>", "</system>"),
        "user": ("<user>", "</user>"),
        "assistant": ("<assistant>", "</assistant>"),
    },
    default_system="Be good.",
    preamble="<s>",
    stop=("</assistant>",),
)
HERE = Span("/home/me/demo.py", 7)


def run(
    *statements: Stmt,
    backend: ScriptedBackend | None = None,
    defaults: Sampling | None = None,
    listener: Callable[[Piece], None] | None = None,
    then: Callable[[Execution], Coroutine[Any, Any, None]] | None = None,
) -> Execution:
    async def main() -> Execution:
        execution = await Execution.start(
            backend or ScriptedBackend(), defaults=defaults or Sampling(), listener=listener
        )
        for statement in statements:
            await execution.execute(statement, HERE)
        if then is not None:
            await then(execution)
        return execution

    return asyncio.run(main())


def turn(role: str, *content: Stmt) -> list[Stmt]:
    return [RoleBegin(role=role), *content, RoleEnd(role=role)]


# ---- roles


@pytest.mark.parametrize(
    ("roles", "statements", "text"),
    [
        (PLAIN, turn("user", Text(text="Hi")), "USER:Hi\n"),
        (
            CHAT,
            turn("user", Text(text="Hi")),
            "<s><system>Be good.</system><user>Hi</user>",
        ),
        (
            CHAT,
            turn("system", Text(text="Be bad.")) + turn("user", Text(text="Hi")),
            "<s><system>Be bad.</system><user>Hi</user>",
        ),
        (
            CHAT,
            turn("user", Text(text="1")) + turn("user", Text(text="2")),
            "<s><system>Be good.</system><user>1</user><user>2</user>",
        ),
        (PLAIN, turn("critic", Text(text="No")), "CRITIC:No\n"),  # an unknown role, like the user's
        (PLAIN, [Text(text="x"), *turn("user")], "xUSER:\n"),
    ],
)
def test_turns_are_written_in_the_models_format(
    roles: RoleFormat, statements: list[Stmt], text: str
) -> None:
    backend = ScriptedBackend(roles=roles)
    assert run(*statements, backend=backend).text == text
    assert list(backend.alive.values()) == [text]


def test_messages_hold_the_turns_without_leading_space() -> None:
    execution = run(
        *turn("user", Text(text="\n Hi ")), *turn("assistant"), backend=ScriptedBackend(roles=CHAT)
    )
    assert execution.messages == [
        {"role": "system", "content": "Be good."},
        {"role": "user", "content": "Hi "},
        {"role": "assistant", "content": ""},
    ]


@pytest.mark.parametrize(
    ("statements", "message"),
    [
        (
            [RoleBegin(role="user"), RoleBegin(role="assistant")],
            "demo.py:7: the role 'assistant' begins inside 'user'; nested roles are not allowed",
        ),
        (
            [RoleBegin(role="user"), RoleEnd(role="assistant")],
            "demo.py:7: the role 'assistant' ends, but 'user' is open",
        ),
        ([RoleEnd(role="user")], "demo.py:7: the role 'user' ends, but None is open"),
    ],
)
def test_roles_that_do_not_match_name_the_users_line(statements: list[Stmt], message: str) -> None:
    with pytest.raises(RoleError) as caught:
        run(*statements)
    assert str(caught.value) == message
    assert caught.value.span.line == 7


# ---- generations


def test_what_a_gen_says_goes_before_the_defaults() -> None:
    backend = ScriptedBackend(["a", "b"])
    run(
        Gen(out="x", sampling=Sampling(temperature=0.0, stop=("!",))),
        Gen(out="y"),
        backend=backend,
        defaults=Sampling(temperature=1.0, top_k=3, stop=("?",)),
    )
    assert [call.gen.sampling for call in backend.calls if call.gen] == [
        Sampling(temperature=0.0, top_k=3, stop=("!",)),
        Sampling(temperature=1.0, top_k=3, stop=("?",)),
    ]


def test_the_formats_stops_are_added_to_the_gens() -> None:
    backend = ScriptedBackend(["a", "b"], roles=CHAT)
    run(Gen(sampling=Sampling(stop=("!",))), Gen(), backend=backend)
    stops = [call.gen.sampling.stop for call in backend.calls if call.gen]
    assert stops == [("!", "</assistant>"), ("</assistant>",)]


def test_n_samples_are_a_list_and_the_text_goes_on_with_the_first() -> None:
    backend = ScriptedBackend(["a", "b", "c"])
    execution = run(Gen(out="x", sampling=Sampling(n=2)), Gen(out="y"), backend=backend)
    assert execution.variables == {"x": ["a", "b"], "y": "c"}
    assert execution.text == "ac"
    assert [meta["completion_tokens"] for meta in execution.meta["x"]] == [1, 1]


def test_an_unnamed_gen_binds_nothing() -> None:
    execution = run(Gen(), backend=ScriptedBackend(["a"]))
    assert (execution.text, execution.variables, execution.meta) == ("a", {}, {})


def test_a_listener_hears_every_piece_with_its_variable() -> None:
    heard: list[Piece] = []
    execution = run(
        Text(text="Q "),
        Gen(out="x"),
        Select(out="y", choices=("no",)),
        Text(text=""),
        backend=ScriptedBackend(["two words"]),
        listener=heard.append,
    )
    assert [(piece.text, piece.name) for piece in heard] == [
        ("Q ", None),
        ("two", "x"),
        (" words", "x"),
        ("no", "y"),
    ]
    assert execution.text == "".join(piece.text for piece in heard)


def test_select_appends_the_best_and_reports_the_scores() -> None:
    scores = {"cat": -2.0, "dog": -1.0}
    backend = ScriptedBackend(scores=lambda prompt, choice: scores[choice])
    execution = run(Text(text="A "), Select(out="pet", choices=("cat", "dog")), backend=backend)
    assert execution.text == "A dog"
    assert execution.variables == {"pet": "dog"}
    assert execution.meta["pet"] == {
        "normalized_prompt_logprobs": [-2.0, -1.0],
        "input_token_logprobs": [[(-2.0, 0)], [(-1.0, 1)]],
        "output_token_logprobs": [],
        "normalization": "token_length",
        "distribution": pytest.approx([1 / (1 + math.e), math.e / (1 + math.e)]),
    }
    assert backend.calls[0].prompt == "A "


def test_only_the_unconditional_method_asks_for_unconditional_scores() -> None:
    backend = ScriptedBackend(scores=lambda prompt, choice: -1.0 if prompt else -len(choice))
    method = "unconditional_likelihood_normalized"
    execution = run(
        Text(text="A "), Select(out="pet", choices=("a", "bee"), method=method), backend=backend
    )
    assert execution.variables == {"pet": "bee"}
    assert execution.meta["pet"]["unconditional_token_logprobs"] == [[-1], [-3]]


# ---- scopes and values


def test_scopes_bind_their_text_and_nest_even_under_one_name() -> None:
    execution = run(
        ScopeBegin(out="a"),
        Text(text="1"),
        ScopeBegin(out="a"),
        Text(text="2"),
        ScopeEnd(out="a"),
        Text(text="3"),
        ScopeEnd(out="b"),
    )
    assert execution.variables == {"a": "2", "b": "123"}


def test_let_binds_any_value() -> None:
    assert run(Let(out="x", value=[1])).variables == {"x": [1]}


# ---- forks


def test_a_fork_shares_what_was_and_grows_apart() -> None:
    async def then(parent: Execution) -> None:
        one, two = await parent.fork(2)
        await one.execute(Text(text="1"))
        await two.execute(Let(out="x", value=2))
        await one.execute(RoleEnd(role="user"))
        assert (one.text, two.text, parent.text) == ("USER:Hi1\n", "USER:Hi", "USER:Hi")
        assert one.messages == [{"role": "user", "content": "Hi1"}]
        assert (parent.messages, parent.role, two.role) == ([], "user", "user")
        assert parent.variables == {}

    run(RoleBegin(role="user"), Text(text="Hi"), then=then)


@pytest.mark.parametrize(
    ("given", "bound"),
    [
        ([{"x": 1}, {"x": 2}], {"old": 0, "x": [1, 2]}),
        ([{"x": 1}], {"old": 0, "x": [1]}),
        ([{}, {"x": 2}, {"y": 3}], {"old": 0, "x": [2], "y": [3]}),  # no gaps
        ([{"old": 5}, {}], {"old": 0}),  # what the parent has stays
        ([{}, {}], {"old": 0}),
    ],
)
def test_gathering_makes_lists_of_what_is_new(
    given: list[dict[str, int]], bound: dict[str, object]
) -> None:
    async def then(parent: Execution) -> None:
        children = await parent.fork(len(given))
        for child, values in zip(children, given, strict=True):
            for name, value in values.items():
                await child.execute(Let(out=name, value=value))
        await parent.join(children, "gather_variable")

    execution = run(Let(out="old", value=0), then=then)
    assert execution.variables == bound
    assert execution.text == ""


def test_what_the_parent_bound_after_the_fork_stays() -> None:
    async def then(parent: Execution) -> None:
        children = await parent.fork(1)
        await children[0].execute(Let(out="x", value="child"))
        await parent.execute(Let(out="x", value="parent"))
        await parent.join(children, "gather_variable")

    assert run(then=then).variables == {"x": "parent"}


def test_gathered_meta_stands_beside_its_values() -> None:
    async def then(parent: Execution) -> None:
        one, two = await parent.fork(2)
        await one.execute(Let(out="x", value=0))
        await two.execute(Gen(out="x"))
        await two.execute(Let(out="y", value=0))
        await parent.join([one, two], "gather_variable")

    execution = run(backend=ScriptedBackend(["a"]), then=then)
    assert execution.variables["x"] == [0, "a"]
    assert execution.meta["x"][0] is None
    assert execution.meta["x"][1]["completion_tokens"] == 1
    assert "y" not in execution.meta


def test_concatenating_appends_each_branchs_own_text() -> None:
    async def then(parent: Execution) -> None:
        children = await parent.fork(3)
        for index, child in enumerate(children):
            await child.execute(Text(text=str(index)))
        await parent.execute(Text(text=";"))
        await parent.join(children, "concate_and_append")
        for child in children:
            await child.release()

    backend = ScriptedBackend()
    execution = run(Text(text="x"), backend=backend, then=then)
    assert execution.text == "x;012"
    assert list(backend.alive.values()) == ["x;012"]


# ---- errors


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ProgramError("no", span=HERE), "demo.py:7: no"),
        (ProgramError("no"), "no"),
        (
            UnboundVariableError("x", bound=["b", "a"], span=HERE),
            "demo.py:7: 'x' is read, but no gen() or select() binds it; bound here: ['a', 'b']",
        ),
    ],
)
def test_errors_begin_with_file_and_line_where_known(error: ProgramError, text: str) -> None:
    assert str(error) == text


def test_an_unbound_variable_is_a_key_error_with_a_hint() -> None:
    error = UnboundVariableError("x", bound=[])
    assert isinstance(error, KeyError)
    assert error.__notes__ == ["If 'x' is an input, make it an argument of the function."]


def test_a_failed_generation_leaves_text_and_variables_as_they_were() -> None:
    async def then(execution: Execution) -> None:
        with pytest.raises(BackendError, match="full") as caught:
            await execution.execute(Gen(out="x"))
        assert caught.value.retryable
        assert (execution.text, execution.variables) == ("Q", {})

    run(Text(text="Q"), backend=ScriptedBackend([BackendError("full", retryable=True)]), then=then)
