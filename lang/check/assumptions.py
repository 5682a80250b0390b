"""Tests during a walk: whether they hold, and what is known where they did."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...ir.evaluate import Fuel
from ...ir.expressions import Compare, Const, Expression, Logic, Name, Read, Unary
from ...ir.operators import COMPARE
from .env import Env, Fact, Variable
from .expressions import Expressions
from .values import Known, free, inside, key_of, possible


class Assumptions(Expressions):
    """Answers for tests."""

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


def _is_true(value: Any) -> bool:
    return bool(value)
