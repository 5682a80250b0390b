from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from radixlm.runtime.config import SHIPPED_MODEL, engine_config


def test_flat_names_find_their_part() -> None:
    config = engine_config(
        model_path=Path("/m"), page_size=4, max_running_requests=2, random_seed=7
    )
    assert (config.model.model_path, config.cache.page_size) == ("/m", 4)
    assert (config.schedule.max_running_requests, config.random_seed) == (2, 7)


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(TypeError, match=r"'pagesize'; known: .*page_size"):
        engine_config(pagesize=4)


@pytest.mark.parametrize(
    "setting",
    [
        {"page_size": "4"},
        {"page_size": 0},
        {"max_running_requests": 0},
        {"max_total_tokens": 1},
        {"max_queued_requests": -1},
        {"context_length": 0},
        {"device": 5},
    ],
)
def test_a_wrong_type_or_range_is_named_by_its_path(setting: dict[str, Any]) -> None:
    [name] = setting
    with pytest.raises(msgspec.ValidationError, match=name):
        engine_config(**setting)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({}, "radixlm-shipped"),
        ({"model_path": str(SHIPPED_MODEL)}, "radixlm-shipped"),
        ({"model_path": "/m"}, "/m"),
        ({"model_path": "/m", "served_model_name": "mine"}, "mine"),
    ],
)
def test_the_name_that_clients_see(settings: dict[str, Any], name: str) -> None:
    assert engine_config(**settings).model_name == name
