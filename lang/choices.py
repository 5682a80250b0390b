"""How `select` decides; the objects that SGLang's users pass as `choices_method`."""

from __future__ import annotations

from dataclasses import dataclass

from ..ir.choices import METHODS


@dataclass(frozen=True, slots=True)
class ChoicesMethod:
    """A named way to choose; the machine holds the arithmetic (`ir/choices.py`)."""

    name: str

    def __post_init__(self) -> None:
        if self.name not in METHODS:
            raise ValueError(f"no choices method is named {self.name!r}; known: {sorted(METHODS)}")


token_length_normalized = ChoicesMethod("token_length_normalized")
greedy_token_selection = ChoicesMethod("greedy_token_selection")
unconditional_likelihood_normalized = ChoicesMethod("unconditional_likelihood_normalized")
distribution = ChoicesMethod("distribution")
