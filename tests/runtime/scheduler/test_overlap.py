"""Passes launched before the one before is read: the same tokens, told the same way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import radixlm as rl
from radixlm.runtime.engine.runner import Runner

pytestmark = pytest.mark.slow

PROMPTS = ["The capital of France is", "Once upon a time", "1, 2, 3, 4,", "A", "def f(x):"]
SCHEMA = '{"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "boolean"}}}'


def engine(**options: Any) -> rl.Engine:
    return rl.Engine(in_process=True, check_invariants=True, **options)


@pytest.fixture(scope="module")
def reference() -> Iterator[rl.Engine]:
    with engine() as one:
        yield one


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU that is taken for a device which runs ahead; the order of work is then that of one."""
    monkeypatch.setattr(Runner, "is_asynchronous", property(lambda _: True))


KINDS: list[dict[str, Any]] = [
    {"temperature": 0},
    {"temperature": 0.9, "top_p": 0.9},
    {"temperature": 0, "json_schema": SCHEMA},
    {"temperature": 1.2, "regex": "[a-z]{3,9} [0-9]+"},
    {"temperature": 0.7, "frequency_penalty": 0.5, "min_new_tokens": 5},
]


def answers(one: rl.Engine, **options: Any) -> list[Any]:
    params = [
        {"max_new_tokens": 3 + 5 * index, "sampling_seed": 7 + index, **KINDS[index % len(KINDS)]}
        for index in range(10)
    ]
    prompts = [PROMPTS[index % 5] + " " * (index // 5) for index in range(10)]
    found = one.generate(prompts, params, **options)
    assert isinstance(found, list)
    return found


def flat(entries: Any) -> list[float]:
    """Every number of nested lists; nothing stands for what is unknown."""
    if isinstance(entries, list | tuple):
        return [number for entry in entries for number in flat(entry)]
    return [-1.0 if entries is None else float(entries)]


KEPT = ("finish_reason", "prompt_tokens", "completion_tokens", "output_token_logprobs")


def told(found: list[Any]) -> list[Any]:
    return [
        (one["text"], one["output_ids"], {name: one["meta_info"].get(name) for name in KEPT})
        for one in found
    ]


@pytest.mark.usefixtures("ahead")
def test_running_ahead_changes_no_answer(reference: rl.Engine) -> None:
    with engine() as one:
        assert told(answers(one)) == told(answers(reference))


@pytest.mark.usefixtures("ahead")
def test_log_probabilities_come_with_their_tokens(reference: rl.Engine) -> None:
    options = {"return_logprob": True, "logprob_start_len": 0, "top_logprobs_num": 2}
    with engine() as one:
        mine, expected = answers(one, **options), answers(reference, **options)
    for name in ("input_token_logprobs", "output_token_logprobs", "output_top_logprobs"):
        for got, wanted in zip(mine, expected, strict=True):
            pairs = [flat(one["meta_info"][name]) for one in (got, wanted)]
            assert pairs[0] == pytest.approx(pairs[1], abs=1e-5)


@pytest.mark.usefixtures("ahead")
def test_a_small_pool_retracts_and_resumes_to_the_same_end(reference: rl.Engine) -> None:
    with engine(max_total_tokens=96) as one:
        assert told(answers(one)) == told(answers(reference))


@pytest.mark.usefixtures("ahead")
def test_a_client_that_leaves_takes_its_slots_along() -> None:
    with engine() as one:
        stream = one.generate(PROMPTS[0], {"max_new_tokens": 500, "temperature": 0}, stream=True)
        for _ in range(3):
            next(stream)
        stream.close()
        assert one.generate(PROMPTS[1], {"max_new_tokens": 4, "temperature": 0})["output_ids"]
        assert one.flush_cache()
