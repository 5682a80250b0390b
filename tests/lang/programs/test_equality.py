"""Every program of the corpus: eager, compiled in this process, compiled on a server."""

from __future__ import annotations

from typing import Any

import pytest

import radixlm as rl

from . import corpus

GREEDY = {"temperature": 0, "max_new_tokens": 24}
SAMPLED = {"temperature": 1.0, "sampling_seed": 5, "max_new_tokens": 24}
WHERE = ["engine", pytest.param("server", marks=pytest.mark.slow)]


def left(function: Any, **settings: Any) -> dict[str, Any]:
    """Run, and return everything that can be seen of it."""
    corpus.CALLS.clear()
    state = function.run(**settings)
    error = state.error()
    names = sorted(state.strand.variables)
    seen: dict[str, Any] = {
        "text": state.text(),
        "messages": state.messages(),
        "value": state.ret_value,
        "error": None if error is None else (type(error).__name__, str(error)),
        "calls": list(corpus.CALLS),
    }
    if error is None:
        seen["variables"] = {name: state[name] for name in names}
        seen["tokens"] = {name: tokens(state.get_meta_info(name)) for name in names}
    return seen


def tokens(meta: Any) -> Any:
    """What the meta information says about the tokens."""
    if isinstance(meta, list):
        return [tokens(item) for item in meta]
    if not isinstance(meta, dict):
        return None
    if "computed_tokens" in meta:
        assert meta["cached_tokens"] + meta["computed_tokens"] == meta["prompt_tokens"]
    seen = ("prompt_tokens", "completion_tokens", "finish_reason", "output_ids")
    return {k: meta[k] for k in seen if k in meta}


def names_of(cases: list[Any]) -> list[str]:
    return [f"{index}-{function.__name__}" for index, (function, _) in enumerate(cases)]


@pytest.mark.sample(3)
@pytest.mark.parametrize(("function", "arguments"), corpus.CASES, ids=names_of(corpus.CASES))
@pytest.mark.parametrize("where", WHERE)
def test_a_program_runs_alike(
    engine: rl.Engine,
    function: Any,
    arguments: dict[str, Any],
    where: str,
    request: pytest.FixtureRequest,
) -> None:
    there = request.getfixturevalue(where)
    for sampling in (GREEDY, SAMPLED):
        settings = {**arguments, **sampling}
        eager = left(function, backend=engine, compiled=False, **settings)
        assert left(function, backend=there, compiled=True, **settings) == eager
        assert eager["error"] is None


@pytest.mark.parametrize(("function", "arguments"), corpus.FAILING, ids=names_of(corpus.FAILING))
@pytest.mark.parametrize("where", WHERE)
def test_a_failing_program_fails_alike(
    engine: rl.Engine,
    function: Any,
    arguments: dict[str, Any],
    where: str,
    request: pytest.FixtureRequest,
) -> None:
    def error_of(**settings: Any) -> tuple[str, str]:
        try:
            state = function.run(**arguments, **settings)
            error = state.error()
            assert error is not None
        except Exception as raised:
            error = raised
        return type(error).__name__, str(error).rpartition("corpus.py:")[2].lstrip("0123456789: ")

    eager = error_of(backend=engine, compiled=False)
    backend = request.getfixturevalue(where)
    assert error_of(backend=backend, compiled=True) == eager
