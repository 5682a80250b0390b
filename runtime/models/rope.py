"""Rotary position embedding: its settings in a checkpoint, its frequencies, its application.

Sources: RoFormer (arXiv:2104.09864), with the halves of a head rotated against each other as most
Hugging Face checkpoints have it; "llama3" scaling as in Llama 3.1's own code; YaRN
(arXiv:2309.00071); LongRoPE (arXiv:2402.13753). Where the field's scaling depends on how long a
sequence has become ("dynamic", "longrope"), ours depends on the longest sequence that is served:
keys that are cached and shared can't be turned again when one of their sequences grows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import ModelLoadError
from .settings import Settings

DEFAULT_THETA = 10_000.0
SUPPORTED = ("default", "linear", "dynamic", "llama3", "yarn", "longrope")
OLD_NAMES = {"su": "longrope"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rope:
    """How positions turn into angles."""

    theta: float = DEFAULT_THETA
    partial: float = 1.0  # the share of a head that is rotated, from its first dimension
    neighbours: bool = False  # dimensions 2i and 2i + 1 are a pair, rather than i and i + half
    kind: str = "default"  # one of SUPPORTED
    factor: float = 1.0  # how many times longer the context became; all but default
    trained_context: int = 8192  # positions before that; all but default and linear
    magnitude: float = 1.0  # of rotated queries and keys; yarn, longrope
    # llama3: waves longer than trained_context / low are stretched, shorter than / high kept.
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    # yarn: pairs with more turns than `beta_fast` in the trained context are kept, with fewer than
    # `beta_slow` stretched.
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    whole_pairs: bool = True  # yarn: the bounds are rounded to pairs
    short_factors: tuple[float, ...] = ()  # longrope: one a pair, within the trained context
    long_factors: tuple[float, ...] = ()  # longrope: the same beyond it

    @classmethod
    def read(
        cls, settings: Settings, *, theta: float = DEFAULT_THETA, layers: str | None = None
    ) -> Rope:
        """Read `rope_parameters` (transformers 5), or `rope_theta` and `rope_scaling` (before).

        Args:
            settings: of the model.
            theta: where the settings name none.
            layers: the kind of layers whose rope it is, where kinds have their own.

        Raises:
            ModelLoadError: a type of scaling that is not supported, or a field of it is missing.
        """
        rope = settings.section("rope_parameters")
        if rope and layers:
            rope = rope.section(layers) or rope
        theta = settings.number("rope_theta", theta)
        partial = settings.number("partial_rotary_factor", 1.0)
        if rope:
            theta = rope.number("rope_theta", theta)
            partial = rope.number("partial_rotary_factor", partial)
        rope = rope or settings.section("rope_scaling")
        plain = cls(theta=theta, partial=partial)
        return plain._scaled(rope, settings) if rope else plain

    def _scaled(self, rope: Settings, settings: Settings) -> Rope:
        names = (*SUPPORTED, *OLD_NAMES)
        kind = rope.choice("rope_type", names, rope.choice("type", names, "default"))
        kind = OLD_NAMES.get(kind, kind)
        if kind == "default":
            return self
        if kind == "linear":
            return replace(self, kind=kind, factor=rope.number("factor"))
        positions = settings.integer("max_position_embeddings")
        if kind == "dynamic":
            factor = rope.number("factor")
            return replace(self, kind=kind, factor=factor, trained_context=positions)
        trained = rope.integer("original_max_position_embeddings", positions)
        trained = settings.integer("original_max_position_embeddings", trained)
        scaled = replace(self, kind=kind, trained_context=trained)
        if kind == "llama3":
            return replace(
                scaled,
                factor=rope.number("factor"),
                low_freq_factor=rope.number("low_freq_factor"),
                high_freq_factor=rope.number("high_freq_factor"),
            )
        scaled = replace(scaled, factor=rope.number("factor", positions / trained))
        if kind == "yarn":
            return replace(
                scaled,
                magnitude=_yarn_magnitude(rope, scaled.factor),
                beta_fast=rope.number("beta_fast", 32.0),
                beta_slow=rope.number("beta_slow", 1.0),
                whole_pairs=rope.flag("truncate", True),
            )
        stretch = 1 + math.log(max(scaled.factor, 1.0)) / math.log(trained)
        return replace(
            scaled,
            magnitude=rope.number("attention_factor", math.sqrt(stretch)),
            short_factors=rope.numbers("short_factor"),
            long_factors=rope.numbers("long_factor"),
        )

    def reach(self, positions: int) -> int:
        """Return the longest sequence that makes sense, for `max_position_embeddings`."""
        if self.kind == "dynamic":
            return int(positions * self.factor)
        if self.kind == "yarn":
            return max(positions, int(self.trained_context * self.factor))
        return positions

    def frequencies(self, head_dim: int, context: int) -> Tensor:
        """Return [rotated / 2] f32: radians a position, for each pair of dimensions.

        Args:
            head_dim: of which the share `partial` is rotated.
            context: the longest sequence that is served.

        Raises:
            ModelLoadError: LongRoPE has another number of factors.
        """
        dim = int(head_dim * self.partial)
        theta = self.theta
        if self.kind == "dynamic" and context > self.trained_context:
            longer = self.factor * context / self.trained_context - (self.factor - 1)
            theta *= longer ** (dim / (dim - 2))
        plain = 1.0 / theta ** (torch.arange(0, dim, 2, dtype=torch.float32) / dim)
        match self.kind:
            case "linear":
                return plain / self.factor
            case "llama3":
                # 0 for waves that did not fit in the trained context, 1 for short ones.
                turns = self.trained_context * plain / (2 * math.pi)
                span = self.high_freq_factor - self.low_freq_factor
                return self._mixed(plain, (turns - self.low_freq_factor) / span)
            case "yarn":
                low, high = self._pair(self.beta_fast, dim), self._pair(self.beta_slow, dim)
                if self.whole_pairs:
                    low, high = math.floor(low), math.ceil(high)
                low, high = max(low, 0), min(high, dim - 1)
                ramp = (torch.arange(dim // 2, dtype=torch.float32) - low) / (high - low or 0.001)
                return self._mixed(plain, 1 - ramp)
            case "longrope":
                is_long = context > self.trained_context
                factors = self.long_factors if is_long else self.short_factors
                if len(factors) != len(plain):
                    raise ModelLoadError(
                        f"LongRoPE has {len(factors)} factors for {len(plain)} pairs of dimensions"
                    )
                return plain / torch.tensor(factors)
        return plain

    def _mixed(self, plain: Tensor, kept: Tensor) -> Tensor:
        """Keep the share `kept`, within 0 and 1, of each plain frequency, and stretch the rest."""
        kept = kept.clamp(0, 1)
        return (1 - kept) * plain / self.factor + kept * plain

    def _pair(self, turns: float, dim: int) -> float:
        """Return where among the pairs one makes so many turns in the trained context."""
        wave = self.trained_context / (turns * 2 * math.pi)
        return dim * math.log(wave) / (2 * math.log(self.theta))


def _yarn_magnitude(rope: Settings, factor: float) -> float:
    def of(weight: float) -> float:
        return 0.1 * weight * math.log(factor) + 1.0 if factor > 1 else 1.0

    every, some = rope.number_or_none("mscale_all_dim"), rope.number_or_none("mscale")
    usual = of(some) / of(every) if every and some else of(1.0)
    return rope.number("attention_factor", usual)


class Rotation(NamedTuple):
    """What `rotate` needs for the tokens of a pass."""

    cos: Tensor  # [T, 1, rotated]
    sin: Tensor  # the same; negative for the first of each pair
    neighbours: bool


def rotation(positions: Tensor, frequencies: Tensor, rope: Rope, dtype: torch.dtype) -> Rotation:
    """Return the rotation of tokens at these positions, once for all layers of a rope.

    Computed each pass rather than kept as a table: six small operations a pass (15 µs on a CPU),
    against 134 MB for 128 Ki positions of 128 dimensions.

    Args:
        positions: [T] i64.
        frequencies: [rotated / 2] f32.
        rope: which they are of.
        dtype: of the queries and keys; angles are computed in f32.
    """
    angles = positions[:, None, None] * frequencies
    cos, sin = angles.cos(), angles.sin()
    if rope.magnitude != 1.0:
        cos, sin = cos * rope.magnitude, sin * rope.magnitude
    if rope.neighbours:
        cos, sin = cos.repeat_interleave(2, -1), torch.stack((-sin, sin), -1).flatten(-2)
    else:
        cos, sin = torch.cat((cos, cos), -1), torch.cat((-sin, sin), -1)
    return Rotation(cos.to(dtype), sin.to(dtype), rope.neighbours)


def rotate(heads: Tensor, by: Rotation) -> Tensor:
    """Rotate the first dimensions of [T, heads, head_dim].

    With halves (a, b) this is (a cos - b sin, b cos + a sin). A roll by half swaps them, and the
    sign lies in `sin`: three operations, where slicing and concatenating takes six.
    """
    width = by.cos.shape[-1]
    if width < heads.shape[-1]:
        turned = rotate(heads[..., :width], by)
        return torch.cat((turned, heads[..., width:]), -1)
    if by.neighbours:
        swapped = heads.reshape(*heads.shape[:-1], -1, 2).flip(-1).flatten(-2)
    else:
        swapped = heads.roll(width // 2, -1)
    return torch.addcmul(heads * by.cos, swapped, by.sin)
