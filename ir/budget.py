"""What a whole run of a program may use: `Fuel` for expressions, and what statements cost."""

from __future__ import annotations

from .errors import FuelError
from .fuel import Fuel, Limits

TEXTS_PER_VALUE = 4  # a state may grow to a few times the largest value


class Budget(Fuel):
    """Fuel that also counts tokens, branches, nesting, images and appended text."""

    __slots__ = ("appended", "branches", "images", "tokens")

    def __init__(self, limits: Limits | None = None) -> None:
        super().__init__(limits)
        self.tokens = self.branches = self.appended = self.images = 0

    def generated(self, tokens: int) -> None:
        """Count generated tokens."""
        self.tokens += tokens
        if self.tokens > self.limits.tokens:
            raise FuelError(f"the program has generated its {self.limits.tokens} tokens")

    def fork(self, branches: int) -> None:
        """Count the branches of a fork."""
        self.branches += branches
        if self.branches > self.limits.forks:
            raise FuelError(
                f"the program has {self.branches} branches; at most {self.limits.forks} are allowed"
            )

    def nest(self, depth: int) -> None:
        """Check how deep invoked programs stand inside each other."""
        if depth > self.limits.nesting:
            raise FuelError(f"programs invoke each other more than {self.limits.nesting} deep")

    def show(self) -> None:
        """Count an image that is shown."""
        self.images += 1
        if self.images > self.limits.images:
            raise FuelError(
                f"the program has shown {self.images} images; at most {self.limits.images} are "
                "allowed (limit 'images')"
            )

    def append(self, length: int) -> None:
        """Count the characters of a literal."""
        self.appended += length
        allowed = TEXTS_PER_VALUE * self.limits.value_bytes
        if self.appended > allowed:
            raise FuelError(f"the program has appended its {allowed} characters of text")
