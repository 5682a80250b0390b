from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from radixlm.runtime.errors import ModelLoadError
from radixlm.runtime.models.rope import Rope, rotate, rotation
from radixlm.runtime.models.settings import Settings

LLAMA3 = {
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}


def read(**values: Any) -> Rope:
    return Rope.read(Settings({"max_position_embeddings": 8192} | values, "config.json"))


@pytest.mark.parametrize("key", ["type", "rope_type"])
def test_both_generations_of_settings_say_the_same(key: str) -> None:
    old = read(rope_theta=5e5, rope_scaling={key: "llama3", **LLAMA3})
    assert old == read(rope_parameters={"rope_type": "llama3", "rope_theta": 5e5, **LLAMA3})
    assert (old.theta, old.kind, old.trained_context) == (5e5, "llama3", 8192)


def test_absent_settings_are_the_default() -> None:
    assert read() == read(rope_scaling=None, rope_theta=None) == Rope()
    assert read(rope_parameters={"rope_type": "default", "rope_theta": 7.0}) == Rope(theta=7.0)


@pytest.mark.parametrize(
    ("scaling", "message"),
    [
        (
            {"rope_type": "spiral"},
            "'spiral'; it is not supported; supported: default, linear, dynamic",
        ),
        ({"rope_type": "linear"}, "config.json: rope_scaling: the field 'factor' is missing"),
        (
            {"rope_type": "longrope", "short_factor": 2},
            "short_factor is 2; it must be a list of positive numbers",
        ),
    ],
)
def test_what_is_not_supported_is_named(scaling: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelLoadError, match=message):
        read(rope_scaling=scaling)


def test_rotation_turns_each_pair_by_its_angle() -> None:
    rope = Rope(theta=100.0)
    heads = torch.randn(3, 2, 8)
    positions = torch.tensor([0, 5, 70])
    turned = rotate(heads, rotation(positions, rope.frequencies(8, 512), rope, torch.float32))
    for row, position in enumerate(positions.tolist()):
        for pair in range(4):
            angle = position * 100.0 ** (-2 * pair / 8)
            a, b = heads[row, :, pair], heads[row, :, pair + 4]
            cos, sin = math.cos(angle), math.sin(angle)
            torch.testing.assert_close(turned[row, :, pair], a * cos - b * sin)
            torch.testing.assert_close(turned[row, :, pair + 4], b * cos + a * sin)


def test_llama3_keeps_short_waves_and_stretches_long_ones() -> None:
    plain = Rope(theta=5e5).frequencies(128, 8192)
    scaled = read(rope_theta=5e5, rope_scaling={"rope_type": "llama3", **LLAMA3}).frequencies(
        128, 8192
    )
    ratio = plain / scaled
    assert ratio[0] == 1
    assert ratio[-1] == 8
    assert bool((ratio.diff() >= -1e-5).all())


def test_longrope_has_the_short_factors_where_all_sequences_fit_the_trained_context() -> None:
    scaling = {
        "rope_type": "longrope",
        "short_factor": [1.0, 2.0],
        "long_factor": [4.0, 8.0],
        "original_max_position_embeddings": 1024,
    }
    rope = read(rope_scaling=scaling)
    plain = Rope().frequencies(4, 1024)
    assert (plain / rope.frequencies(4, 1024)).tolist() == [1, 2]
    assert (plain / rope.frequencies(4, 1025)).tolist() == [4, 8]
    assert rope.magnitude == pytest.approx(math.sqrt(1 + math.log(8) / math.log(1024)))
    with pytest.raises(ModelLoadError, match="LongRoPE has 2 factors for 4 pairs"):
        rope.frequencies(8, 1024)


@pytest.mark.parametrize(
    ("scaling", "reach"),
    [
        ({"rope_type": "dynamic", "factor": 2.0}, 16384),
        ({"rope_type": "linear", "factor": 2.0}, 8192),
        ({"rope_type": "yarn", "factor": 4.0}, 32768),
        ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024}, 8192),
    ],
)
def test_how_far_a_scaled_rope_reaches(scaling: dict[str, Any], reach: int) -> None:
    assert read(rope_scaling=scaling).reach(8192) == reach
