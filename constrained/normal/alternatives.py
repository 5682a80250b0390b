"""oneOf and if: alternatives that exclude each other, written as anyOf."""

from __future__ import annotations

import itertools
from dataclasses import replace

from ..keywords import malformed
from ..references import Place
from .among import among
from .disjoint import are_disjoint, types_of
from .form import Among, Core, Walk, all_of, any_of
from .objects import properties_held

__all__ = ["branches", "conditional", "not_conditional", "not_one_of", "one_of"]


def branches(place: Place, keyword: str) -> list[Place]:
    """Return the schemas that a combinator lists, one or more."""
    listed = place.keywords[keyword]
    if not isinstance(listed, list) or not listed:
        at = f"{place.at}/{keyword}"
        raise malformed(at, keyword, "a list of one or more schemas", listed)
    return [place.child(keyword, index) for index in range(len(listed))]


def one_of(walk: Walk, place: Place, beside: Core) -> Core:
    """Write anyOf, each branch without those others that it may overlap where `beside` holds."""
    parts = branches(place, "oneOf")
    cores = [walk.positive(part) for part in parts]
    types = types_of(beside, walk.definitions)
    options: list[Core] = []
    for index, core in enumerate(cores):
        values = among(all_of([beside, core]), walk.definitions)
        values = replace(values, held=properties_held(parts[index]))
        others = [
            walk.negative(parts[other], values)
            for other in range(len(parts))
            if other != index and not are_disjoint(core, cores[other], walk.definitions, types)
        ]
        options.append(all_of([core, *others]))
    return any_of(options)


def not_one_of(walk: Walk, place: Place, values: Among) -> Core:
    """Write what satisfies no branch, or two of them, among some values."""
    parts = branches(place, "oneOf")
    cores = [walk.positive(part) for part in parts]
    both = [
        all_of([left, right])
        for left, right in itertools.combinations(cores, 2)
        if not are_disjoint(left, right, walk.definitions)
    ]
    return any_of([all_of([walk.negative(part, values) for part in parts]), *both])


def conditional(walk: Walk, place: Place, beside: Core) -> Core:
    """Write `if` with `then`, or its opposite with `else`, where `beside` holds."""
    test = place.child("if")
    then = walk.positive(place.child("then")) if "then" in place.keywords else True
    other = walk.positive(place.child("else")) if "else" in place.keywords else True
    if then is True and other is True:
        return True
    negative = walk.negative(test, among(all_of([beside, other]), walk.definitions))
    return any_of([all_of([walk.positive(test), then]), all_of([negative, other])])


def not_conditional(walk: Walk, place: Place, values: Among) -> Core:
    """Write `if` without `then`, or the opposite without `else`, among some values."""
    test = place.child("if")
    then = walk.negative(place.child("then"), values) if "then" in place.keywords else False
    other = walk.negative(place.child("else"), values) if "else" in place.keywords else False
    options: list[Core] = []
    if then is not False:
        options.append(all_of([walk.positive(test), then]))
    if other is not False:
        options.append(all_of([walk.negative(test, values), other]))
    return any_of(options)
