"""Programs that a program calls: they run with the settings of their own call.

In Python a nested `f.run(...)` begins from the defaults of `run`, whatever the outer run was given.
An invoked program has no settings, so they are written into each of its gens.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import msgspec

from ...ir import program as ir
from ...ir.nodes import Gen, Sampling

if TYPE_CHECKING:
    from ..function import Function

_BODIES = ("body", "then", "otherwise")


def settings_of(function: Function) -> dict[str, Any]:
    """The keyword parameters of `run` with their defaults; a program never sees them."""
    parameters = inspect.signature(type(function).run).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def with_defaults(body: tuple[ir.Block, ...], defaults: Sampling) -> tuple[ir.Block, ...]:
    """Return a body whose gens say every sampling parameter."""
    return tuple(_complete(step, defaults) for step in body)


def _complete(step: ir.Block, defaults: Sampling) -> ir.Block:
    if isinstance(step, ir.Do):
        if not isinstance(step.statement, Gen):
            return step
        sampling = step.statement.sampling.over(msgspec.structs.replace(defaults, report=None))
        logprobs = step.statement.logprobs or defaults.report
        statement = msgspec.structs.replace(step.statement, sampling=sampling, logprobs=logprobs)
        return msgspec.structs.replace(step, statement=statement)
    changed = {
        name: with_defaults(getattr(step, name), defaults)
        for name in _BODIES
        if getattr(step, name, ())
    }
    return msgspec.structs.replace(step, **changed) if changed else step
