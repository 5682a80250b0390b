"""Bounds of one program's run: programs come from strangers, so nothing may take long or much.

A step stands for about 50 ns of work: a node of an expression, a round of a loop, an item that a
function touches, 64 characters of a text. The clock is only looked at from time to time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, ItemsView, KeysView, ValuesView
from dataclasses import dataclass
from typing import Any

from .errors import FuelError

# Types to test for. What passes a test for a plain `list` is to a type checker a list of something
# unknown; what passes one of these is `Any`.
Kinds = tuple[type[Any], ...]
kind_of: Callable[[Any], type[Any]] = type  # `type` itself, of which checkers make an unknown

CHARACTERS_PER_STEP = 64
_LOOK_EVERY = 1_000  # steps, about 0.1 ms: a look at the clock costs as much as a step
_STEPS_PER_PART = 4  # of a walk in Python
_FLAT: frozenset[type[Any]] = frozenset({float, bool, type(None), range})
_DICTS: Kinds = (dict,)
_CONTAINERS: Kinds = (list, tuple, dict, set, KeysView, ValuesView, ItemsView)
_ESCAPED = 12  # characters that `json` writes for one outside the 16-bit plane, the worst escape


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a program's run may use.

    Attributes:
        steps: evaluated nodes, loop rounds and items touched.
        value_bytes: size of one value: characters of a text, items, bits of an integer.
        tokens: generated tokens.
        forks: states alive at once, and at most so many in a fork.
        nesting: calls of programs inside each other.
        images: images shown, each as often as it is.
        seconds: wall-clock time.
    """

    steps: int = 1_000_000
    value_bytes: int = 16 * 2**20
    tokens: int = 1_000_000
    forks: int = 1_024
    nesting: int = 64
    images: int = 1_024
    seconds: float = 600.0


class Fuel:
    """What is left of one run's limits.

    Attributes:
        limits: what the run began with.
        steps: steps left.
        deadline: when the run must end, by `now`.
    """

    __slots__ = ("_look_at", "_now", "deadline", "limits", "steps")

    def __init__(self, limits: Limits | None = None, now: Callable[[], float] = time.monotonic):
        self.limits = limits or Limits()
        self.steps = self.limits.steps
        self.deadline = now() + self.limits.seconds
        self._now = now
        self._look_at = self.steps - _LOOK_EVERY

    def spend(self, n: int = 1) -> None:
        """Use up `n` steps, before the work that they stand for.

        Raises:
            FuelError: fewer are left, or the deadline has passed.
        """
        self.steps -= n
        if self.steps < self._look_at:
            if self.steps < 0:
                raise FuelError(
                    f"the program used up its {self.limits.steps} steps (limit 'steps')",
                    hint="Loop less, work on shorter values, or raise the limit.",
                )
            self._look_at = self.steps - _LOOK_EVERY
            self.check_time()

    def check_time(self) -> None:
        """Raise `FuelError` if the deadline has passed."""
        if self._now() > self.deadline:
            raise FuelError(
                f"the program ran longer than {self.limits.seconds:g} seconds (limit 'seconds')"
            )

    def check_size(self, size: int, what: str = "a value") -> None:
        """Raise `FuelError` if a value of `size` characters, items or bits would be too large."""
        if size > self.limits.value_bytes:
            shown = size if size < 10**18 else "more than 10**18"
            raise FuelError(
                f"{what} would have the size {shown}; "
                f"{self.limits.value_bytes} are allowed (limit 'value_bytes')"
            )

    def spend_text(self, length: int) -> None:
        """Pay for a text of `length` characters, which must not be too long."""
        self.check_size(length, "a text")
        self.spend(length // CHARACTERS_PER_STEP)

    def spend_items(self, count: int) -> None:
        """Pay for `count` items of one container, which must not be too many."""
        self.check_size(count, "a container")
        self.spend(count)

    def weigh(self, value: Any) -> int:
        """Pay for a walk over all of `value`, and return about how long its `repr` is.

        A part that is reached twice counts twice, as it does in `repr`, `json.dumps` and `==`:
        thirty rounds of `x = [x, x]` make a small value that is a billion to write.
        """
        length = owed = 0
        stack = [value]
        while stack:
            part = stack.pop()
            kind = kind_of(part)
            if kind is str:
                owed += len(part) // CHARACTERS_PER_STEP
                if owed > _LOOK_EVERY:  # before the text is looked at
                    self.spend(owed)
                    owed = 0
                plain = part.isascii() and part.isprintable()
                length += 2 + len(part) * (1 if plain else _ESCAPED)
            elif kind is int:
                length += 2 + part.bit_length() // 3
            elif kind in _FLAT:
                length += 24  # the longest float
            else:
                count = len(part) if isinstance(part, _CONTAINERS) else 0
                length += 2 + 4 * count
                owed += _STEPS_PER_PART * (1 + count)
                if owed > _LOOK_EVERY:  # before the stack grows
                    self.spend(owed)
                    owed = 0
                if count:
                    stack.extend(part)
                if isinstance(part, _DICTS):
                    stack.extend(part.values())
        self.spend(owed)
        return length
