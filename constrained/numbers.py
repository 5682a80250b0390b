"""JSON numbers within bounds, as EBNF over their decimal digits.

A bounded number is written without exponent, compared digit by digit as text, so no bound is ever
rounded. An unbounded one may have an exponent of one or two digits: it then stays a finite
double.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from .ebnf import EMPTY, alternation, literal

__all__ = ["FINITE", "WIDE", "Bound", "Unbounded", "integer_between", "number_between"]


@dataclass(frozen=True, slots=True)
class Unbounded:
    """Expressions for numbers without bounds."""

    integer: str
    number: str


FINITE = Unbounded(
    '("0" | "-"? [1-9] [0-9]*)',
    '("-"? ("0" | [1-9] [0-9]*) ("." [0-9]+)? ([eE] [+\\-]? [0-9]{1,2})?)',
)
# As llguidance writes them: -0 is an integer, and exponents have any length.
WIDE = Unbounded(
    '("-"? ("0" | [1-9] [0-9]*))',
    '("-"? ("0" | [1-9] [0-9]*) ("." [0-9]+)? ([eE] [+\\-]? [0-9]+)?)',
)

ANY_FRACTION = '("." [0-9]+)?'


@dataclass(frozen=True, slots=True)
class Bound:
    """An end of a range; `is_open` leaves the end itself out."""

    value: Decimal
    is_open: bool = False

    def __neg__(self) -> Bound:
        return Bound(-self.value, self.is_open)


def integer_between(low: int | None, high: int | None) -> str | None:
    """Return an expression for the integers from `low` to `high`; None if there are none."""
    if low is not None and high is not None and low > high:
        return None
    options = []
    if low is None or low < 0:
        nearest = 1 if high is None or high >= 0 else -high
        options.append('"-" ' + _naturals(nearest, None if low is None else -low))
    if high is None or high >= 0:
        options.append(_naturals(max(low or 0, 0), high))
    return alternation(options)


def number_between(low: Bound | None, high: Bound | None) -> str | None:
    """Return an expression for the decimal numbers within two bounds; None if there are none."""
    if low and high:
        is_point = low.value == high.value
        if low.value > high.value or (is_point and (low.is_open or high.is_open)):
            return None
    zero = Bound(Decimal(0))
    options: list[str | None] = []
    if low is None or low.value < 0:
        nearest = Bound(Decimal(0), is_open=True) if high is None or high.value >= 0 else -high
        magnitude = _magnitudes(nearest, None if low is None else -low)
        options.append(None if magnitude is None else f'("-" {magnitude})')
    if high is None or high.value >= 0:
        options.append(_magnitudes(low if low and low.value >= 0 else zero, high))
    found = [option for option in options if option is not None]
    return alternation(found) if found else None


def _naturals(low: int, high: int | None) -> str:
    """Return the integers from `low` >= 0 to `high`, without leading zeros."""
    width = len(str(low))
    if high is None:
        # the rest of this width, then everything longer
        return alternation([_naturals(low, 10**width - 1), f"([1-9] [0-9]{{{width},}})"])
    options = []
    for digits in range(width, len(str(high)) + 1):
        first = max(low, 10 ** (digits - 1) if digits > 1 else 0)
        options.append(_same_width(str(first), str(min(high, 10**digits - 1))))
    return alternation(options)


def _same_width(low: str, high: str) -> str:
    """Return the digit strings between two of the same width."""
    if not low:
        return EMPTY
    if set(low) == {"0"} and set(high) == {"9"}:
        return f"[0-9]{{{len(low)}}}"
    if low[0] == high[0]:
        return f"({literal(low[0])} {_same_width(low[1:], high[1:])})"
    rest = len(low) - 1
    options = [f"({literal(low[0])} {_same_width(low[1:], '9' * rest)})"]
    if int(low[0]) + 1 < int(high[0]):
        options.append(f"([{int(low[0]) + 1}-{int(high[0]) - 1}] [0-9]{{{rest}}})")
    options.append(f"({literal(high[0])} {_same_width('0' * rest, high[1:])})")
    return alternation(options)


def _magnitudes(low: Bound, high: Bound | None) -> str | None:
    """Return the numbers without sign from `low` >= 0 to `high`."""
    low_int, low_tail = _parts(low)
    if high is None:
        first = _with_fraction(low_int, _Tail(low_tail, low.is_open), None)
        return alternation(
            [*filter(None, [first]), f"({_naturals(low_int + 1, None)} {ANY_FRACTION})"]
        )
    high_int, high_tail = _parts(high)
    if low_int == high_int:
        return _with_fraction(low_int, _Tail(low_tail, low.is_open), _Tail(high_tail, high.is_open))
    options = [
        _with_fraction(low_int, _Tail(low_tail, low.is_open), None),
        _with_fraction(high_int, None, _Tail(high_tail, high.is_open)),
    ]
    if low_int + 1 < high_int:
        options.append(f"({_naturals(low_int + 1, high_int - 1)} {ANY_FRACTION})")
    found = [option for option in options if option is not None]
    return alternation(found) if found else None


@dataclass(frozen=True, slots=True)
class _Tail:
    """What is left of a bound's fraction while the digits so far equal the bound's."""

    digits: str  # without trailing zeros
    is_open: bool


def _parts(bound: Bound) -> tuple[int, str]:
    whole, _, fraction = f"{bound.value:f}".partition(".")
    return int(whole), fraction.rstrip("0")


def _with_fraction(whole: int, low: _Tail | None, high: _Tail | None) -> str | None:
    """Return `whole` followed by each fraction between two tails."""
    options = []
    if _may_end(low, high):
        options.append(literal(str(whole)))
    if (digits := _digits(low, high)) is not None:
        options.append(f"({literal(f'{whole}.')} {digits})")
    return alternation(options) if options else None


def _may_end(low: _Tail | None, high: _Tail | None) -> bool:
    """Whether the fraction may stop here, as if zeros followed."""
    reached = low is None or (not low.digits and not low.is_open)
    return reached and not (high is not None and not high.digits and high.is_open)


def _digits(low: _Tail | None, high: _Tail | None) -> str | None:
    """Return further digits, one or more, that stay between two tails; None if none do."""
    if low is not None and not low.digits and not low.is_open:
        low = None
    if low is None and high is None:
        return "[0-9]+"
    if high is not None and not high.digits:
        return '"0"+' if low is None and not high.is_open else None
    if high is None and low is not None and not low.digits:
        return '("0"* [1-9] [0-9]*)'
    bottom = int(low.digits[0]) if low and low.digits else 0
    top = int(high.digits[0]) if high else 9
    options = []
    for digit in sorted({bottom, top}):
        if bottom <= digit <= top:
            next_low = _Tail(low.digits[1:], low.is_open) if low and digit == bottom else None
            next_high = _Tail(high.digits[1:], high.is_open) if high and digit == top else None
            options.extend(_after(literal(str(digit)), next_low, next_high))
    if bottom + 1 < top:
        options.append(f"([{bottom + 1}-{top - 1}] [0-9]*)")
    return alternation(options) if options else None


def _after(digit: str, low: _Tail | None, high: _Tail | None) -> list[str]:
    more = _digits(low, high)
    options = [digit] if _may_end(low, high) else []
    return [*options, f"({digit} {more})"] if more is not None else options
