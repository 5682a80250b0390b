"""What expressions read and compare, noted for the checks."""

from __future__ import annotations

from typing import Any, cast

from ...ir.expressions import (
    Choose,
    Compare,
    Comprehension,
    Expression,
    Items,
    Logic,
    Name,
    Node,
    Read,
)
from ...ir.program import Program
from .assumptions import Assumptions
from .env import Env
from .expressions import is_vague
from .trace import Compared, Status


class Reads(Assumptions):
    """Notes reads of variables and arguments, and comparisons of options."""

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
        if node.what != "bound" and ref is not None and not is_vague(ref):
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


def _parameters(program: Program) -> frozenset[str]:
    return frozenset(parameter.name for parameter in program.parameters)
