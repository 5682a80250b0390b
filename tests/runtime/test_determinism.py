"""The same seed gives the same tokens, whatever else is in the batch."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from radixlm.runtime.offline import Engine

# A third of what the crowd needs, so that some are retracted; chunks that cut every prompt.
CROWDED = {"max_total_tokens": 220, "chunked_prefill_size": 7}
ROOMY = {"max_total_tokens": 3000}


@pytest.fixture(scope="module")
def alone(tiny_model: str) -> Iterator[Engine]:
    with Engine(model_path=tiny_model, in_process=True, **ROOMY) as engine:
        yield engine


@pytest.fixture(scope="module")
def crowded(tiny_model: str) -> Iterator[Engine]:
    with Engine(model_path=tiny_model, in_process=True, check_invariants=True, **CROWDED) as engine:
        yield engine


def wish(rng: random.Random, stem: list[int]) -> dict[str, Any]:
    """One request: greedy or sampled in some way, with a prefix that others may share."""
    tokens = [*stem[: rng.randrange(len(stem))], *rng.choices(range(3, 500), k=rng.randint(1, 30))]
    ways: list[dict[str, Any]] = [
        {"temperature": 0},
        {"temperature": 1.0},
        {"temperature": 0.8, "top_p": 0.9},
        {"temperature": 1.2, "top_k": 20, "min_p": 0.01},
        {"temperature": 0.9, "frequency_penalty": 0.5},
        {"temperature": 0.9, "regex": "[a-z ]{12,60}"},
    ]
    sampling = {**rng.choice(ways), "max_new_tokens": rng.randint(40, 80), "ignore_eos": True}
    return {
        "input_ids": tokens,
        "sampling_params": {**sampling, "sampling_seed": rng.getrandbits(40)},
    }


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_tokens_do_not_depend_on_neighbours_chunks_or_retraction(
    seed: int, alone: Engine, crowded: Engine
) -> None:
    rng = random.Random(seed)
    stem = rng.choices(range(3, 500), k=40)
    wishes = [wish(rng, stem) for _ in range(8)]
    truth = [alone.generate(**each)["output_ids"] for each in wishes]
    crowded.flush_cache()
    found = crowded.generate(
        input_ids=[each["input_ids"] for each in wishes],
        sampling_params=[each["sampling_params"] for each in wishes],
    )
    assert [result["output_ids"] for result in found] == truth
    assert sum(result["meta_info"]["num_retractions"] for result in found) > 0


@pytest.mark.slow
def test_on_the_torch_path_a_request_alone_gives_the_same_tokens_again(tiny_model: str) -> None:
    rng = random.Random(7)
    stem = rng.choices(range(3, 500), k=40)
    wishes = [wish(rng, stem) for _ in range(6)]
    runs: list[list[Any]] = []
    with Engine(
        model_path=tiny_model, in_process=True, disable_cpu_kernels=True, **ROOMY
    ) as engine:
        for _ in range(2):
            found: list[Any] = []
            for each in wishes:
                assert engine.flush_cache()
                found.append(engine.generate(**each)["output_ids"])
            runs.append(found)
    assert runs[0] == runs[1]
