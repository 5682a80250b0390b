"""From a spec of JSON to what a back end compiles: a core schema, its contract, its check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from .contract import Contract, Status
from .errors import LimitError, UnsatisfiableError, UnsupportedError
from .layout import Layout
from .normal import normalise
from .normal.form import Core
from .spec import GrammarSpec, parse_json

__all__ = ["Plan", "compile_json"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of a spec of kind "json_schema" or "json_object"."""

    core: Core
    contract: Contract
    layout: Layout


def compile_json(spec: GrammarSpec, write: Callable[[Plan], T]) -> T:
    """Plan a spec and let a back end write its grammar.

    In mode "best_effort" a back end that cannot write the opposites of schemas, or not so many of
    them, is asked again without them: they are checked then.

    Raises:
        GrammarError: the schema's or the back end's.
    """
    try:
        return write(_plan(spec, exclude=True))
    except (UnsupportedError, LimitError) as error:
        if spec.kind != "json_schema" or spec.mode == "strict":
            raise
        plan = _plan(spec, exclude=False)
        if plan.contract.is_enforced:  # there are no opposites, and it would say the same again
            raise
        try:
            return write(plan)
        except (UnsupportedError, LimitError):
            raise error from None


def _plan(spec: GrammarSpec, *, exclude: bool) -> Plan:
    if spec.kind == "json_object":
        return Plan({"type": "object"}, Contract(), spec.layout)
    document = parse_json(spec.source, kind=spec.kind)
    normal = normalise(document, exclude=exclude)
    if normal.core is False:
        raise UnsatisfiableError("nothing is valid under it", kind=spec.kind, pointer="")
    for status in (Status.REFUSED, Status.CHECKED):
        for finding in normal.contract.of(status):
            if status is Status.REFUSED or spec.mode == "strict":
                raise finding.error()
    return Plan(normal.core, normal.contract, spec.layout)
