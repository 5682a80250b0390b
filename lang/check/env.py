"""What is known at one point of a program: local names, states, and tests that have been made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from .tape import Tape
from .tokens import ANY, NONE, Counter, Pieces, Range
from .values import Known, Value, either

StateId = tuple[Any, ...]
Test = tuple[bytes, bool]  # an expression's key, and whether it held


@dataclass(frozen=True, slots=True)
class StateRef:
    """A local name for one state; None: one of several, or (none listed) of all."""

    state: StateId | None
    among: tuple[StateId, ...] = ()


@dataclass(frozen=True, slots=True)
class GroupRef:
    """A local name for the states of a fork.

    Attributes:
        states: one for each branch; one for all of them where their number is not known.
        parent: what was forked.
        is_summary: whether their number is not known.
    """

    states: tuple[StateId, ...]
    parent: StateId | None
    is_summary: bool


@dataclass(frozen=True, slots=True, eq=False)
class Local:
    """What a local name holds: a value, the text that it is, or states."""

    value: Value = None
    pieces: Pieces = (ANY,)
    ref: StateRef | GroupRef | None = None


UNKNOWN = Local()


@dataclass(frozen=True, slots=True, eq=False)
class Variable:
    """A variable of a state.

    Attributes:
        is_certain: whether it is bound on every way here.
        sites: where it may have been bound.
        value: what it may be.
        tokens: of its text.
        when: tests that hold wherever it is bound.
    """

    is_certain: bool
    sites: frozenset[int]
    value: Value = None
    tokens: Range = ANY
    when: frozenset[Test] = frozenset()


@dataclass(slots=True)
class State:
    """A state of the program: its variables, and its sequence."""

    variables: dict[str, Variable] = field(default_factory=dict[str, Variable])
    tape: Tape = field(default_factory=Tape)
    is_open: bool = False  # whether variables may be bound that nobody knows of
    parent: StateId | None = None
    inherited: frozenset[int] = frozenset()  # the sites that its parent had at the fork

    def copy(self) -> State:
        """A state that changes apart from this one."""
        return replace(self, variables=dict(self.variables))


class Usage(msgspec.Struct, frozen=True):
    """What one gen or select costs, over all of its runs; tokens."""

    prompt: Range = NONE
    cached: Range = NONE
    forced: Range = NONE
    decoded: Range = NONE
    scored: Range = NONE
    runs: Range = NONE

    def __add__(self, other: Usage) -> Usage:
        mine, its = msgspec.structs.astuple(self), msgspec.structs.astuple(other)
        return Usage(*(a + b for a, b in zip(mine, its, strict=True)))

    def __or__(self, other: Usage) -> Usage:
        """What holds either."""
        mine, its = msgspec.structs.astuple(self), msgspec.structs.astuple(other)
        return Usage(*(a | b for a, b in zip(mine, its, strict=True)))

    def widened(self, before: Usage) -> Usage:
        """This, with its ends let go where they have moved."""
        mine, its = msgspec.structs.astuple(self), msgspec.structs.astuple(before)
        return Usage(*(a.widened(b) for a, b in zip(mine, its, strict=True)))


@dataclass(frozen=True, slots=True)
class Fact:
    """What a test has told of an expression."""

    value: Known
    needs: frozenset[str]  # names and variables that the expression reads


@dataclass(slots=True)
class Env:
    """What is known at one point."""

    locals: dict[str, Local] = field(default_factory=dict[str, Local])
    states: dict[StateId, State] = field(default_factory=dict[StateId, State])
    facts: dict[bytes, Fact] = field(default_factory=dict[bytes, Fact])
    held: set[Test] = field(default_factory=set[Test])
    needs: dict[bytes, frozenset[str]] = field(default_factory=dict[bytes, frozenset[str]])
    usage: dict[int, Usage] = field(default_factory=dict[int, Usage])
    longest: Range = NONE  # tokens of the longest sequence so far

    def copy(self) -> Env:
        """An environment that changes apart from this one."""
        return Env(
            dict(self.locals),
            {key: state.copy() for key, state in self.states.items()},
            dict(self.facts),
            set(self.held),
            self.needs,  # what a test reads is the same everywhere
            dict(self.usage),
            self.longest,
        )

    def forget(self, name: str) -> None:
        """Drop what tests have told of a local name or of a variable of that name."""
        self.facts = {key: fact for key, fact in self.facts.items() if name not in fact.needs}
        keys = {key for key, needs in self.needs.items() if name in needs}
        if not keys:
            return
        gone = {(key, outcome) for key in keys for outcome in (True, False)}
        self.held -= gone
        for state in self.states.values():
            for key, variable in state.variables.items():
                if variable.when & gone:
                    state.variables[key] = replace(variable, when=variable.when - gone)

    def bind(self, name: str, local: Local) -> None:
        """Bind a local name."""
        self.forget(name)
        self.locals[name] = local

    def targets(self, ref: StateRef | GroupRef | None) -> list[StateId]:
        """The states that a reference may mean; all of them where it is not known."""
        match ref:
            case StateRef(state=None, among=states) if states:
                return [state for state in states if state in self.states]
            case StateRef(state=None) | None:
                return list(self.states)
            case StateRef(state=state):
                return [state] if state in self.states else []
            case GroupRef(states=states):
                return [state for state in states if state in self.states]


def join(envs: Sequence[Env], counter: Counter, *, lenient: Env | None = None) -> Env | None:
    """What is known where several ways meet; None where none of them comes.

    Args:
        envs: the ways.
        counter: counts what is pending.
        lenient: one more way, which a loop takes that has no rounds. Its values and its costs
            count; that it has not bound a variable does not, for loops are taken to have rounds.
    """
    ways = [*envs, *([] if lenient is None else [lenient])]
    if not ways:
        return None
    result = ways[0].copy()
    for way in ways[1:]:
        _join_into(result, way, counter, lenient is way and len(ways) > 1)
    return result


def _join_into(into: Env, other: Env, counter: Counter, is_lenient: bool) -> None:
    only_mine, only_its = into.held - other.held, other.held - into.held
    into.held &= other.held
    for key, state in other.states.items():
        if key not in into.states:
            into.states[key] = state.copy()
            continue
        mine = into.states[key]
        names = dict.fromkeys((*mine.variables, *state.variables))
        mine.variables = {
            name: _either(
                mine.variables.get(name),
                state.variables.get(name),
                frozenset(only_mine),
                frozenset(only_its),
                is_lenient,
            )
            for name in names
        }
        mine.tape = mine.tape.joined(state.tape, counter)
        mine.is_open |= state.is_open
    for name, local in into.locals.items():
        into.locals[name] = _either_local(local, other.locals.get(name, UNKNOWN))
    for name, local in other.locals.items():
        into.locals.setdefault(name, UNKNOWN if local.ref is None else local)
    facts = {told: fact for told, fact in into.facts.items() if told in other.facts}
    into.facts = {}
    for told, fact in facts.items():
        value = either(fact.value, other.facts[told].value)
        if value is not None:
            into.facts[told] = Fact(value, fact.needs)
    into.usage = {
        site: into.usage.get(site, Usage()) | other.usage.get(site, Usage())
        for site in dict.fromkeys((*into.usage, *other.usage))
    }
    into.longest |= other.longest


def _either(
    mine: Variable | None,
    its: Variable | None,
    only_mine: frozenset[Test],
    only_its: frozenset[Test],
    is_lenient: bool,
) -> Variable:
    if mine is None or its is None:
        found, tests = (its, only_its) if mine is None else (mine, only_mine)
        assert found is not None
        if is_lenient and its is None:
            return found
        when = tests if found.is_certain else frozenset[Test]()
        return replace(found, is_certain=False, when=when)
    if mine is its:
        return mine
    when = its.when if mine.is_certain else mine.when
    if mine.is_certain == its.is_certain:
        when = mine.when & its.when
    return Variable(
        is_certain=mine.is_certain and its.is_certain,
        sites=mine.sites | its.sites,
        value=either(mine.value, its.value),
        tokens=mine.tokens | its.tokens,
        when=when,
    )


def _either_local(mine: Local, its: Local) -> Local:
    if mine is its:
        return mine
    ref = mine.ref if mine.ref == its.ref else None
    if ref is None and (mine.ref is not None or its.ref is not None):
        ref = StateRef(None)
    pieces = mine.pieces if mine.pieces == its.pieces else (ANY,)
    return Local(either(mine.value, its.value), pieces, ref)


def widened(now: Env, before: Env) -> Env:
    """`now`, with whatever has moved since `before` let go, so that loops come to an end."""
    for name, local in now.locals.items():
        old = before.locals.get(name)
        if old is None or local.ref is not None:
            continue
        if local.value is not None and (
            old.value is None or repr(old.value.values) != repr(local.value.values)
        ):
            now.locals[name] = UNKNOWN
    for key, state in now.states.items():
        old_state = before.states.get(key)
        if old_state is None:
            continue
        tape, old_tape = state.tape, old_state.tape
        state.tape = replace(
            tape,
            length=tape.length.widened(old_tape.length),
            stored=tape.stored.widened(old_tape.stored),
        )
    now.usage = {
        site: used.widened(before.usage.get(site, Usage())) for site, used in now.usage.items()
    }
    now.longest = now.longest.widened(before.longest)
    return now
