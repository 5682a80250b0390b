"""Choosing the next token of each sequence from its logits."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...constrained.bitmask import apply_bitmask
from ..kernels.build import KernelError
from ..request import SamplingParams
from . import logits as arithmetic
from .logits import Tokens
from .native_sampler import NativeDraw

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
class Drawing:
    """How the tokens of B sequences are drawn from logits that are final, as columns."""

    greedy: NDArray[np.bool_]  # [B] the likeliest is taken; the rest of the columns is not read
    temperature: NDArray[np.float32]  # [B]
    top_k: NDArray[np.int64]  # [B] -1: the whole vocabulary
    top_p: NDArray[np.float32]  # [B]
    min_p: NDArray[np.float32]  # [B]
    seed: NDArray[np.uint64]  # [B]
    position: NDArray[np.int64]  # [B] tokens generated so far: with the seed, the noise

    @classmethod
    def of(cls, rows: Sequence[SampleRow]) -> Drawing:
        """Make columns of rows."""
        params = [row.params for row in rows]
        return cls(
            greedy=np.array([one.is_greedy for one in params], dtype=np.bool_),
            temperature=np.array([one.temperature for one in params], dtype=np.float32),
            top_k=np.array([one.top_k for one in params], dtype=np.int64),
            top_p=np.array([one.top_p for one in params], dtype=np.float32),
            min_p=np.array([one.min_p for one in params], dtype=np.float32),
            seed=np.array([row.seed for row in rows], dtype=np.uint64),
            position=np.array([row.position for row in rows], dtype=np.int64),
        )

    def take(self, rows: NDArray[np.intp]) -> Drawing:
        """Return some of the rows."""
        return Drawing(
            self.greedy[rows],
            self.temperature[rows],
            self.top_k[rows],
            self.top_p[rows],
            self.min_p[rows],
            self.seed[rows],
            self.position[rows],
        )


class Sampler:
    """Samples for whole batches; it keeps no state between calls. For one thread at a time.

    In this order: logit bias; repetition, presence and frequency penalties; forbidden ids; the
    grammar's mask. Then the likeliest token for greedy rows, and for the others temperature,
    top-k, top-p, min-p and Gumbel noise. Tokens stay on the device of the logits, so that nobody
    waits for it; filters alone do, once.

    Args:
        cpu_kernels: whether logits on a CPU are drawn from by the compiled kernel, if it can be
            compiled; the functions of this file are its reference.
    """

    def __init__(self, *, cpu_kernels: bool = True) -> None:
        self._native: NativeDraw | None = None
        if cpu_kernels:
            with contextlib.suppress(KernelError):  # the model's kernels, tried before, warned
                self._native = NativeDraw()

    def sample(
        self,
        logits: Tensor,
        rows: Sequence[SampleRow],
        *,
        mask: Tensor | None = None,
        pairs: NDArray[np.int32] | None = None,
    ) -> Tensor:
        """Choose one token a row. A row whose logits are unusable fails alone.

        Args:
            logits: [B, vocab] f32; not changed.
            rows: [B].
            mask: [masks, ceil(vocab / 32)] i32 on any device, as `apply_bitmask` has it.
            pairs: [constrained, 2] a row beside its row of the mask; None: all, in order.

        Returns:
            [B] i64 as `draw` has it. Cost: one `max` where every row is greedy and nothing was
            edited.
        """
        return self.draw(_edited(logits, rows), Drawing.of(rows), mask=mask, pairs=pairs)

    def draw(
        self,
        logits: Tensor,
        drawing: Drawing,
        *,
        mask: Tensor | None = None,
        pairs: NDArray[np.int32] | None = None,
    ) -> Tensor:
        """Choose one token a row from logits that are final but for a mask.

        Args:
            logits: [B, vocab] f32; not changed.
            drawing: [B].
            mask: as in `sample`.
            pairs: as in `sample`.

        Returns:
            [B] i64 on the logits' device; `FAILED` where a row holds NaN or inf, or nothing that
            is allowed.
        """
        is_native = self._native is not None and logits.device.type == "cpu"
        if mask is not None and not is_native:
            logits = arithmetic.copy_of(logits)
            _apply_mask(logits, mask, pairs)
        if drawing.greedy.all() and (mask is None or not is_native):
            return _likeliest(logits)
        if self._native is not None and is_native:
            return torch.from_numpy(self._native(logits, drawing, mask, pairs))
        if not drawing.greedy.any():
            return _drawn(logits, drawing)
        tokens = torch.empty(len(drawing.greedy), dtype=torch.int64, device=logits.device)
        for rows, choose in (
            (np.flatnonzero(drawing.greedy), lambda part, _: _likeliest(part)),
            (np.flatnonzero(~drawing.greedy), _drawn),
        ):
            index = torch.from_numpy(rows).to(logits.device)
            tokens[index] = choose(logits.index_select(0, index), drawing.take(rows))
        return tokens


def _likeliest(logits: Tensor) -> Tensor:
    """Return [rows] the likeliest tokens, `FAILED` where the logits are unusable.

    On a CPU by numpy, whose argmax uses the whole width of registers: 256 rows of 4,096 take it
    0.2 ms and torch 4 ms.
    """
    if logits.device.type == "cpu":
        array = logits.numpy()
        tokens = array.argmax(1)
        usable = np.isfinite(array[np.arange(len(array)), tokens])  # a NaN is the argmax
        return torch.from_numpy(np.where(usable, tokens, FAILED))
    best, indices = logits.max(-1)  # NaN if any logit is, and -inf if none is left
    return indices.masked_fill_(~best.isfinite(), FAILED)


def _drawn(logits: Tensor, drawing: Drawing) -> Tensor:
    """Return [rows] a token sampled for each, `FAILED` where the logits are unusable."""
    device = logits.device
    scaled = logits / torch.from_numpy(drawing.temperature).to(device)[:, None]
    best = scaled.amax(-1)
    filtered = np.flatnonzero((drawing.top_k != -1) | (drawing.top_p < 1) | (drawing.min_p > 0))
    if len(filtered) == len(drawing.greedy):
        arithmetic.keep_likeliest(scaled, drawing.top_k, drawing.top_p, drawing.min_p)
    elif len(filtered):
        index = torch.from_numpy(filtered).to(device)
        picked, some = scaled.index_select(0, index), drawing.take(filtered)
        arithmetic.keep_likeliest(picked, some.top_k, some.top_p, some.min_p)
        scaled[index] = picked
    keys = arithmetic.noise_keys(drawing.seed, drawing.position)
    noise = arithmetic.gumbel_noise(keys, logits.shape[-1], device)
    return scaled.add_(noise).argmax(-1).masked_fill_(~best.isfinite(), FAILED)


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
    logits = arithmetic.copy_of(logits)
    arithmetic.add_bias(logits, biases)
    arithmetic.penalize_repetition(logits, repetition)
    arithmetic.penalize_presence(logits, presence)
    arithmetic.penalize_frequency(logits, frequency)
    arithmetic.add_bias(logits, forbidden)
    return logits


def _apply_mask(logits: Tensor, mask: Tensor, pairs: NDArray[np.int32] | None) -> None:
    device = logits.device
    held = None if pairs is None else torch.from_numpy(pairs).to(device, non_blocking=True)
    apply_bitmask(logits, mask.to(device, non_blocking=True), held)
