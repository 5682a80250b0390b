from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from radixlm.runtime.engine.sampler import FAILED, Sampler, SampleRow
from radixlm.runtime.request import SamplingParams

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")


@pytest.fixture(scope="module", params=[pytest.param("kernel", marks=needs_compiler), "torch"])
def sampler(request: pytest.FixtureRequest) -> Sampler:
    return Sampler(cpu_kernels=request.param == "kernel")


def row(*, seed: int = 0, position: int = 0, **params: Any) -> SampleRow:
    return SampleRow(SamplingParams(**params), seed=seed, position=position)


def greedy(**params: Any) -> SampleRow:
    return row(temperature=0.0, **params)


def random_logits(rows: int, vocab: int = 40, seed: int = 0) -> Tensor:
    return torch.randn(rows, vocab, generator=torch.Generator().manual_seed(seed)) * 2


def packed(allowed: list[list[int]], vocab: int = 40) -> Tensor:
    mask = np.zeros((len(allowed), -(-vocab // 32) * 32), dtype=np.uint8)
    for index, tokens in enumerate(allowed):
        mask[index, tokens] = 1
    return torch.from_numpy(np.packbits(mask, axis=-1, bitorder="little").view(np.int32))


def pairs(*held: tuple[int, int]) -> NDArray[np.int32]:
    """A row beside its row of the mask, for each."""
    return np.array(held, dtype=np.int32)


def test_greedy_rows_take_the_likeliest_token(sampler: Sampler) -> None:
    logits = random_logits(3)
    rows = [greedy(), row(top_k=1), row(temperature=1e-7)]
    assert sampler.sample(logits, rows).tolist() == logits.argmax(-1).tolist()


@pytest.mark.parametrize("position", range(5))
def test_a_row_draws_the_same_token_whatever_else_is_in_the_batch(
    sampler: Sampler, position: int
) -> None:
    logits = random_logits(4)
    mine = row(seed=11, position=position, top_p=0.9, temperature=1.3)
    others = [greedy(), row(seed=3, top_k=5), row(seed=4, min_p=0.1)]
    alone = sampler.sample(logits[:1], [mine]).tolist()
    together = sampler.sample(logits[[1, 0, 2, 3]], [others[0], mine, *others[1:]]).tolist()
    assert together[1] == alone[0]


def test_filtered_rows_draw_from_what_is_left_in_proportion(sampler: Sampler) -> None:
    draws = 4000
    logits = torch.tensor([3.0, 2.5, 2.0, 1.0, 0.0, -1.0]).expand(draws, 6)
    rows = [row(seed=seed, temperature=0.7, top_k=3) for seed in range(draws)]
    counts = sampler.sample(logits, rows).bincount(minlength=6)
    expected = (logits[0, :3].double() / 0.7).softmax(-1) * draws
    assert counts[3:].sum() == 0
    assert float(((counts[:3] - expected) ** 2 / expected).sum()) < 13.8  # 2 degrees, 0.1 %


def test_steps_follow_the_documented_order(sampler: Sampler) -> None:
    """Bias, then repetition (which would turn a bias added later around), then forbidden ids."""
    logits = torch.tensor([[1.0, 0.9, -5.0, 0.0]])
    params = SamplingParams(temperature=0.0, logit_bias={2: 7.0}, repetition_penalty=2.0)
    seen = SampleRow(params, prompt=[2], generated=[])
    assert sampler.sample(logits, [seen]).tolist() == [0]  # token 2: (-5 + 7) / 2 is 1.0, a tie
    forbidding = SampleRow(params, prompt=[2], forbidden=[0])
    assert sampler.sample(logits, [forbidding]).tolist() == [2]


@pytest.mark.parametrize(
    ("params", "token"),
    [({"frequency_penalty": 0.3}, 1), ({"presence_penalty": 0.3}, 2), ({}, 0)],
)
def test_penalties_push_repeated_tokens_down(
    sampler: Sampler, params: dict[str, Any], token: int
) -> None:
    # Token 0 came three times, token 1 once, token 2 never.
    logits = torch.tensor([[2.0, 1.9, 1.5 if "frequency_penalty" in params else 1.75]])
    seen = SampleRow(SamplingParams(temperature=0.0, **params), generated=[0, 1, 0, 0])
    assert sampler.sample(logits, [seen]).tolist() == [token]


def test_the_mask_binds_its_rows_alone(sampler: Sampler) -> None:
    logits = random_logits(3)
    mask = packed([[4, 33]])
    tokens = sampler.sample(
        logits, [greedy(), greedy(), greedy()], mask=mask, pairs=pairs((1, 0))
    ).tolist()
    best = logits.argmax(-1).tolist()
    assert tokens == [best[0], 4 if logits[1, 4] > logits[1, 33] else 33, best[2]]


@pytest.mark.parametrize("held", [None, [(0, 0), (1, 1)]])
def test_a_mask_for_every_row_binds_sampled_and_greedy_rows(
    sampler: Sampler, held: list[tuple[int, int]] | None
) -> None:
    mask = packed([[7], [39]])
    rows = [row(seed=1), greedy()]
    own = None if held is None else pairs(*held)
    sampled = sampler.sample(random_logits(2), rows, mask=mask, pairs=own)
    assert sampled.tolist() == [7, 39]


def test_a_mask_in_another_order_still_meets_its_rows(sampler: Sampler) -> None:
    mask = packed([[7], [39]])
    sampled = sampler.sample(
        random_logits(2), [greedy(), row()], mask=mask, pairs=pairs((1, 0), (0, 1))
    )
    assert sampled.tolist() == [39, 7]


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize("params", [{"temperature": 0.0}, {}, {"top_p": 0.5}])
def test_a_row_with_unusable_logits_fails_alone(
    sampler: Sampler, bad: float, params: dict[str, Any]
) -> None:
    logits = random_logits(3)
    rows = [row(seed=index, **params) for index in range(3)]
    expected = sampler.sample(logits, rows).tolist()
    logits[1, 5] = bad
    assert sampler.sample(logits, rows).tolist() == [expected[0], FAILED, expected[2]]


def test_a_row_with_nothing_allowed_fails_alone(sampler: Sampler) -> None:
    logits = random_logits(2)
    tokens = sampler.sample(
        logits, [row(), greedy()], mask=packed([[]]), pairs=pairs((0, 0))
    ).tolist()
    assert tokens == [FAILED, int(logits[1].argmax())]


def test_logits_stay_as_they_are(sampler: Sampler) -> None:
    logits = random_logits(2)
    before = logits.clone()
    rows = [greedy(logit_bias={3: 50.0}), row(seed=5, temperature=0.4, top_k=4)]
    assert sampler.sample(logits, rows)[0] == 3
    assert torch.equal(logits, before)


def test_an_empty_batch_has_no_tokens(sampler: Sampler) -> None:
    assert sampler.sample(torch.empty(0, 40), []).tolist() == []
