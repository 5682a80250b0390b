"""Checks programs from strangers: what can be seen to be wrong without a run.

`load` is the way in for JSON: size and nesting are bounded before anything is decoded, and nothing
here recurses further than `Limits.max_depth` allows. What only a run can know (values, types, fuel)
is left to the run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

import msgspec

from .errors import ProgramError
from .nodes import Span
from .program import VERSION, Program, from_json
from .scopes import Scope

INT_RANGE = range(-(2**63), 2**63)  # of constants: what every reader of JSON can hold
BRACKETS_PER_NODE = 3  # a node of JSON, its array, and a pair in it

# All between brackets: strings as a whole, also one that never ends. `++` and `*+` never go back,
# so that the scan is linear.
_BETWEEN = re.compile(rb'(?:[^"\[\]{}]++|"(?:[^"\\]++|\\.)*+"?)++', re.DOTALL)
_SQUARE = bytes.maketrans(b"{}", b"[]")


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a program may be."""

    max_bytes: int = 1_000_000  # of its JSON
    max_nodes: int = 20_000  # statements, expressions, and values inside constants
    max_depth: int = 64  # nodes inside nodes; Python's own recursion stays far from its limit


DEFAULT_LIMITS = Limits()


def load(data: bytes | str, limits: Limits = DEFAULT_LIMITS) -> Program:
    """Return the program of a stranger's JSON.

    Raises:
        ProgramError: it is too large, or `verify` refuses it.
        msgspec.DecodeError: it is no JSON, or (`msgspec.ValidationError`) no program.
    """
    try:
        data = data.encode() if isinstance(data, str) else data
        data.decode()  # the decoder does not tell this mistake from one of ours
    except UnicodeError as error:
        raise ProgramError(f"the program is no UTF-8: {error}", hint="Send JSON.") from None
    if len(data) > limits.max_bytes:
        raise ProgramError(
            f"the program has {len(data)} bytes; at most {limits.max_bytes} are allowed",
            hint="Pass long texts as arguments.",
        )
    _check_brackets(data, BRACKETS_PER_NODE * (limits.max_depth + 2))
    program = from_json(data)
    verify(program, limits)
    return program


def verify(program: Program, limits: Limits = DEFAULT_LIMITS) -> None:
    """Check a program.

    Raises:
        ProgramError: it cannot run; the message begins with the path of the node, as in
            `$.body[0].then[2].value`, and the note says what to do.
    """
    if program.version != VERSION:
        raise ProgramError(
            f"$.version: this is version {program.version}; only {VERSION} is known",
            hint="Compile the function again with this version of the library.",
        )
    _check_size(program, limits)
    functions, hosts = program.functions, program.hosts
    Scope(program, "$", functions=functions, hosts=hosts).check()
    for name, function in functions.items():
        path = f"$.functions[{name[:40]!r}]"
        if function.functions or function.version != VERSION:
            raise ProgramError(
                f"{path}: functions inside functions, or of another version",
                span=Span(function.file, 0),
                hint="List every function in the outermost program.",
            )
        Scope(function, path, functions=functions, hosts={*hosts, *function.hosts}).check()


def _check_brackets(data: bytes, most: int) -> None:
    """Peel innermost pairs, a fast pass for each level: 0.5 s for the worst megabyte."""
    brackets = _BETWEEN.sub(b"", data).translate(_SQUARE)
    for _ in range(most):
        if b"[]" not in brackets:
            break
        brackets = brackets.replace(b"[]", b"")
    if b"[]" in brackets or brackets.count(b"[") > most:
        raise ProgramError(
            f"brackets nest deeper than {most}", hint="Give parts of long expressions a name."
        )


@dataclass(frozen=True, slots=True)
class _Place:
    """A value and the way to it, written out only for a message."""

    value: Any
    label: str
    outer: _Place | None = None
    depth: int = 1

    def __str__(self) -> str:
        labels: list[str] = []
        place: _Place | None = self
        while place is not None:
            labels.append(place.label)
            place = place.outer
        return "".join(reversed(labels))

    def inside(self) -> Iterable[_Place]:
        """The places of the values right inside; a container in a field is no level of its own."""
        value = self.value
        plain = self.outer is None or not isinstance(self.outer.value, msgspec.Struct)
        level = self.depth + (plain or isinstance(value, msgspec.Struct))
        if isinstance(value, msgspec.Struct):
            for name in value.__struct_fields__:
                yield _Place(getattr(value, name), f".{name}", self, level)
        elif isinstance(value, dict):
            pairs = cast("dict[str, object]", value)
            for key, item in pairs.items():
                yield _Place(key, f".key({key!r})", self, level)
                yield _Place(item, f"[{key!r}]", self, level)
        elif isinstance(value, list | tuple):
            for i, item in enumerate(cast("list[Any]", value)):
                yield _Place(item, f"[{i}]", self, level)


def _check_size(program: Program, limits: Limits) -> None:
    """Bound nodes and nesting with a stack of our own, and look at every constant."""
    nodes = 0
    stack = [_Place(program, "$")]
    while stack:
        place = stack.pop()
        is_node = isinstance(place.value, msgspec.Struct)
        if is_node or isinstance(place.value, list | tuple | dict):
            if place.depth > limits.max_depth:
                raise ProgramError(
                    f"{str(place)[:200]}…: nested deeper than {limits.max_depth}",
                    hint="Give parts of long expressions a name, or split the function.",
                )
            stack.extend(place.inside())
        else:
            _check_constant(place)
        nodes += is_node or not _is_field(place)
        if nodes > limits.max_nodes:
            raise ProgramError(
                f"$: more than {limits.max_nodes} nodes",
                hint="Pass data as arguments, and loop instead of repeating.",
            )


def _is_field(place: _Place) -> bool:
    return place.outer is not None and isinstance(place.outer.value, msgspec.Struct)


def _check_constant(place: _Place) -> None:
    match place.value:
        case None | bool():
            return
        case int() as value:
            good, what = value in INT_RANGE, "an integer of at most 64 bits"
        case float() as value:
            good, what = value - value == 0, "a finite number"
        case str() as value:
            good, what = value.isascii() or not _has_surrogates(value), "text that UTF-8 can hold"
        case _:
            good, what = False, "a value of JSON"
    if not good:
        kind = type(place.value).__name__
        raise ProgramError(
            f"{place}: this {kind} is not {what}", hint="Let the program compute it."
        )


def _has_surrogates(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return True
    return False
