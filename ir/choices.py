"""How `select` decides, given the log-probabilities of each choice's tokens.

The first three methods carry SGLang's names; `distribution` is ours. Scores cover the tokens that
differ between the choices and what follows them, never a token of the prompt that all share.

Each reports a `distribution` over the choices, in order, and by its name the `normalization` of the
figures that it is made of: a choice's share is e to its figure, divided by the sum of these.

    joint         the sum of its tokens' log-probabilities: see `distribution`
    token_length  their mean
    gain          the mean of what the prompt adds to them
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import exp, fsum, inf
from typing import Any

import msgspec


class Scored(msgspec.Struct, frozen=True, kw_only=True):
    """One choice as the model sees it after the sequence.

    Attributes:
        tokens: ids of the text that the backend has not fixed yet, then the choice.
        logprobs: of each of the last `len(logprobs)` tokens (nats): those after the part that all
            choices share.
        unconditional: the same tokens' log-probabilities without the sequence before them.
    """

    tokens: list[int]
    logprobs: list[float]
    unconditional: list[float] | None = None


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """All choices, in order, and what scoring them cost where that is known: SGLang's keys."""

    choices: list[Scored]
    meta_info: dict[str, Any] = {}


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """The chosen index, and the figures that led to it."""

    index: int
    meta: dict[str, Any]


def _mean(values: Sequence[float]) -> float:  # `statistics.fmean` takes 10 ms to import
    return fsum(values) / len(values) if values else 0.0


def mean_logprobs(scored: Sequence[Scored]) -> list[float]:
    """Return each choice's mean log-probability per token (nats); 0 for an empty choice."""
    return [_mean(choice.logprobs) for choice in scored]


def argmax(values: Sequence[float]) -> int:
    """Return the index of the greatest value; the first of equals."""
    return max(range(len(values)), key=values.__getitem__)


def _shares(normalization: str, figures: Sequence[float]) -> dict[str, Any]:
    """The choices' shares of e to the power of their figures; equal where none is above -inf."""
    greatest = max(figures)
    weights = [1.0 if greatest == -inf else exp(figure - greatest) for figure in figures]
    whole = fsum(weights)
    shares = [weight / whole for weight in weights]
    return {"normalization": normalization, "distribution": shares}


def _joint(scored: Sequence[Scored]) -> list[float]:
    return [fsum(choice.logprobs) for choice in scored]


def token_length_normalized(scored: Sequence[Scored]) -> Decision:
    """Choose the greatest mean log-probability per token."""
    means = mean_logprobs(scored)
    return Decision(index=argmax(means), meta=_shares("token_length", means))


def greedy_token_selection(scored: Sequence[Scored]) -> Decision:
    """Choose as greedy decoding over the choices would: token by token, keep the likeliest.

    A choice that has ended stays in with its own mean. The distribution that is reported is the
    joint one, whose greatest may be another choice.
    """
    means = mean_logprobs(scored)
    width = max((len(choice.logprobs) for choice in scored), default=0)
    matrix = [
        [*choice.logprobs, *([mean] * (width - len(choice.logprobs)))]
        for choice, mean in zip(scored, means, strict=True)
    ]
    alive = list(range(len(scored)))
    for column in range(width):
        best = max(matrix[i][column] for i in alive)
        alive = [i for i in alive if matrix[i][column] == best]
        if len(alive) == 1:
            break
    shares = _shares("joint", _joint(scored))
    return Decision(index=alive[0], meta={**shares, "greedy_logprob_matrix": matrix})


def unconditional_likelihood_normalized(scored: Sequence[Scored]) -> Decision:
    """Choose the greatest mean gain of log-probability that the prompt gives the tokens."""
    gains = [
        _mean([c - u for c, u in zip(choice.logprobs, choice.unconditional or (), strict=True)])
        for choice in scored
    ]
    return Decision(
        index=argmax(gains),
        meta={
            **_shares("gain", gains),
            "unconditional_token_logprobs": [choice.unconditional for choice in scored],
            "normalized_unconditional_prompt_logprobs": gains,
        },
    )


def distribution(scored: Sequence[Scored]) -> Decision:
    """Choose the most probable choice, and report the probabilities of all, in order.

    A choice's probability is the product over all its scored tokens, divided by the sum of these
    products: the chance of this choice given that one of them follows. Length is not made up for,
    so a longer choice is rarely the likelier one. What is meant exactly:

    * A choice counts as the tokens that its text is encoded to; other spellings of the same text in
      tokens are left out, as a model hardly ever writes them.
    * A choice stands for every text that begins with it. If one is the beginning of another ("no",
      "not sure"), the longer one's chance lies within the shorter one's and is counted in both. Let
      all end alike (in a full stop, a line break) where they are to exclude each other.
    * At the very start of a text the first token counts as certain, for every choice.

    All are equal where every one is impossible.
    """
    totals = _joint(scored)
    return Decision(index=argmax(totals), meta=_shares("joint", totals))


METHODS: dict[str, Callable[[Sequence[Scored]], Decision]] = {
    method.__name__: method
    for method in (
        token_length_normalized,
        greedy_token_selection,
        unconditional_likelihood_normalized,
        distribution,
    )
}
NEEDS_UNCONDITIONAL = frozenset({"unconditional_likelihood_normalized"})
