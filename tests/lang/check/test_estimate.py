"""Estimates against runs of the shipped model: the real figures lie within the ranges."""

from __future__ import annotations

from typing import Any

import pytest

import radixlm as rl
from radixlm.lang.check.estimate import Estimate, Item
from radixlm.lang.check.tokens import Range
from radixlm.runtime.config import ModelConfig
from radixlm.runtime.tokenizer import Tokenizer, load_tokenizer

from ...scripts import load
from ..programs import corpus

KEYS = {"prompt": "prompt_tokens", "cached": "cached_tokens", "decoded": "completion_tokens"}


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return load_tokenizer(ModelConfig())


def example(name: str) -> Any:
    return load(f"examples/{name}.py")


def once(estimate: Estimate, name: str) -> Item | None:
    """The one gen that binds a variable, if there is one."""
    items = [item for item in estimate.items if item.name == name and item.kind == "gen"]
    return items[0] if len(items) == 1 else None


def check_within(state: rl.ProgramState, estimate: Estimate) -> int:
    """Compare the meta information of every variable with its item; return how many there were."""
    compared = 0
    for name in sorted(state.strand.variables):
        meta, item = state.get_meta_info(name), once(estimate, name)
        if item is None or meta is None:
            continue
        metas = meta if isinstance(meta, list) else [meta]
        if item.runs != Range(len(metas), len(metas)):
            continue
        for field, key in KEYS.items():
            real = sum(m[key] for m in metas)
            assert real in getattr(item, field), f"{name}: {field} {real}\n{estimate}"
        compared += 1
    return compared


CASES = [
    pytest.param(function, arguments, id=f"{function.__name__}-{index}")
    for index, (function, arguments) in enumerate(corpus.CASES)
    if "host" not in function.__name__
]


def forget(engine: rl.Engine) -> None:
    """Empty the cache, of what programs have pinned too."""
    while pins := [pin["name"] for pin in rl.pins(engine)]:
        for name in pins:
            if not name.startswith("~"):  # else a branch's, which is about to go by itself
                rl.unpin(name, engine)
    assert engine.flush_cache()


@pytest.mark.slow
@pytest.mark.parametrize(("function", "arguments"), CASES)
def test_a_run_of_the_corpus_lies_within_its_estimate(
    function: Any, arguments: dict[str, Any], engine: rl.Engine, tokenizer: Tokenizer
) -> None:
    forget(engine)
    estimate = function.estimate(**arguments, tokenizer=tokenizer)
    check_within(function.run(**arguments, temperature=0, backend=engine), estimate)


EXAMPLE_RUNS: list[tuple[str, str, tuple[Any, ...], int]] = [
    ("quickstart", "tool_use", ("What is 12 * 7?",), 0),
    ("quickstart", "talk", ("What is the capital of France?", "And of Japan?"), 2),
    ("quickstart", "extract", ("Maria Lopez is 34 years old and lives in Madrid.",), 1),
    ("multi_turn_qa", "multi_turn_qa", ("What is the capital of Peru?", "Its language?"), 2),
    ("structured", "a_date", (), 1),
    ("structured", "a_sentence", ("Norway",), 1),
    ("structured", "person", ("Peter Brown is 52 years old and lives in Oslo.",), 1),
    ("fork_join", "countries", (["Norway", "Egypt", "Chile"],), 1),
    ("batch", "sentiment", ("I love this lamp.",), 0),
]


@pytest.mark.slow
@pytest.mark.parametrize(("file", "name", "arguments", "compared"), EXAMPLE_RUNS)
def test_a_run_of_an_example_lies_within_its_estimate(
    file: str,
    name: str,
    arguments: tuple[Any, ...],
    compared: int,
    engine: rl.Engine,
    tokenizer: Tokenizer,
) -> None:
    function = getattr(example(file), name)
    forget(engine)
    estimate = function.estimate(*arguments, tokenizer=tokenizer)
    state = function.run(*arguments, temperature=0, backend=engine)
    assert check_within(state, estimate) >= compared


@rl.function
def two_turns(s, first, second):
    s += rl.user(first) + rl.assistant(rl.gen("one", max_tokens=8))
    s += rl.user(second) + rl.assistant(rl.gen("two", max_tokens=8))


def test_prompts_of_known_texts_are_exact(tokenizer: Tokenizer) -> None:
    first, second = two_turns.estimate("Hello", "Again", tokenizer=tokenizer).items
    roles = tokenizer.role_format()
    opening, closing = roles.part("user")
    text = roles.preamble + opening + "Hello" + closing + roles.part("assistant")[0]
    if roles.default_system is None:
        count = len(tokenizer.encode(text))
        assert first.prompt == Range(count, count)
    assert first.cached == Range(0, 0)
    assert first.decoded == Range(1, 8)
    assert second.cached.least >= first.prompt.least - 1
    assert second.prompt.most is not None


def test_open_arguments_leave_the_prompt_without_a_bound(tokenizer: Tokenizer) -> None:
    first, _ = two_turns.estimate(tokenizer=tokenizer).items
    assert first.prompt.most is None
    assert first.prompt.least > 0


def test_without_a_tokenizer_the_figures_are_marked_as_approximate() -> None:
    estimate = two_turns.estimate("Hello there, you", "x")
    assert estimate.is_approximate
    assert "approximate" in str(estimate)


@rl.function
def loops(s, names):
    for name in names:
        s += f"{name}:" + rl.gen("x", max_tokens=4) + "\n"


def test_a_loop_over_given_items_is_counted_round_by_round() -> None:
    [item] = loops.estimate(["a", "b", "c"]).items
    assert item.runs == Range(3, 3)
    assert item.decoded == Range(3, 12)


def test_a_loop_over_an_open_argument_has_no_bound_and_may_have_no_rounds() -> None:
    [item] = loops.estimate().items
    assert item.runs == Range(0, None)
    assert item.decoded == Range(0, None)


@rl.function
def branches(s, flag):
    if flag:
        s += "A" + rl.gen("a", max_tokens=4)
    else:
        s += "B" + rl.gen("b", max_tokens=9)


def test_a_branch_that_is_open_costs_nothing_at_least() -> None:
    a, b = branches.estimate().items
    assert (a.runs, b.runs) == (Range(0, 1), Range(0, 1))
    assert [item.name for item in branches.estimate(True).items] == ["a"]


@rl.function
def rules(s, question):
    s += rl.system("You are a careful assistant. " * 4)
    s += rl.user(question)
    s += rl.assistant(rl.gen("answer", max_tokens=8))


@pytest.mark.slow
def test_a_batch_finds_its_common_beginning_in_the_cache(
    engine: rl.Engine, tokenizer: Tokenizer
) -> None:
    forget(engine)
    questions = ["Who?", "What is it?", "When was that, please?", "Where?"]
    estimates = [rules.estimate(q, tokenizer=tokenizer, batch=4) for q in questions]
    assert estimates[0].prefix > 0
    states = list(rules.run_batch([{"question": q} for q in questions], backend=engine))
    real = sum(state.get_meta_info("answer")["cached_tokens"] for state in states)
    least = min(estimate.cached.least for estimate in estimates)
    assert real >= least > 0


def test_a_batch_has_at_least_one_run() -> None:
    with pytest.raises(ValueError, match="at least one run"):
        rules.estimate(batch=0)


def test_an_argument_that_the_function_does_not_have_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="rules\\(\\) got an unexpected keyword argument 'answer'"):
        rules.estimate(answer=1)
