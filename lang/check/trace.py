"""What a walk over a program has met, for the checks to judge."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ...ir.nodes import Gen, Select
from ...ir.program import Program
from .env import Env, Usage
from .tape import Tape
from .tokens import Range

Status = Literal["bound", "maybe", "unbound"]


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a program's file."""

    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Site:
    """A statement that binds a variable of a state."""

    name: str
    place: Place
    by: Literal["gen", "select", "assignment", "scope"]


@dataclass(frozen=True, slots=True)
class Met:
    """A gen or a select, on one of the ways to it.

    Attributes:
        statement: with the holes filled whose values are known.
        unknown: the holes whose values are not.
        tape: the sequence before it.
        prompt: its tokens.
        site: the statement's identity.
        round: how many loops it stands in.
    """

    statement: Gen | Select
    unknown: frozenset[str]
    place: Place
    tape: Tape
    prompt: Range
    site: int


@dataclass(frozen=True, slots=True)
class Compared:
    """A comparison of what a select has chosen with a text that is none of its options."""

    place: Place
    text: str
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LateConstant:
    """A long constant text behind text that only a run knows."""

    place: Place
    dynamic_line: int
    characters: int


@dataclass(slots=True)
class Trace:
    """Everything that a walk has met."""

    programs: dict[int, Program] = field(default_factory=dict[int, Program])
    reached: set[int] = field(default_factory=set[int])  # identities of statements
    reads: dict[tuple[Place, str], set[Status]] = field(
        default_factory=dict[tuple[Place, str], "set[Status]"]
    )
    met: list[Met] = field(default_factory=list[Met])
    compared: set[Compared] = field(default_factory=set[Compared])
    late: set[LateConstant] = field(default_factory=set[LateConstant])
    sites: dict[int, Site] = field(default_factory=dict[int, Site])
    read: set[int] = field(default_factory=set[int])  # sites whose value is read
    alive: set[int] = field(default_factory=set[int])  # sites whose value is there in the end
    overwritten: dict[int, int] = field(default_factory=dict[int, int])  # site: by which
    names_read: dict[str, Place] = field(default_factory=dict[str, Place])  # of states
    arguments_read: list[tuple[int, str, Place]] = field(
        default_factory=list[tuple[int, str, Place]]
    )  # with how many sites were bound before
    order: list[int] = field(default_factory=list[int])  # sites, as they were first bound
    end: Env | None = None
    usage: dict[int, Usage] = field(default_factory=dict[int, Usage])
