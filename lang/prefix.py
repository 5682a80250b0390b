"""What programs begin with, computed on a backend before they run."""

from __future__ import annotations

import logging
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from ..ir.loop import wait
from ..ir.machine import Execution
from ..ir.nodes import Sampling, Stmt, Text
from ..ir.prefix import constant_prefix
from ..ir.program import Program
from ..ir.wire import pack, unpack
from .backends.default import ProgramBackend

if TYPE_CHECKING:
    from .function import Function

logger = logging.getLogger(__name__)

MIN_SHARED_CHARACTERS = 64  # of a batch's common beginning: less is not worth a request of its own


def beginning(program: Program, arguments: Mapping[str, Any]) -> tuple[Stmt, ...]:
    """What a program begins with, given some of its arguments.

    Those that are data are known to the analysis; the others, and those that are missing and have
    no default, are not.
    """
    known: dict[str, Any] = {}
    unknown: set[str] = set()
    for name, value in arguments.items():
        try:
            known[name] = unpack(pack(value))  # a copy: the program may change it
        except TypeError:
            unknown.add(name)
    return wait(constant_prefix(program, known, frozenset(unknown)))


def common_beginning(function: Function, batch: Sequence[Mapping[str, Any]]) -> tuple[Stmt, ...]:
    """What every program of a batch begins with; nothing where the function does not compile."""
    program = function.compile().program
    if program is None:
        return ()
    members = [{**function.bound, **given} for given in batch]
    shared: dict[str, Any] = {}
    for parameter in program.parameters:
        values = [member[parameter.name] for member in members if parameter.name in member]
        if values:
            is_shared = len(values) == len(members) and _are_alike(values)
            shared[parameter.name] = values[0] if is_shared else _UNKNOWN
    return beginning(program, shared)


_UNKNOWN = object()  # no data, so it counts as not known


def _are_alike(values: Sequence[Any]) -> bool:
    """Whether values are the same data; `1`, `1.0` and `True` are not, as they read differently."""
    first = values[0]
    try:
        encoded = msgspec.json.encode(pack(first))
        return all(
            value is first or msgspec.json.encode(pack(value)) == encoded for value in values[1:]
        )
    except TypeError:
        return False


def is_worth_it(statements: Sequence[Stmt]) -> bool:
    """Whether a beginning is long enough to be computed on its own."""
    texts = [statement.text for statement in statements if isinstance(statement, Text)]
    return sum(map(len, texts)) >= MIN_SHARED_CHARACTERS


@contextmanager
def kept(backend: ProgramBackend, statements: Sequence[Stmt]) -> Generator[None]:
    """Compute a beginning on a backend, and hold its sequence until the end.

    A backend that fails here is not asked again: the programs meet the error themselves.
    """
    execution: Execution | None = None
    try:
        execution = wait(compute(backend, statements))
    except Exception as error:
        logger.info("the common beginning of a batch could not be computed: %s", error)
    try:
        yield
    finally:
        if execution is not None:
            wait(execution.release())


async def compute(backend: ProgramBackend, statements: Sequence[Stmt]) -> Execution:
    """Execute a beginning, have it computed and return what holds it. On the private loop.

    Raises:
        BackendError: the backend failed.
    """
    execution = await Execution.start(await backend.ready(), defaults=Sampling())
    try:
        for statement in statements:
            await execution.execute(statement)
        await execution.hold()
    except BaseException:
        await execution.release()
        raise
    return execution
