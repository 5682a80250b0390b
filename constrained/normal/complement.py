"""Patterns seen as sets: the opposite of one, the texts of one, the overlap of two."""

from __future__ import annotations

from functools import lru_cache

from ..automaton import Automaton, analysed
from ..errors import LimitError
from ..regexes import plain_spaces

__all__ = ["complement_pattern", "finite_texts", "patterns_overlap"]

MAX_TEXTS = 64


@lru_cache(maxsize=256)
def complement_pattern(pattern: str) -> str | None:
    """Return a pattern for the texts in which `pattern` is not found; None if it is too large."""
    automaton = _analysed(pattern)
    if automaton is None:
        return None
    try:
        return automaton.complement().pattern()
    except LimitError:
        return None


@lru_cache(maxsize=256)
def finite_texts(pattern: str) -> list[str] | None:
    """Return the few texts in which a pattern is found; None if there are many."""
    automaton = _analysed(pattern)
    return None if automaton is None else automaton.texts(MAX_TEXTS)


def patterns_overlap(left: str, right: str) -> bool:
    """Whether both patterns may be found in one text; also where that cannot be told."""
    first, second = _analysed(left), _analysed(right)
    return first is None or second is None or not first.is_disjoint(second)


@lru_cache(maxsize=256)
def _analysed(pattern: str) -> Automaton | None:
    return analysed(plain_spaces(pattern), search=True)
