"""Options scored as one tree of tokens, beside each scored as a request of its own."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from radixlm.ir import loop
from radixlm.ir.choices import Scores
from radixlm.runtime.desk.scoring import Cost, score_choices, score_options
from radixlm.runtime.desk.tokens import Tokens
from radixlm.runtime.errors import InvalidRequestError
from radixlm.runtime.offline import Engine
from radixlm.runtime.scheduler.scoring import Options

from ..conftest import write_tiny_model

PREFIX = list(range(30, 110))
OPTIONS = [[7, 8, 9], [7, 8], [7, 8, 9, 10], [7, 11], [12], [7, 8, 9], [13, 14, 15, 16], []]


@pytest.fixture(scope="module", params=["kernels", "torch"])
def engine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    if request.param == "kernels" and shutil.which("g++") is None:
        pytest.skip("g++ is not installed")
    limits: dict[str, Any] = {"max_total_tokens": 600, "check_invariants": True}
    folder = tmp_path_factory.mktemp("two_heads")
    write_tiny_model(folder, heads=2)
    plain = request.param == "torch"
    with Engine(model_path=folder, in_process=True, disable_cpu_kernels=plain, **limits) as made:
        yield made


def is_exact(engine: Engine) -> bool:
    return not engine.config.model.disable_cpu_kernels


def one_by_one(engine: Engine, prefix: list[int], options: list[list[int]]) -> list[list[float]]:
    """The options' log-probabilities, each from a request that scores its prompt."""
    found: list[list[float]] = []
    for option in options:
        if not option or (not prefix and len(option) == 1):
            found.append([0.0] * len(option))
            continue
        result = engine.generate(
            input_ids=[*prefix, *option],
            sampling_params={"max_new_tokens": 0},
            return_logprob=True,
            logprob_start_len=max(len(prefix) - 1, 0),
        )
        scored = result["meta_info"]["input_token_logprobs"]
        first = [0.0] if not prefix else []
        found.append(first + [p for p, _, _ in scored if p is not None])
    return found


def tree(
    engine: Engine, prefix: list[int], options: list[list[int]]
) -> tuple[list[list[float]], Cost]:
    return loop.wait(score_options(engine.desk, prefix, options))


def assert_same(engine: Engine, found: list[list[float]], expected: list[list[float]]) -> None:
    if is_exact(engine):
        assert found == expected, "bit for bit"
    else:
        assert [len(x) for x in found] == [len(x) for x in expected]
        for own, other in zip(found, expected, strict=True):
            assert own == pytest.approx(other, abs=2e-4)


@pytest.mark.parametrize("prefix", [PREFIX, PREFIX[:1], []], ids=["long", "one token", "none"])
def test_a_tree_gives_what_separate_requests_give(engine: Engine, prefix: list[int]) -> None:
    engine.flush_cache()
    found, _ = tree(engine, prefix, OPTIONS)
    assert_same(engine, found, one_by_one(engine, prefix, OPTIONS))


def test_what_options_share_is_computed_once(engine: Engine) -> None:
    engine.flush_cache()
    # 7, 7 8, 7 8 9 and 13, 13 14, 13 14 15 are gone on from.
    _, cost = tree(engine, PREFIX, OPTIONS)
    assert cost == Cost(prompt=len(PREFIX) + 6, cached=0, computed=len(PREFIX) + 6)
    _, cost = tree(engine, PREFIX, OPTIONS)
    assert cost == Cost(prompt=len(PREFIX) + 6, cached=len(PREFIX) - 1, computed=7)


def test_a_select_takes_one_pass_where_its_prefix_is_cached(engine: Engine) -> None:
    engine.generate(input_ids=PREFIX, sampling_params={"max_new_tokens": 0})

    async def passes() -> int:
        before = (await engine.desk.state()).steps
        await score_options(engine.desk, PREFIX, OPTIONS)
        return (await engine.desk.state()).steps - before

    assert loop.wait(passes()) == 1


def test_the_likeliest_option_stays_cached_and_all_else_is_free_again(engine: Engine) -> None:
    engine.flush_cache()
    options = [option for option in OPTIONS if len(option) > 2]
    found, _ = tree(engine, PREFIX, options)
    best = max(range(len(options)), key=lambda i: sum(found[i]) / len(found[i]))
    state = loop.wait(engine.desk.state())
    assert (state.leased, state.cached) == (0, len(PREFIX) + len(options[best]) - 1)
    meta = engine.generate(
        input_ids=[*PREFIX, *options[best], 20], sampling_params={"max_new_tokens": 1}
    )["meta_info"]
    assert meta["cached_tokens"] == len(PREFIX) + len(options[best]) - 1
    own = one_by_one(engine, [*PREFIX, *options[best]], [[20, 21]])
    engine.flush_cache()
    assert_same(engine, own, one_by_one(engine, [*PREFIX, *options[best]], [[20, 21]]))


