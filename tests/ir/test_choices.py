from itertools import zip_longest
from math import exp, inf, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radixlm.ir.choices import (
    METHODS,
    NEEDS_UNCONDITIONAL,
    Scored,
    argmax,
    distribution,
    greedy_token_selection,
    mean_logprobs,
    token_length_normalized,
    unconditional_likelihood_normalized,
)

LOGPROBS = st.lists(st.sampled_from([-4.0, -2.0, -1.0, -0.5, 0.0]), max_size=4)


def scored(*rows: list[float], unconditional: list[list[float]] | None = None) -> list[Scored]:
    return [
        Scored(
            tokens=list(range(len(row))),
            logprobs=row,
            unconditional=None if unconditional is None else unconditional[i],
        )
        for i, row in enumerate(rows)
    ]


@pytest.mark.parametrize(
    ("rows", "index"),
    [
        ([[-1.0]], 0),
        ([[-2.0], [-1.0]], 1),
        ([[-1.0], [-1.0]], 0),  # a tie: the first
        ([[-1.0, -1.0, -1.0], [-2.0]], 0),  # length does not matter, the mean does
        ([[-2.0, 0.0], [-1.5]], 0),
        ([[], [-1.0]], 0),  # nothing to score counts as certain
    ],
)
def test_length_normalized_takes_the_greatest_mean(rows: list[list[float]], index: int) -> None:
    decision = token_length_normalized(scored(*rows))
    assert decision.index == index
    assert decision.meta["normalization"] == "token_length"
    assert sum(decision.meta["distribution"]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("rows", "index"),
    [
        ([[-1.0]], 0),
        ([[-1.0, -9.0], [-2.0, 0.0]], 0),  # greedy looks at the first token first
        ([[-1.0, -2.0], [-1.0, -1.0]], 1),
        ([[-1.0], [-1.0, -2.0]], 0),  # the ended one stays in with its mean, -1
        ([[-1.0], [-1.0, -0.5]], 1),
        ([[-1.0, -1.0], [-1.0, -1.0]], 0),
        ([[], []], 0),
        ([[-1.0], []], 1),
    ],
)
def test_greedy_goes_token_by_token(rows: list[list[float]], index: int) -> None:
    assert greedy_token_selection(scored(*rows)).index == index


def test_greedy_reports_the_padded_matrix() -> None:
    decision = greedy_token_selection(scored([-1.0, -3.0], [-2.0]))
    assert decision.meta == {
        "greedy_logprob_matrix": [[-1.0, -3.0], [-2.0, -2.0]],
        "normalization": "joint",
        "distribution": pytest.approx([exp(-2) / (1 + exp(-2)), 1 / (1 + exp(-2))]),
    }


def test_unconditional_takes_the_greatest_gain_over_no_prompt() -> None:
    choices = scored([-1.0, -1.0], [-2.0], unconditional=[[-1.0, -1.5], [-6.0]])
    decision = unconditional_likelihood_normalized(choices)
    assert decision.index == 1
    assert decision.meta == {
        "normalization": "gain",
        "distribution": pytest.approx([exp(-3.75) / (1 + exp(-3.75)), 1 / (1 + exp(-3.75))]),
        "unconditional_token_logprobs": [[-1.0, -1.5], [-6.0]],
        "normalized_unconditional_prompt_logprobs": [0.25, 4.0],
    }


def test_unconditional_scores_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        unconditional_likelihood_normalized(scored([-1.0], unconditional=[[]]))


def test_methods_are_known_by_name() -> None:
    assert {name: method.__name__ for name, method in METHODS.items()} == {n: n for n in METHODS}
    assert set(METHODS) > NEEDS_UNCONDITIONAL


@given(st.lists(st.floats(allow_nan=False), min_size=1))
def test_argmax_is_the_first_greatest(values: list[float]) -> None:
    assert argmax(values) == values.index(max(values))


@given(st.lists(LOGPROBS, min_size=1, max_size=5))
def test_greedy_is_the_first_lexicographic_maximum_of_the_padded_rows(
    rows: list[list[float]],
) -> None:
    means = mean_logprobs(scored(*rows))
    columns = list(zip_longest(*rows))
    padded = [
        tuple(means[i] if column[i] is None else column[i] for column in columns)
        for i in range(len(rows))
    ]
    assert greedy_token_selection(scored(*rows)).index == padded.index(max(padded))


@given(st.lists(LOGPROBS, min_size=1, max_size=5))
def test_without_a_prior_the_unconditional_method_is_the_normalized_one(
    rows: list[list[float]],
) -> None:
    flat = [[0.0] * len(row) for row in rows]
    choices = scored(*rows, unconditional=flat)
    assert (
        unconditional_likelihood_normalized(choices).index == token_length_normalized(choices).index
    )


@pytest.mark.parametrize(
    ("rows", "index", "probabilities"),
    [
        ([[-3.0]], 0, [1.0]),
        ([[log(0.5), log(0.5)], [log(0.75)]], 1, [0.25, 0.75]),  # the product, not the mean
        ([[log(0.2)], [log(0.2), 0.0]], 0, [0.5, 0.5]),  # one may begin with the other
        ([[-9000.0], [-9000.0 + log(3)]], 1, [0.25, 0.75]),  # too small to be a float
        ([[-inf], [-1.0]], 1, [0.0, 1.0]),
        ([[-inf], [-inf]], 0, [0.5, 0.5]),
        ([[], [log(0.25)]], 0, [0.8, 0.2]),  # nothing to score counts as certain
    ],
)
def test_the_distribution_weighs_whole_choices(
    rows: list[list[float]], index: int, probabilities: list[float]
) -> None:
    decision = distribution(scored(*rows))
    assert decision.index == index
    shares = pytest.approx(probabilities)
    assert decision.meta == {"normalization": "joint", "distribution": shares}


@given(st.lists(LOGPROBS, min_size=1, max_size=5))
def test_the_distribution_is_the_normalised_product_of_the_tokens_chances(
    rows: list[list[float]],
) -> None:
    decision = distribution(scored(*rows))
    chances = [exp(sum(row)) for row in rows]
    expected = [chance / sum(chances) for chance in chances]
    assert decision.meta["distribution"] == pytest.approx(expected)
    assert decision.index == argmax([sum(row) for row in rows])
