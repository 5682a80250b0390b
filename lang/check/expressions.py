"""Expressions during a walk: what they may be, which states they mean, what text they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from ...ir.expressions import (
    Binary,
    Call,
    Const,
    Expression,
    Format,
    Index,
    Name,
    Read,
    Slice,
    Target,
)
from ...ir.nodes import Select
from ...ir.program import Program
from ...ir.scopes import names_of
from .env import UNKNOWN, Env, GroupRef, Local, StateRef, Variable
from .languages import Languages
from .tokens import ANY, Counter, Pieces, Range, merged
from .trace import Place, Status, Trace
from .values import (
    Known,
    Value,
    changed_names,
    compute,
    key_of,
    possible,
)

Shape = StateRef | GroupRef | tuple["Shape", ...] | None  # what items of an iteration are

_RETOKENISED = 2  # tokens that generated text may have more, as a factor, when it is a literal


@dataclass(slots=True)
class Scope:
    """One program that is walked, and what all of the walk shares."""

    program: Program
    trace: Trace
    counter: Counter
    languages: Languages
    changed: frozenset[str]
    line: int = 0

    @classmethod
    def of(cls, program: Program, trace: Trace, counter: Counter, languages: Languages) -> Scope:
        """Begin with a program."""
        return cls(program, trace, counter, languages, changed_names(program))

    @property
    def place(self) -> Place:
        """Where the statement stands that is walked."""
        return Place(self.program.file or self.program.name, self.line)


class Expressions:
    """Answers for the expressions of one program."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.trace = scope.trace
        self.counter = scope.counter

    # ---- values

    def value(self, node: Expression, env: Env, *, refined: bool = True) -> Value:
        """What an expression may be; `refined` by the tests that were made."""
        return compute(node, lambda leaf: self._leaf(leaf, env, refined))

    def _leaf(self, node: Expression, env: Env, refined: bool) -> Value:
        if refined and env.facts and (fact := env.facts.get(key_of(node))) is not None:
            return fact.value
        match node:
            case Name(name=name):
                return None if name in self.scope.changed else self.local(name, env).value
            case Read(state=state, what="variable", name=name) if name is not None:
                found = self._variables(state, name, env)
                if len(found) != 1 or found[0] is None:
                    return None
                return found[0].value
            case Read(state=state, what="bound", name=name) if name is not None:
                statuses = self.statuses(state, name, env)
                if statuses == {"bound"}:
                    return Known((True,))
                return Known((False,)) if statuses == {"unbound"} else None
            case _:
                return None

    def local(self, name: str, env: Env) -> Local:
        """What a local name holds."""
        return env.locals.get(name, UNKNOWN)

    def _variables(self, state: Expression, name: Expression, env: Env) -> list[Variable | None]:
        known = self.value(name, env)
        if known is None or not known.only:
            return []
        targets = env.targets(self.ref(state, env))
        return [env.states[target].variables.get(known.values[0]) for target in targets]

    def statuses(self, state: Expression, name: Expression, env: Env) -> set[Status]:
        """Whether a variable is bound, in each of the states that may be meant."""
        ref = self.ref(state, env)
        known = self.value(name, env)
        if known is None or not known.only or ref is None or is_vague(ref):
            return {"bound", "unbound"}
        found: set[Status] = set()
        for target in env.targets(ref):
            variable = env.states[target].variables.get(known.values[0])
            if variable is not None:
                found.add("bound" if variable.is_certain else "maybe")
            elif env.states[target].is_open:
                found.add("maybe")
            else:
                found.add("unbound")
        return found

    # ---- states

    def ref(self, node: Expression, env: Env) -> StateRef | GroupRef | None:
        """Which states an expression means; None for a value."""
        match node:
            case Name(name=name):
                return self.local(name, env).ref
            case Index(value=value, index=index):
                group = self.ref(value, env)
                if not isinstance(group, GroupRef):
                    return None if group is None else StateRef(None)
                if group.is_summary:
                    return StateRef(group.states[0])
                known = self.value(index, env)
                if known is not None and known.only and isinstance(known.values[0], int):
                    at = known.values[0]
                    if -len(group.states) <= at < len(group.states):
                        return StateRef(group.states[at])
                return StateRef(None, group.states)
            case _:
                return None

    def shape(self, node: Expression, env: Env) -> Shape:
        """What the items are that iterating over an expression gives."""
        match node:
            case Name() | Index():
                found = self.ref(node, env)
                return found if isinstance(found, GroupRef) else None
            case Call(function="enumerate", arguments=(items, *_)):
                return (None, self.shape(items, env))
            case Call(function="zip", arguments=arguments):
                return tuple(self.shape(items, env) for items in arguments)
            case Call(function="reversed" | "list", arguments=(items,)):
                return self.shape(items, env)
            case Slice(value=value):
                return self.shape(value, env)
            case _:
                return None

    def bind(self, target: Target, shape: Shape, env: Env) -> None:
        """Bind the names of a target to items of a shape."""
        if isinstance(shape, tuple) and not hasattr(target, "name"):
            inner = cast("Any", target).targets
            if len(inner) == len(shape):
                for part, held in zip(inner, shape, strict=True):
                    self.bind(part, held, env)
                return
        for name in names_of(target):
            ref = _one_of(shape) if not isinstance(shape, tuple) else StateRef(None)
            env.bind(name, UNKNOWN if ref is None else Local(ref=ref))

    # ---- texts

    def pieces(self, node: Expression, env: Env) -> Pieces:
        """The text of an expression, as far as it is known."""
        known = self.value(node, env)
        if known is not None and all(isinstance(value, str) for value in known.values):
            return (known.values[0],) if known.only else (self._counted(known),)
        match node:
            case Format(parts=parts):
                found: list[str | Range] = []
                for part in parts:
                    if isinstance(part, Const):
                        found.append(str(part.value))
                    elif not part.conversion and part.spec is None:
                        found += self._shown(part.value, env)
                    else:
                        value = self.value(Format(parts=(part,)), env)
                        is_one = value is not None and value.only
                        found.append(value.values[0] if value is not None and is_one else ANY)
                return merged(tuple(found))
            case Binary(operator="+", left=left, right=right):
                return merged((*self.pieces(left, env), *self.pieces(right, env)))
            case Call(function="str", arguments=(value,)):
                return self._shown(value, env)
            case Name(name=name):
                return self.local(name, env).pieces
            case Read(state=state, what="variable", name=name) if name is not None:
                variables = self._variables(state, name, env)
                tokens = [v.tokens for v in variables if v is not None]
                if len(tokens) != 1 or tokens[0].most is None:
                    return (ANY,)
                return (Range(0, tokens[0].most * _RETOKENISED),)
            case _:
                return (ANY,)

    def _shown(self, node: Expression, env: Env) -> Pieces:
        """The pieces of `str(value)`."""
        known = self.value(node, env)
        if known is None:
            return self.pieces(node, env)
        texts = possible([str(value) for value in known.values])
        assert texts is not None
        return (texts.values[0],) if texts.only else (self._counted(texts),)

    def _counted(self, known: Known) -> Range:
        counts = [self.counter.count(text) for text in known.values]
        return Range(min(counts), max(counts))


def options_of(select: Select) -> Value:
    """What a select may choose."""
    return possible(list(select.choices), is_choice=True) if select.choices else None


def _one_of(shape: StateRef | GroupRef | None) -> StateRef | None:
    if not isinstance(shape, GroupRef):
        return shape
    if len(shape.states) == 1:
        return StateRef(shape.states[0])
    return StateRef(None, shape.states)


def is_vague(ref: StateRef | GroupRef | None) -> bool:
    """Whether a reference may mean one state or another."""
    return isinstance(ref, StateRef) and ref.state is None
