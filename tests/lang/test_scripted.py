import asyncio
import math

import pytest

import radixlm as rl
from radixlm.ir.nodes import Gen, Sampling


def generate(
    backend: rl.ScriptedBackend, gen: Gen, prompt: str = ""
) -> tuple[list[str], list[str], str]:
    """Return the texts, the emitted pieces and what the sequence holds then."""

    async def main() -> tuple[list[str], list[str], str]:
        sequence = await backend.open()
        await backend.extend(sequence, prompt)
        pieces: list[str] = []
        result = await backend.generate(sequence, gen, lambda text, meta: pieces.append(text))
        return result.texts, pieces, backend.alive[sequence]

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("answer", "sampling", "pieces", "reason"),
    [
        ("a b", Sampling(), ["a", " b"], {"type": "stop", "matched": None}),
        (" a\nb ", Sampling(), [" a", "\nb", " "], {"type": "stop", "matched": None}),
        ("", Sampling(), [], {"type": "stop", "matched": None}),
        ("a b.c", Sampling(stop=(".", "b")), ["a", " "], {"type": "stop", "matched": "b"}),
        ("a b12", Sampling(stop_regex=(r"\d+",)), ["a", " b"], {"type": "stop", "matched": r"\d+"}),
        ("a b c", Sampling(max_new_tokens=2), ["a", " b"], {"type": "length", "length": 2}),
        ("a b", Sampling(max_new_tokens=2), ["a", " b"], {"type": "stop", "matched": None}),
    ],
)
def test_answers_end_as_a_models_would(
    answer: str, sampling: Sampling, pieces: list[str], reason: dict[str, object]
) -> None:
    async def main() -> None:
        backend = rl.ScriptedBackend([answer])
        sequence = await backend.open()
        got: list[str] = []
        result = await backend.generate(
            sequence, Gen(sampling=sampling), lambda text, meta: got.append(text)
        )
        assert got == pieces
        assert result.texts == ["".join(pieces)]
        assert result.metas[0]["finish_reason"] == reason
        assert result.metas[0]["completion_tokens"] == len(pieces)

    asyncio.run(main())


def test_calls_are_recorded_and_a_callable_sees_prompt_and_gen() -> None:
    backend = rl.ScriptedBackend(lambda prompt, gen: f"{prompt}{gen.out}")
    assert generate(backend, Gen(out="x"), "Q ") == (["Q x"], ["Q", " x"], "Q Q x")
    assert [(call.prompt, call.gen) for call in backend.calls] == [("Q ", Gen(out="x"))]


def test_a_script_that_has_run_out_is_a_backend_error() -> None:
    backend = rl.ScriptedBackend(["1"])
    generate(backend, Gen())
    with pytest.raises(rl.BackendError, match="no answer left for 'x'"):
        generate(backend, Gen(out="x"))


def test_a_given_error_is_raised_as_a_copy_each_time() -> None:
    error = rl.BackendError("full", retryable=True)
    backend = rl.ScriptedBackend([error, error])
    for _ in range(2):
        with pytest.raises(rl.BackendError, match="full") as caught:
            generate(backend, Gen())
        assert caught.value is not error
        assert caught.value.retryable
    assert error.__traceback__ is None


def test_the_first_choice_wins_unless_scores_say_otherwise() -> None:
    @rl.function
    def program(s: rl.ProgramState) -> None:
        s += "Q" + rl.select("x", ["a", "b"])

    assert program.run(backend=rl.ScriptedBackend())["x"] == "a"
    backend = rl.ScriptedBackend(
        scores=lambda prompt, choice: {"Qa": -2.0, "Qb": -1.0}[prompt + choice]
    )
    assert program.run(backend=backend)["x"] == "b"
    assert [(call.prompt, call.choices) for call in backend.calls] == [("Q", ("a", "b"))]


def test_only_the_named_generations_are_held() -> None:
    backend = rl.ScriptedBackend(["1", "2", "3"], held=["y", "z"])

    @rl.function
    def program(s: rl.ProgramState) -> None:
        s += rl.gen("x") + rl.gen("y") + rl.gen("z")

    state = program.run(backend=backend)
    assert state["x"] == "1"
    backend.let_go("y")
    assert state["y"] == "2"
    backend.let_go()
    assert state.text() == "123"


def test_a_select_can_report_the_probability_of_each_option() -> None:
    @rl.function
    def program(s: rl.ProgramState) -> None:
        s += rl.select("x", ["a", "b"], choices_method=rl.distribution)

    chances = {"a": 0.1, "b": 0.3}
    backend = rl.ScriptedBackend(scores=lambda prompt, choice: math.log(chances[choice]))
    state = program.run(backend=backend)
    assert state["x"] == "b"
    assert state.get_meta_info("x")["distribution"] == pytest.approx([0.25, 0.75])
