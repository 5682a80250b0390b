"""Each function against a twin that goes token by token."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from radixlm.runtime.engine import logits as arithmetic

CPU = torch.device("cpu")


def random_logits(rows: int, vocab: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, vocab, generator=torch.Generator().manual_seed(seed)) * 3


def test_logprobs_are_of_the_raw_distribution() -> None:
    logits = random_logits(3, 7)
    expected = logits.log_softmax(-1)
    found = arithmetic.logprobs(logits, [2, 6, 0], top=2, ids=[5, 1]).read()
    assert found.chosen == pytest.approx([float(expected[i, t]) for i, t in enumerate((2, 6, 0))])
    for position in range(3):
        best = sorted(enumerate(expected[position].tolist()), key=lambda pair: -pair[1])[:2]
        assert [token for _, token in found.top[position]] == [token for token, _ in best]
        assert [p for p, _ in found.top[position]] == pytest.approx([p for _, p in best], abs=1e-6)
        assert found.ids[position] == [
            (pytest.approx(float(expected[position, token]), abs=1e-6), token) for token in (5, 1)
        ]


def test_logprobs_give_only_what_is_asked_for() -> None:
    found = arithmetic.logprobs(random_logits(2, 5), np.array([1, 2], dtype=np.int32)).read()
    assert (len(found.chosen), found.top, found.ids) == (2, [], [])
    assert arithmetic.logprobs(torch.empty(0, 5), [], top=1, ids=[2]).read().chosen == []


@pytest.mark.parametrize("seed", range(5))
def test_penalties_agree_with_going_token_by_token(seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits = random_logits(3, 20, seed)
    expected = logits.clone()
    prompt, generated = rng.integers(0, 20, 9).tolist(), rng.integers(0, 20, 12).tolist()
    for token in set(prompt + generated):
        expected[1, token] *= 1 / 1.3 if expected[1, token] > 0 else 1.3
    for token, count in Counter(generated).items():
        expected[1, token] -= 0.5 + 0.25 * count
    arithmetic.penalize_repetition(logits, [(1, prompt, 1.3), (1, generated, 1.3)])
    arithmetic.penalize_presence(logits, [(1, generated, 0.5)])
    arithmetic.penalize_frequency(logits, [(1, generated, 0.25)])
    torch.testing.assert_close(logits, expected)


def test_bias_is_added_to_the_named_tokens_alone() -> None:
    logits = torch.zeros(2, 4)
    arithmetic.add_bias(logits, [(0, [1, 3], [2.0, -torch.inf]), (1, [0], 1.5), (1, [], 9.0)])
    assert logits.tolist() == [[0, 2, 0, -math.inf], [1.5, 0, 0, 0]]


def keep(
    logits: Tensor, top_k: Sequence[int], top_p: Sequence[float], min_p: Sequence[float]
) -> None:
    arithmetic.keep_likeliest(
        logits,
        np.array(top_k),
        np.array(top_p, dtype=np.float32),
        np.array(min_p, dtype=np.float32),
    )


def noise_key(seed: int, position: int) -> int:
    keys = arithmetic.noise_keys(np.array([seed], dtype=np.uint64), np.array([position]))
    return int(keys[0])


def survivors(probs: list[float], top_k: int, top_p: float, min_p: float) -> set[int]:
    order = sorted(range(len(probs)), key=lambda token: -probs[token])
    kept: set[int] = set()
    total = 0.0
    for rank, token in enumerate(order):
        if (0 < top_k <= rank) or total >= top_p or probs[token] < min_p * probs[order[0]]:
            break
        kept.add(token)
        total += probs[token]
    return kept


@pytest.mark.parametrize("seed", range(20))
def test_filters_keep_what_a_walk_down_the_ranking_keeps(seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits = random_logits(6, 50, seed)
    top_k = [-1, 1, 7, 50, 99, int(rng.integers(1, 50))]
    top_p = [1.0, 0.9, float(rng.uniform(0.1, 1)), 0.5, 1.0, 0.95]
    min_p = [0.0, 0.0, 0.02, float(rng.uniform(0, 1)), 1.0, 0.0]
    filtered = logits.clone()
    keep(filtered, top_k, top_p, min_p)
    for row in range(6):
        expected = survivors(
            logits[row].double().softmax(-1).tolist(), top_k[row], top_p[row], min_p[row]
        )
        kept = set(filtered[row].isfinite().nonzero().flatten().tolist())
        assert kept == expected
        assert torch.equal(filtered[row, list(kept)], logits[row, list(kept)])


@pytest.mark.parametrize("flatness", [0.5, 1.0, 4.0])
def test_filters_of_a_large_vocabulary_agree_however_many_they_keep(flatness: float) -> None:
    logits = random_logits(2, 3000) / flatness
    filtered = logits.clone()
    keep(filtered, [-1, 400], [0.8, 1.0], [0.0, 0.0])
    for row, (top_k, top_p) in enumerate([(-1, 0.8), (400, 1.0)]):
        probs = logits[row].double().softmax(-1).tolist()
        kept = set(filtered[row].isfinite().nonzero().flatten().tolist())
        assert kept == survivors(probs, top_k, top_p, 0.0)


def test_filters_of_a_row_do_not_depend_on_the_others() -> None:
    logits = random_logits(2, 50)
    alone, together = logits[:1].clone(), logits.clone()
    keep(alone, [5], [0.9], [0.0])
    keep(together, [5, -1], [0.9, 0.5], [0.0, 0.0])
    assert torch.equal(alone[0], together[0])


def test_top_p_of_one_keeps_everything_whatever_the_rounding() -> None:
    logits = random_logits(1, 5000)
    keep(logits, [-1], [1.0], [0.0])
    assert logits.isfinite().all()


def test_noise_is_the_same_on_every_call_and_for_any_vocabulary() -> None:
    key = noise_key(7, 3)
    narrow = arithmetic.gumbel_noise(np.array([key]), 10, CPU)
    wide = arithmetic.gumbel_noise(np.array([noise_key(1, 1), key]), 1000, CPU)
    assert torch.equal(narrow[0], wide[1, :10])


def test_the_integer_hash_is_splitmix64() -> None:
    """Reference outputs of the generator seeded with 1234567 (Rosetta Code)."""
    golden = 0x9E3779B97F4A7C15
    states = np.array([(1234567 + golden * step) % 2**64 for step in (1, 2, 3)], dtype=np.uint64)
    assert arithmetic._mix(states).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


def test_noise_is_gumbel() -> None:
    keys = np.array([noise_key(seed, 0) for seed in range(50)])
    noise = arithmetic.gumbel_noise(keys, 4000, CPU).double()
    assert noise.isfinite().all()
    assert float(noise.mean()) == pytest.approx(0.5772, abs=0.01)
    assert float(noise.var()) == pytest.approx(math.pi**2 / 6, abs=0.03)
    ranks = (-(-noise).exp()).exp().flatten().sort().values  # uniform if the noise is Gumbel
    ideal = (torch.arange(len(ranks)) + 0.5) / len(ranks)
    assert float((ranks - ideal).abs().max()) < 1.63 / len(ranks) ** 0.5  # Kolmogorov-Smirnov, 1 %


@pytest.mark.parametrize("vary", ["seed", "position"])
def test_tokens_drawn_with_noise_follow_the_softmax(vary: str) -> None:
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0, 1.5, -3.0, 0.5, 0.0])
    draws = 20_000
    keys = [noise_key(*((i, 5) if vary == "seed" else (5, i))) for i in range(draws)]
    drawn = (logits + arithmetic.gumbel_noise(np.array(keys), 8, CPU)).argmax(-1)
    expected = logits.double().softmax(-1) * draws
    chi_square = float(((drawn.bincount(minlength=8) - expected) ** 2 / expected).sum())
    assert chi_square < 24.3  # 7 degrees of freedom, 0.1 %
