"""Rotary position embedding: its settings in a checkpoint, its frequencies, its application.

Source: RoFormer (arXiv:2104.09864), with the halves of a head rotated against each other as Hugging
Face checkpoints have it; "llama3" scaling as in Llama 3.1's own code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .settings import Settings

DEFAULT_THETA = 10_000.0
SUPPORTED = ("default", "linear", "llama3")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rope:
    """How positions turn into angles."""

    theta: float = DEFAULT_THETA
    kind: str = "default"  # one of SUPPORTED
    factor: float = 1.0  # linear, llama3: how many times longer the context became
    low_freq_factor: float = 1.0  # llama3: waves longer than trained_context / this are stretched
    high_freq_factor: float = 4.0  # llama3: waves shorter than trained_context / this are kept
    trained_context: int = 8192  # llama3: positions before stretching

    @classmethod
    def read(cls, settings: Settings) -> Rope:
        """Read `rope_parameters` (transformers 5), or `rope_theta` and `rope_scaling` (before).

        Raises:
            ModelLoadError: a type of scaling that is not supported, or a field of it is missing.
        """
        rope = settings.section("rope_parameters")
        theta = settings.number("rope_theta", DEFAULT_THETA)
        theta = rope.number("rope_theta", theta) if rope else theta
        rope = rope or settings.section("rope_scaling")
        if rope is None:
            return cls(theta=theta)
        kind = rope.choice("rope_type", SUPPORTED, rope.choice("type", SUPPORTED, "default"))
        if rope.number("partial_rotary_factor", 1.0) != 1.0:
            raise rope.error("partial_rotary_factor", "is not supported; supported: 1")
        if kind == "default":
            return cls(theta=theta)
        if kind == "linear":
            return cls(theta=theta, kind=kind, factor=rope.number("factor"))
        return cls(
            theta=theta,
            kind=kind,
            factor=rope.number("factor"),
            low_freq_factor=rope.number("low_freq_factor"),
            high_freq_factor=rope.number("high_freq_factor"),
            trained_context=rope.integer("original_max_position_embeddings"),
        )

    def frequencies(self, head_dim: int) -> Tensor:
        """Return [head_dim / 2] f32: radians a position, for each pair of dimensions."""
        exponents = torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim
        plain = 1.0 / self.theta**exponents
        if self.kind == "llama3":
            # 0 for waves that did not fit in the trained context, 1 for short ones, a ramp between.
            turns = self.trained_context * plain / (2 * math.pi)
            span = self.high_freq_factor - self.low_freq_factor
            kept = ((turns - self.low_freq_factor) / span).clamp(0, 1)
            return (1 - kept) * plain / self.factor + kept * plain
        return plain / self.factor


def rotation(positions: Tensor, frequencies: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return what `rotate` needs for tokens at these positions, once for all layers.

    Computed each pass rather than kept as a table: six small operations a pass (15 µs on a CPU),
    against 134 MB for 128 Ki positions of 128 dimensions.

    Args:
        positions: [T] i64.
        frequencies: [head_dim / 2] f32.
        dtype: of the queries and keys; angles are computed in f32.

    Returns:
        cos and sin, [T, 1, head_dim] `dtype`; the first half of sin is negative.
    """
    angles = positions[:, None, None] * frequencies
    cos, sin = angles.cos(), angles.sin()
    return torch.cat((cos, cos), -1).to(dtype), torch.cat((-sin, sin), -1).to(dtype)


def rotate(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate [T, heads, head_dim] by the angles of `rotation`.

    With halves (a, b) this is (a cos - b sin, b cos + a sin). A roll by half swaps them, and the
    sign lies in `sin`: three operations, where slicing and concatenating takes six.
    """
    return torch.addcmul(heads * cos, heads.roll(heads.shape[-1] // 2, -1), sin)
