"""Loops that a run decides: when a pass over the body tells nothing new, and what it may cost."""

from __future__ import annotations

from ...ir.program import Assign, Block, For, Fork, HostCall, Invoke
from ...ir.scopes import names_of
from .env import UNKNOWN, Env, GroupRef, Usage
from .expressions import Shape
from .tokens import Range
from .values import all_steps


def is_summary(shape: Shape) -> bool:
    """Whether items are branches of a fork for which one state stands."""
    match shape:
        case GroupRef(is_summary=found):
            return found
        case tuple():
            return any(map(is_summary, shape))
        case _:
            return False


def is_settled(now: Env, before: Env) -> bool:
    """Whether another pass over a loop would tell nothing new."""
    for key, state in now.states.items():
        old = before.states.get(key)
        if old is None or old.variables.keys() != state.variables.keys():
            return False
        for name, variable in state.variables.items():
            mine, its = variable, old.variables[name]
            if (mine.is_certain, mine.sites) != (its.is_certain, its.sites):
                return False
            if mine.value is None and its.value is not None:
                return False
        if state.tape.length != old.tape.length:
            return False
    return (
        now.usage == before.usage
        and len(now.facts) == len(before.facts)
        and len(now.held) == len(before.held)
        and all(
            (local.value is None) == (before.locals.get(name, UNKNOWN).value is None)
            and local.ref == before.locals.get(name, UNKNOWN).ref
            for name, local in now.locals.items()
        )
    )


def unbounded(used: Usage) -> Usage:
    """What one round costs, for one round or more."""
    return Usage(
        *(
            Range(r.least, None if r.most else 0)
            for r in (used.prompt, used.cached, used.forced, used.decoded, used.scored, used.runs)
        )
    )


def assigned(body: tuple[Block, ...]) -> set[str]:
    """The local names that a body binds."""
    found: set[str] = set()
    for step in all_steps(body):
        match step:
            case Assign(target=target) | For(target=target):
                found |= set(names_of(target))
            case HostCall(out=target) | Invoke(out=target) if target is not None:
                found |= set(names_of(target))
            case Fork(out=out):
                found.add(out)
            case _:
                pass
    return found
