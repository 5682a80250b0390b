"""Pure arithmetic on logits: log-probabilities, penalties, filters, noise.

A logit tensor is [rows, vocab] f32. Functions that say "in place" change it; an edit names single
logits of a row, so that the cost follows the number of tokens named and not the vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..messages import TopLogprobs

FEW = 256  # tokens; a trained model's top-p seldom keeps more
Tokens = NDArray[np.int32] | Sequence[int]
Edit = tuple[int, Tokens, float | Sequence[float]]  # row, tokens of it, one value or one for each


@dataclass(frozen=True, slots=True)
class Logprobs:
    """Log-probabilities in nats at some positions; empty where they were not asked for."""

    chosen: list[float]  # [positions] of the token that stands there
    top: list[TopLogprobs]  # [positions] the likeliest, best first
    ids: list[TopLogprobs]  # [positions] of the ids asked for, in their order


@dataclass(frozen=True, slots=True)
class Scores:
    """The same on the device; what is no longer than 0 was not asked for."""

    chosen: Tensor  # [positions] f32
    best: Tensor  # [positions, top] f32
    best_ids: Tensor  # [positions, top] i64
    asked: Tensor  # [positions, ids] f32
    ids: Sequence[int]

    def read(self) -> Logprobs:
        """Wait for the device and return lists."""
        return Logprobs(
            chosen=self.chosen.tolist(),
            top=_pairs(self.best.tolist(), self.best_ids.tolist()) if self.best.numel() else [],
            ids=_pairs(self.asked.tolist(), [list(self.ids)] * len(self.chosen))
            if self.ids
            else [],
        )


def logprobs(
    logits: Tensor,
    token_ids: Tensor | NDArray[Any] | Sequence[int],
    top: int = 0,
    ids: Sequence[int] = (),
) -> Scores:
    """Return log-probabilities under the model's own distribution, log_softmax(logits).

    Neither temperature nor penalties nor masks count, as in SGLang.

    Args:
        logits: [positions, vocab] f32.
        token_ids: [positions] the token that follows each position; what is negative counts as 0.
        top: how many alternatives to report at each.
        ids: further tokens to report at each.
    """
    # Not logsumexp: on a CPU it wakes torch's threads for two rows, which was seen to take 8 ms.
    scores = logits.log_softmax(-1)
    if not isinstance(token_ids, Tensor):
        token_ids = torch.from_numpy(np.asarray(token_ids, dtype=np.int64))
    following = token_ids.to(logits.device, non_blocking=True).clamp(min=0)
    chosen = scores.gather(-1, following[:, None])[:, 0]
    best, best_ids = scores.topk(min(top, scores.shape[-1]), -1)
    return Scores(chosen, best, best_ids, asked=scores[:, list(ids)], ids=ids)


def logprobs_of(logits: Tensor, rows: NDArray[np.intp], token_ids: NDArray[np.int32]) -> Tensor:
    """Return [n] f32 the log-probability (nats) of each token after its row, as `logprobs` has it.

    Args:
        logits: [positions, vocab] f32.
        rows: [n].
        token_ids: [n].
    """
    scores = logits.log_softmax(-1)
    places = [torch.from_numpy(x.astype(np.int64)).to(logits.device) for x in (rows, token_ids)]
    return scores[places[0], places[1]]


def _pairs(values: list[list[float]], tokens: list[list[int]]) -> list[TopLogprobs]:
    return [list(zip(row, of_row, strict=True)) for row, of_row in zip(values, tokens, strict=True)]


def copy_of(logits: Tensor, rows: Sequence[int] | None = None) -> Tensor:
    """Return a copy of all rows, or of some.

    On a CPU by numpy: torch's threads were seen to take 2 ms for 16 rows where it takes 0.1.
    """
    if logits.device.type == "cpu":
        values = logits.numpy()
        return torch.from_numpy(values.copy() if rows is None else values[list(rows)])
    return logits.clone() if rows is None else logits[list(rows)]


def add_bias(logits: Tensor, edits: Sequence[Edit]) -> None:
    """Add each edit's value to its logits, in place; a token named twice gets it twice."""
    if edits:
        rows, tokens, values = _flatten(edits, logits.device)
        logits.index_put_((rows, tokens), values, accumulate=True)


def penalize_repetition(logits: Tensor, edits: Sequence[Edit]) -> None:
    """Divide positive logits by the penalty and multiply negative ones, in place.

    However often a token is named, it is penalised once. Source: CTRL (arXiv:1909.05858), with the
    sign rule of Hugging Face's processor.
    """
    if edits:
        rows, tokens, values = _flatten(edits, logits.device)
        seen = logits[rows, tokens]
        logits[rows, tokens] = torch.where(seen > 0, seen / values, seen * values)


def penalize_presence(logits: Tensor, edits: Sequence[Edit]) -> None:
    """Subtract each edit's value from its logits, in place, once however often a token is named."""
    if edits:
        rows, tokens, values = _flatten(edits, logits.device)
        logits[rows, tokens] = logits[rows, tokens] - values