@pytest.mark.parametrize("seed", range(3))
def test_trees_of_random_options_agree(engine: Engine, seed: int) -> None:
    rng = random.Random(seed)
    options = [[rng.randrange(40, 43) for _ in range(rng.randint(1, 6))] for _ in range(20)]
    engine.flush_cache()
    found, cost = tree(engine, PREFIX, options)
    assert cost.computed == len(PREFIX) + len(Options.of(options))
    assert_same(engine, found, one_by_one(engine, PREFIX, options))


def test_a_tree_larger_than_a_pass_takes_several(engine: Engine) -> None:
    rng = random.Random(5)
    options = [[rng.randrange(30, 60) for _ in range(4)] for _ in range(150)]
    assert len(Options.of(options)) > 256
    engine.flush_cache()
    found, cost = tree(engine, PREFIX, options)
    assert cost.computed == cost.prompt == len(PREFIX) + len(Options.of(options))
    some = rng.sample(range(100), 12)
    expected = one_by_one(engine, PREFIX, [options[i] for i in some])
    assert_same(engine, [found[i] for i in some], expected)


def test_a_tree_larger_than_the_pool_is_scored_in_groups(engine: Engine) -> None:
    rng = random.Random(6)
    options = [[rng.randrange(30, 300) for _ in range(8)] for _ in range(100)]
    engine.flush_cache()
    found, cost = tree(engine, PREFIX, options)
    assert cost.cached + cost.computed == cost.prompt
    some = rng.sample(range(100), 12)
    expected = one_by_one(engine, PREFIX, [options[i] for i in some])
    assert_same(engine, [found[i] for i in some], expected)
    assert loop.wait(engine.desk.state()).leased == 0


def test_trees_beside_generations_that_fill_the_pool_come_out_the_same(engine: Engine) -> None:
    """Retractions, too: what was scored before is scored anew and alike."""
    rng = random.Random(7)
    prefixes = [[rng.randrange(30, 490) for _ in range(60)] for _ in range(3)]
    options = [[rng.randrange(30, 60) for _ in range(4)] for _ in range(60)]
    expected = [one_by_one(engine, prefix, options[:5]) for prefix in prefixes]

    async def crowd() -> list[Any]:
        desk = engine.desk
        asks = [score_options(desk, prefix, options) for prefix in prefixes]
        from radixlm.runtime.desk.generate import GenerateRequest, generate, take_order

        ids = [[rng.randrange(30, 490) for _ in range(20)] for _ in range(8)]
        sampling = {"max_new_tokens": 60, "ignore_eos": True}
        fields = {"input_ids": ids, "sampling_params": sampling}
        request = take_order(desk, GenerateRequest.of(fields))
        return await asyncio.gather(*asks, generate(desk, request))

    *scores, _ = loop.wait(crowd())
    for (found, _), own in zip(scores, expected, strict=True):
        assert_same(engine, found[:5], own)
    assert loop.wait(engine.desk.state()).leased == 0


def test_a_select_that_is_given_up_leaves_nothing_behind(engine: Engine) -> None:
    options = [[a, b, a] for a in range(30, 50) for b in range(30, 50)]

    async def give_up() -> None:
        task = asyncio.create_task(score_options(engine.desk, PREFIX, options[:150]))
        await asyncio.sleep(0.002)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        for _ in range(500):
            state = await engine.desk.state()
            if state.running == state.waiting == 0:
                return
            await asyncio.sleep(0.01)
        raise AssertionError("it runs on")

    loop.wait(give_up())
    assert loop.wait(engine.desk.state()).leased == 0


def test_options_that_cannot_be_served_are_refused(engine: Engine) -> None:
    with pytest.raises(InvalidRequestError, match="longer than the model's context"):
        tree(engine, PREFIX, [[5], [6] * 600])
    with pytest.raises(InvalidRequestError, match="token id 600 is not in the vocabulary"):
        tree(engine, PREFIX, [[5, 6, 7], [600]])
    with pytest.raises(InvalidRequestError, match="0 choices"):
        loop.wait(score_choices(engine.desk, Tokens(PREFIX), []))


def test_choices_share_a_token_with_the_text_before_them(engine: Engine) -> None:
    choices = [" Paris", " Paris.", " London", ""]

    async def ask() -> Scores:
        return await score_choices(engine.desk, Tokens(PREFIX, "The capital is"), choices)

    scores = loop.wait(ask())
    encode = engine.desk.tokenizer.encode
    for choice, scored in zip(choices, scores.choices, strict=True):
        assert scored.tokens == encode("The capital is" + choice, add_special_tokens=False)
    meta = scores.meta_info
    assert meta["cached_tokens"] + meta["computed_tokens"] == meta["prompt_tokens"]
