"""Choosing the next token of each sequence from its logits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...constrained.bitmask import apply_bitmask
from ..messages import TopLogprobs
from ..request import SamplingParams
from . import logits as arithmetic
from .logits import Tokens

FAILED = -1  # in place of a token: the row's logits held NaN or inf, or all were forbidden


@dataclass(frozen=True, slots=True)
class SampleRow:
    """What the sampler knows about one sequence."""

    params: SamplingParams
    seed: int = 0
    position: int = 0  # tokens generated so far: with the seed, it determines the noise
    prompt: Tokens = ()  # read by the repetition penalty only
    generated: Tokens = ()  # read by the three penalties only
    forbidden: Sequence[int] = ()  # e.g. stop ids while below min_new_tokens


@dataclass(frozen=True, slots=True)
class Sampled:
    """The outcome for a batch."""

    tokens: list[int]  # [B] `FAILED` where no token can be chosen
    logprobs: list[float]  # [B] of the tokens, nats; NaN for a failed one; empty if not asked for
    top_logprobs: list[TopLogprobs]  # [B] empty if not asked for


class Sampler:
    """Samples for whole batches; it keeps no state between calls.

    In this order: logit bias; repetition, presence and frequency penalties; forbidden ids; the
    grammar's mask. Then the likeliest token for greedy rows, and for the others temperature,
    top-k, top-p, min-p and Gumbel noise. Log-probabilities are those of the raw model
    distribution, before all of this, as in SGLang.
    """

    def sample(
        self,
        logits: Tensor,
        rows: Sequence[SampleRow],
        *,
        mask: Tensor | None = None,
        mask_rows: Sequence[int] | None = None,
        logprobs: bool = False,
        top: int = 0,
    ) -> Sampled:
        """Choose one token a row. A row whose logits are unusable fails alone.

        Args:
            logits: [B, vocab] f32; not changed.
            rows: [B].
            mask: [constrained, ceil(vocab / 32)] i32 on any device, as `apply_bitmask` has it.
            mask_rows: [constrained] the rows that it constrains; None: all, in order.
            logprobs: whether the chosen tokens' log-probabilities are wanted.
            top: how many of the likeliest tokens' log-probabilities are wanted.

        Cost: one `max` where every row is greedy and nothing was edited. The device is waited for
        once for the tokens, and once for filters.
        """
        edited = _edited(logits, rows)
        if mask is not None:
            edited = logits.clone() if edited is logits else edited
            _apply_mask(edited, mask.to(logits.device, non_blocking=True), mask_rows)
        best, tokens = edited.max(-1)
        drawn = [index for index, row in enumerate(rows) if not row.params.is_greedy]
        if len(drawn) == len(rows) > 0:
            tokens = _draw(edited, rows)
        elif drawn:
            tokens[drawn] = _draw(edited[drawn], [rows[index] for index in drawn])
        # A maximum is NaN if any logit is, and -inf if none is left.
        chosen = tokens.masked_fill_(~best.isfinite(), FAILED).tolist()
        if not (logprobs or top):
            return Sampled(chosen, [], [])
        scores = arithmetic.logprobs(logits, [max(token, 0) for token in chosen], top)
        own = [
            torch.nan if token == FAILED else score
            for token, score in zip(chosen, scores.chosen, strict=True)
        ]
        return Sampled(chosen, own, scores.top)


def _edited(logits: Tensor, rows: Sequence[SampleRow]) -> Tensor:
    """Return a copy with biases, penalties and forbidden ids applied; itself if there are none."""
    biases: list[arithmetic.Edit] = []
    repetition: list[arithmetic.Edit] = []
    presence: list[arithmetic.Edit] = []
    frequency: list[arithmetic.Edit] = []
    forbidden: list[arithmetic.Edit] = []
    for index, row in enumerate(rows):
        params = row.params
        if params.logit_bias:
            biases.append((index, list(params.logit_bias), list(params.logit_bias.values())))
        if params.repetition_penalty != 1:
            repetition.append((index, row.prompt, params.repetition_penalty))
            repetition.append((index, row.generated, params.repetition_penalty))
        if params.presence_penalty:
            presence.append((index, row.generated, params.presence_penalty))
        if params.frequency_penalty:
            frequency.append((index, row.generated, params.frequency_penalty))
        if row.forbidden:
            forbidden.append((index, row.forbidden, -torch.inf))
    if not (biases or repetition or presence or frequency or forbidden):
        return logits
    logits = logits.clone()
    arithmetic.add_bias(logits, biases)
    arithmetic.penalize_repetition(logits, repetition)
    arithmetic.penalize_presence(logits, presence)
    arithmetic.penalize_frequency(logits, frequency)
    arithmetic.add_bias(logits, forbidden)
    return logits


def _apply_mask(logits: Tensor, mask: Tensor, rows: Sequence[int] | None) -> None:
    if rows is None or list(rows) == list(range(len(logits))):
        apply_bitmask(logits, mask)
        return
    picked = logits[list(rows)]
    apply_bitmask(picked, mask)
    logits[list(rows)] = picked


def _draw(logits: Tensor, rows: Sequence[SampleRow]) -> Tensor:
    """Return [rows] i64: a token sampled for each."""
    temperatures = torch.tensor([row.params.temperature for row in rows], device=logits.device)
    scaled = logits / temperatures[:, None]
    filtered = [index for index, row in enumerate(rows) if _is_filtered(row.params)]
    if filtered:
        picked = scaled[filtered]
        params = [rows[index].params for index in filtered]
        arithmetic.keep_likeliest(
            picked,
            [one.top_k for one in params],
            [one.top_p for one in params],
            [one.min_p for one in params],
        )
        scaled[filtered] = picked
    keys = [arithmetic.noise_key(row.seed, row.position) for row in rows]
    noise = arithmetic.gumbel_noise(keys, logits.shape[-1], logits.device)
    return scaled.add_(noise).argmax(-1)


def _is_filtered(params: SamplingParams) -> bool:
    return params.top_k != -1 or params.top_p < 1 or params.min_p > 0