def penalize_frequency(logits: Tensor, edits: Sequence[Edit]) -> None:
    """Subtract each edit's value from its logits, in place, each time a token is named."""
    if edits:
        rows, tokens, values = _flatten(edits, logits.device)
        logits.index_put_((rows, tokens), -values, accumulate=True)


def _flatten(edits: Sequence[Edit], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return rows [n] i64, tokens [n] i64 and values [n] f32 of all edits."""
    lengths = [len(tokens) for _, tokens, _ in edits]
    rows = np.repeat([row for row, _, _ in edits], lengths)
    tokens = np.concatenate([np.asarray(tokens, dtype=np.int64) for _, tokens, _ in edits])
    values = [np.broadcast_to(value, n) for (_, _, value), n in zip(edits, lengths, strict=True)]
    return (
        torch.from_numpy(rows).to(device),
        torch.from_numpy(tokens).to(device),
        torch.from_numpy(np.concatenate(values, dtype=np.float32)).to(device),
    )


def keep_likeliest(
    logits: Tensor,
    top_k: NDArray[np.int64],
    top_p: NDArray[np.float32],
    min_p: NDArray[np.float32],
) -> None:
    """Set to -inf, in place, what the three filters drop.

    All three look at the same probabilities, sorted once: the `top_k` first; of these the fewest
    whose sum reaches `top_p`; of these the ones with at least `min_p` times the likeliest's. What
    top_k drops still counts in the sum, as in SGLang. Tokens as likely as the last one kept are
    kept too: the outcome depends on no order of sorting.

    Args:
        logits: [rows, vocab] f32, temperature applied.
        top_k: [rows] -1 for all.
        top_p: [rows] in (0, 1].
        min_p: [rows] in [0, 1].

    Cost: the `FEW` likeliest are ranked first, and all only where some row keeps more: sorting a
    vocabulary takes longer than the rest of sampling. One wait for the device.
    """
    vocab = logits.shape[-1]
    limits = np.where((top_k > 0) & (top_k < vocab), top_k, vocab)
    # 1.0 must keep everything, also where rounding lets the sum reach 1 early.
    sums = np.where(top_p < 1, top_p, np.float32(2))
    k, p, m = (torch.from_numpy(x).to(logits.device)[:, None] for x in (limits, sums, min_p))
    widest = int(limits.max())
    probs = logits.softmax(-1)
    ranked, kept = _rank(probs, min(FEW, widest), k, p, m)
    if widest > FEW and bool((kept[:, -1:] & (k > FEW)).any()):
        ranked, kept = _rank(probs, widest, k, p, m)
    last = kept.sum(-1, keepdim=True).sub_(1).clamp_(min=0)
    logits.masked_fill_(probs < ranked.gather(-1, last), -torch.inf)


def _rank(probs: Tensor, width: int, k: Tensor, p: Tensor, m: Tensor) -> tuple[Tensor, Tensor]:
    """Return the `width` largest probabilities of each row, and which of them are kept."""
    ranked = probs.topk(width, -1).values
    before = ranked.cumsum(-1) - ranked
    rank = torch.arange(width, device=probs.device)
    return ranked, (rank < k) & (before < p) & (ranked >= m * ranked[:, :1])


_GOLDEN, _MIX_1, _MIX_2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return splitmix64's finaliser of `x`."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(_MIX_1)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(_MIX_2)
    return x ^ (x >> np.uint64(31))


def _signed(x: int) -> int:
    return x - (1 << 64) if x >> 63 else x


def noise_keys(seeds: NDArray[np.uint64], positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the keys, [rows], of the noise for one step of each sequence."""
    steps = positions.astype(np.uint64) * np.uint64(_GOLDEN)
    return _mix(_mix(seeds + np.uint64(_GOLDEN)) + steps).view(np.int64)


def gumbel_noise(keys: NDArray[np.int64], vocab: int, device: torch.device) -> Tensor:
    """Return standard Gumbel noise that depends on a row's key and the token id alone.

    Adding it to logits and taking the largest samples from their softmax. Counter-based, so that a
    sequence draws the same tokens whatever else is in the batch and however it was cut into passes.
    Source: splitmix64's finaliser (Steele et al., OOPSLA 2014) of key + token * golden ratio.

    Args:
        keys: [rows] of `noise_keys`.
        vocab: how many tokens get noise.
        device: where.

    Returns:
        [rows, vocab] f32. Cost: fourteen elementwise passes.
    """
    counter = torch.arange(vocab, dtype=torch.int64, device=device).mul_(_signed(_GOLDEN))
    x = counter + torch.from_numpy(keys).to(device)[:, None]
    for shift, factor in ((30, _MIX_1), (27, _MIX_2)):
        # `>>` carries the sign along; the mask makes it the unsigned shift that the source means.
        x ^= (x >> shift).bitwise_and_((1 << 64 - shift) - 1)
        x *= _signed(factor)
    high = (x >> 32).bitwise_and_((1 << 32) - 1)
    # 32 bits near 0 keep their precision in f32; those near 1 would round to it, hence the bound.
    uniform = high.float().add_(0.5).mul_(2.0**-32).clamp_(max=1 - 2.0**-24)
    return uniform.neg_().log1p_().neg_().log_().neg_()
