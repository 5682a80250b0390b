"""Expressions during a walk: what they may be, what they read, and what a test tells."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

from ...ir.evaluate import Fuel
from ...ir.expressions import (
    Binary,
    Call,
    Choose,
    Compare,
    Comprehension,
    Const,
    Expression,
    Format,
    Index,
    Items,
    Logic,
    Name,
    Node,
    Read,
    Slice,
    Target,
    Unary,
)
from ...ir.nodes import Select
from ...ir.operators import COMPARE
from ...ir.program import Program
from ...ir.scopes import names_of
from .env import UNKNOWN, Env, Fact, GroupRef, Local, StateRef, Variable
from .languages import Languages
from .tokens import ANY, Counter, Pieces, Range, merged
from .trace import Compared, Place, Status, Trace
from .values import (
    Known,
    Value,
    changed_names,
    compute,
    free,
    inside,
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
        if known is None or not known.only or ref is None or _is_vague(ref):
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

    # ---- tests

    def truth(self, node: Expression, env: Env) -> bool | None:
        """Whether a test holds; None where only a run knows."""
        key = key_of(node)
        for outcome in (True, False):
            if (key, outcome) in env.held:
                return outcome
        match node:
            case Unary(operator="not", operand=operand):
                inner = self.truth(operand, env)
                return None if inner is None else not inner
            case Logic(operator=operator, operands=operands):
                stops = operator == "or"
                found = [self.truth(operand, env) for operand in operands]
                if stops in found:
                    return stops
                return None if None in found else not stops
            case _:
                known = self.value(node, env)
                if known is None:
                    return None
                outcomes = {_is_true(value) for value in known.values}
                return outcomes.pop() if len(outcomes) == 1 else None

    def assume(self, node: Expression, outcome: bool, env: Env) -> Env:
        """Return what is known where a test came out so."""
        env = env.copy()
        self._assume(node, outcome, env)
        return env

    def _assume(self, node: Expression, outcome: bool, env: Env) -> None:
        match node:
            case Unary(operator="not", operand=operand):
                self._assume(operand, not outcome, env)
                return
            case Logic(operator=operator, operands=operands) if outcome is (operator == "and"):
                for operand in operands:
                    self._assume(operand, outcome, env)
            case Read(state=state, what="bound", name=name) if name is not None:
                self._assume_bound(state, name, outcome, env)
            case Compare(left=left, rest=((operator, right),)):
                self._narrow(left, right, operator, outcome, env, flipped=False)
                self._narrow(right, left, operator, outcome, env, flipped=True)
            case Name() | Read(what="variable"):
                known = self.value(node, env)
                if known is not None:
                    fitting = [v for v in known.values if _is_true(v) is outcome]
                    self._learn(node, fitting, known, env)
            case _:
                pass
        needs = self._needs(node)
        if needs is None:
            return
        test = (key_of(node), outcome)
        env.held.add(test)
        env.needs[test[0]] = needs
        for held in env.states.values():
            for key, variable in held.variables.items():
                if test in variable.when:
                    held.variables[key] = replace(variable, is_certain=True)

    def _assume_bound(self, state: Expression, name: Expression, outcome: bool, env: Env) -> None:
        known = self.value(name, env)
        targets = env.targets(self.ref(state, env))
        if known is None or not known.only or len(targets) != 1:
            return
        variables = env.states[targets[0]].variables
        variable = variables.get(known.values[0])
        if outcome:
            variables[known.values[0]] = (
                Variable(True, frozenset())
                if variable is None
                else replace(variable, is_certain=True)
            )
        elif variable is not None:
            del variables[known.values[0]]

    def _narrow(
        self,
        node: Expression,
        other: Expression,
        operator: str,
        outcome: bool,
        env: Env,
        *,
        flipped: bool,
    ) -> None:
        if not isinstance(node, Name | Read):
            return
        known, against = self.value(node, env), self.value(other, env)
        if known is None or against is None or not against.only:
            return
        fitting: list[Any] = []
        for value in known.values:
            pair = (against.values[0], value) if flipped else (value, against.values[0])
            try:
                holds = bool(COMPARE[operator](Fuel(), *pair))
            except Exception:  # values that do not compare: the run would end there
                continue
            if holds is outcome:
                fitting.append(value)
        self._learn(node, fitting, known, env)

    def _learn(self, node: Expression, fitting: list[Any], known: Known, env: Env) -> None:
        needs = self._needs(node)
        value = possible(fitting, is_choice=known.is_choice)
        if needs is not None and value is not None:
            env.facts[key_of(node)] = Fact(value, needs)

    def _needs(self, node: Expression) -> frozenset[str] | None:
        """What a test depends on; None if something else may change it."""
        needs: set[str] = set()
        for leaf in free(node):
            if isinstance(leaf, Read):
                if leaf.what not in ("variable", "bound") or not isinstance(leaf.name, Const):
                    return None
                needs.add(str(leaf.name.value))
                needs |= {n.name for n in inside(leaf.state) if isinstance(n, Name)}
            elif leaf.name in self.scope.changed:
                return None
            else:
                needs.add(leaf.name)
        return frozenset(needs)

    # ---- reads

    def note(self, value: Any, env: Env) -> None:
        """Note what an expression, or a container of them, reads and compares."""
        match value:
            case Choose(test=test, then=then, otherwise=otherwise):
                self.note(test, env)
                for outcome, branch in ((True, then), (False, otherwise)):
                    if self.truth(test, env) is not (not outcome):
                        self.note(branch, self.assume(test, outcome, env))
            case Logic(operator=operator, operands=operands):
                for operand in operands:
                    self.note(operand, env)
                    goes_on = operator == "and"
                    if self.truth(operand, env) is (not goes_on):
                        break
                    env = self.assume(operand, goes_on, env)
            case Comprehension(clauses=clauses, item=item, key=key):
                env = env.copy()
                for clause in clauses:
                    self.note(clause.items, env)
                    self.bind(clause.target, self.shape(clause.items, env), env)
                    for condition in clause.conditions:
                        self.note(condition, env)
                        env = self.assume(condition, True, env)
                self.note((key, item), env)
            case Read():
                self._note_read(value, env)
                self.note(value.name, env)
            case Node():
                if isinstance(value, Compare):
                    self._note_comparison(value, env)
                if isinstance(value, Name) and value.name in _parameters(self.scope.program):
                    entry = (len(self.trace.order), value.name, self.scope.place)
                    self.trace.arguments_read.append(entry)
                for name in value.__struct_fields__:
                    self.note(getattr(value, name), env)
            case tuple():
                for inner in cast("tuple[object, ...]", value):
                    self.note(inner, env)
            case dict():
                for inner in cast("dict[str, object]", value).values():
                    self.note(inner, env)
            case _:
                pass

    def _note_read(self, node: Read, env: Env) -> None:
        if node.name is None:
            return
        ref, known = self.ref(node.state, env), self.value(node.name, env)
        states = [env.states[target] for target in env.targets(ref)]
        if known is None or not known.only:  # any of them
            for state in states:
                for variable in state.variables.values():
                    self.trace.read |= variable.sites
            return
        name = known.values[0]
        self.trace.names_read[name] = self.scope.place
        statuses: set[Status] = set()
        for state in states:
            found = state.variables.get(name)
            if found is None:
                statuses.add("bound" if state.is_open else "unbound")
                continue
            self.trace.read |= found.sites
            statuses.add("bound" if found.is_certain or state.is_open else "maybe")
        if node.what != "bound" and ref is not None and not _is_vague(ref):
            self.trace.reads.setdefault((self.scope.place, str(name)), set()).update(statuses)

    def _note_comparison(self, node: Compare, env: Env) -> None:
        left = node.left
        for operator, right in node.rest:
            if operator in ("==", "!="):
                self._compare_options(left, right, env)
                self._compare_options(right, left, env)
            elif operator in ("in", "not in") and isinstance(right, Items):
                for item in right.items:
                    self._compare_options(left, item, env)
            left = right

    def _compare_options(self, node: Expression, other: Expression, env: Env) -> None:
        options = self.value(node, env, refined=False)
        text = self.value(other, env, refined=False)
        if options is None or not options.is_choice or text is None or text.is_choice:
            return
        if not all(isinstance(value, str) for value in (*options.values, *text.values)):
            return
        for value in text.values:
            if value not in options.values:
                self.trace.compared.add(Compared(self.scope.place, value, options.values))


def options_of(select: Select) -> Value:
    """What a select may choose."""
    return possible(list(select.choices), is_choice=True) if select.choices else None


def _one_of(shape: StateRef | GroupRef | None) -> StateRef | None:
    if not isinstance(shape, GroupRef):
        return shape
    if len(shape.states) == 1:
        return StateRef(shape.states[0])
    return StateRef(None, shape.states)


def _is_vague(ref: StateRef | GroupRef | None) -> bool:
    return isinstance(ref, StateRef) and ref.state is None


def _parameters(program: Program) -> frozenset[str]:
    return frozenset(parameter.name for parameter in program.parameters)


def _is_true(value: Any) -> bool:
    return bool(value)
