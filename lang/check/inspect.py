"""The whole check of a function: walks, then every check on what they have met."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from . import bindings, branches, constraints, limits, texts
from .expressions import Scope
from .finding import Finding, Report
from .flow import walk
from .languages import Languages
from .subject import Subject, not_compiled, subject_of
from .tokens import Counter, Tokenizer
from .trace import Trace
from .values import Known, Value

if TYPE_CHECKING:
    from ..function import Function


def check_function(
    function: Function,
    given: Mapping[str, Any],
    *,
    tokenizer: Tokenizer | None,
    context_length: int | None,
) -> Report:
    """See `Function.check`."""
    subject = subject_of(function)
    counter = Counter(tokenizer)
    languages = Languages(counter)
    found = [*not_compiled(subject)]
    found += branches.folded(subject.source) if subject.source is not None else ()
    if subject.program is not None:
        trace = walked(subject, {}, counter, languages)
        found += _of_program(subject, trace, languages)
        found += _of_texts(trace, counter, languages)
        if given:
            trace = walked(subject, given, counter, languages)
            found += [f for f in _of_program(subject, trace, languages) if f.severity == "error"]
        if context_length is not None:
            found += limits.overflow(subject.program, trace, context_length)
    return Report.of(found)


def walked(
    subject: Subject, given: Mapping[str, Any], counter: Counter, languages: Languages
) -> Trace:
    """Walk a subject's program with some arguments given."""
    assert subject.program is not None
    trace = Trace()
    scope = Scope.of(subject.program, trace, counter, languages)
    values: dict[str, Value] = {name: Known((value,)) for name, value in given.items()}
    walk(scope, subject.functions, values, is_open=bool(subject.reasons))
    return trace


def _of_program(subject: Subject, trace: Trace, languages: Languages) -> Iterator[Finding]:
    assert subject.program is not None
    yield from bindings.unbound(trace)
    yield from branches.impossible_options(trace)
    if not subject.reasons:  # what is missing may read, bind and leave
        yield from bindings.shadowed(trace)
        yield from bindings.shadowed_arguments(trace)
        yield from branches.unreachable(trace)
    yield from constraints.constraints(trace, languages)
    yield from constraints.options(trace)
    yield from constraints.budgets(trace, languages)


def _of_texts(trace: Trace, counter: Counter, languages: Languages) -> Iterator[Finding]:
    yield from texts.trailing_spaces(trace, languages)
    yield from texts.split_tokens(trace, counter, languages)
    yield from texts.late_constants(trace)
    yield from limits.unbounded_gens(trace, languages)
    yield from limits.unbounded_loops(trace)
