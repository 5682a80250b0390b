"""Bounds of numbers as llguidance needs them.

Its automaton for a bound with a fraction takes no number with fewer digits after the point that
agrees with the bound so far: under `maximum` 2.841 neither 2.84 nor 2.8 (1.9.1). Each such bound is
therefore given several times, cut towards the inside to fewer digits: 2.841, 2.84, 2.8 and 2.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from .normal.form import Core

__all__ = ["with_cut_bounds"]

LOWER = ("minimum", "exclusiveMinimum")
UPPER = ("maximum", "exclusiveMaximum")


def with_cut_bounds(core: Core) -> Core:
    """Return a core schema with every fractional bound given at each number of digits."""
    if isinstance(core, bool):
        return core
    result: dict[str, Any] = {}
    for keyword, value in core.items():
        if keyword in ("properties", "patternProperties", "$defs"):
            result[keyword] = {name: with_cut_bounds(inner) for name, inner in value.items()}
        elif keyword in ("anyOf", "allOf", "prefixItems"):
            result[keyword] = [with_cut_bounds(inner) for inner in value]
        elif keyword in ("items", "additionalProperties"):
            result[keyword] = with_cut_bounds(value)
        else:
            result[keyword] = value
    bounds = {keyword: core[keyword] for keyword in (*LOWER, *UPPER) if keyword in core}
    digits = max((_digits(value) for value in bounds.values()), default=0)
    if not digits or core.get("type") == "integer":
        return result
    rest = {keyword: value for keyword, value in result.items() if keyword not in bounds}
    # For numbers alone from the second on: else other types would be allowed several times.
    options = [bounds, *({"type": "number", **_cut(bounds, kept)} for kept in range(digits))]
    definitions = {"$defs": rest.pop("$defs")} if "$defs" in rest else {}
    cut: list[Core] = [rest, {"anyOf": options}] if rest else [{"anyOf": options}]
    return {**definitions, "allOf": cut}


def _digits(value: float) -> int:
    """Return how many digits a number has after the point."""
    exponent = Decimal(repr(value)).normalize().as_tuple().exponent
    return max(-exponent, 0) if isinstance(exponent, int) else 0


def _cut(bounds: dict[str, Any], digits: int) -> dict[str, Any]:
    """Return bounds with at most so many digits, none wider than before."""
    unit = Decimal(1).scaleb(-digits)
    result: dict[str, Any] = {}
    for keyword, value in bounds.items():
        if _digits(value) <= digits:
            result[keyword] = value
            continue
        rounding = "ROUND_CEILING" if keyword in LOWER else "ROUND_FLOOR"
        near = Decimal(repr(value)).quantize(unit, rounding)
        closed = "minimum" if keyword in LOWER else "maximum"
        known = result.get(closed)
        if known is not None:  # both an open and a closed bound: keep the tighter
            pick = max if keyword in LOWER else min
            near = pick(near, Decimal(repr(known)))
        result[closed] = float(near) if digits else int(near)
    return result
