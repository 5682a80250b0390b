from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import pytest

from radixlm.constrained.errors import UnsatisfiableError
from radixlm.constrained.spec import GrammarSpec

from .conftest import Accepts


def _allowed(text: str, schema: dict[str, Any]) -> bool:
    value = Decimal(text)
    limits = {key: Decimal(repr(bound)) for key, bound in schema.items() if key != "type"}
    return (
        value >= limits.get("minimum", value)
        and value <= limits.get("maximum", value)
        and ("exclusiveMinimum" not in limits or value > limits["exclusiveMinimum"])
        and ("exclusiveMaximum" not in limits or value < limits["exclusiveMaximum"])
    )


def _bounds(rng: random.Random, digits: int) -> dict[str, Any]:
    low = round(rng.choice([rng.uniform(-30, 30), rng.uniform(-1, 1), 0.0]), digits)
    high = round(low + rng.choice([0.5, 3, rng.uniform(1, 2000)]), digits)
    schema: dict[str, Any] = {}
    if keyword := rng.choice(["minimum", "exclusiveMinimum", ""]):
        schema[keyword] = low
    if keyword := rng.choice(["maximum", "exclusiveMaximum", ""]):
        schema[keyword] = high
    return schema


@pytest.mark.parametrize("seed", range(60))
def test_a_bounded_integer_is_taken_exactly_when_it_lies_within(
    xgrammar_accepts: Accepts, seed: int
) -> None:
    rng = random.Random(seed)
    schema = {"type": "integer", **_bounds(rng, rng.choice([0, 1]))}
    spec = GrammarSpec.json_schema(schema)
    edges = [
        int(bound) + step for bound in schema.values() if bound != "integer" for step in (-1, 0, 1)
    ]
    values = [*edges, *rng.sample(range(-3000, 3000), 40), *range(-12, 12)]
    try:
        xgrammar_accepts(spec, "0")
    except UnsatisfiableError:
        assert not any(_allowed(str(value), schema) for value in values)
        return
    for value in values:
        assert xgrammar_accepts(spec, str(value)) == _allowed(str(value), schema), (schema, value)
    assert not any(
        xgrammar_accepts(spec, text) for text in ["01", "-0", "1.0", "1e2", "", "+1", "-"]
    )


@pytest.mark.parametrize("seed", range(80))
def test_a_bounded_number_is_taken_exactly_when_it_lies_within(
    xgrammar_accepts: Accepts, seed: int
) -> None:
    rng = random.Random(seed)
    schema = {"type": "number", **_bounds(rng, rng.choice([0, 1, 2, 3]))}
    spec = GrammarSpec.json_schema(schema)
    near = [bound for bound in schema.values() if bound != "number"] or [0.0]
    for _ in range(120):
        value = rng.choice(near) + rng.choice([0, 0.1, -0.1, 0.01, -0.001, rng.uniform(-50, 50)])
        text = rng.choice(["{:.0f}", "{:.1f}", "{:.2f}", "{:.4f}", "{:.7f}"]).format(value)
        if Decimal(text).is_zero() and text.startswith("-"):
            continue  # zero is written without a sign
        assert xgrammar_accepts(spec, text) == _allowed(text, schema), (schema, text)
    assert not any(xgrammar_accepts(spec, text) for text in ["01", ".5", "1.", "", "-", "00.5"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", True), ("-1.50", True), ("1e3", True), ("1E-07", True), ("1e400", False), ("1e", False)],
)
def test_an_unbounded_number_may_have_a_short_exponent(
    xgrammar_accepts: Accepts, text: str, expected: bool
) -> None:
    assert xgrammar_accepts(GrammarSpec.json_schema({"type": "number"}), text) == expected


@pytest.mark.parametrize(
    ("schema", "yes", "no"),
    [
        ({"type": "integer", "minimum": 10**15}, [10**15, 10**31], [10**15 - 1, 1]),
        ({"type": "number", "minimum": 1e-7, "maximum": 2e-7}, ["0.00000015"], ["0.0000003", "0"]),
        ({"type": "number", "exclusiveMinimum": 0}, ["0.001", "7"], ["0", "0.000", "-1"]),
        ({"type": "integer", "minimum": 0, "exclusiveMaximum": 1}, [0], [1, -1]),
        ({"type": "number", "minimum": 1, "exclusiveMinimum": 1}, ["1.5"], ["1", "1.0"]),
        (
            {"type": "integer", "minimum": -7, "maximum": 20, "multipleOf": 5},
            [-5, 0, 20],
            [5.0, 7, 25],
        ),
        ({"type": "number", "multipleOf": 1, "minimum": 3}, [3, 10], ["3.5", 2]),
    ],
)
def test_odd_bounds_hold(
    xgrammar_accepts: Accepts, schema: Any, yes: list[Any], no: list[Any]
) -> None:
    spec = GrammarSpec.json_schema(schema)
    assert [text for text in yes if not xgrammar_accepts(spec, str(text))] == []
    assert [text for text in no if xgrammar_accepts(spec, str(text))] == []
