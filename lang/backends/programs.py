"""Compiled programs: run by this process, or sent whole to a server."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, cast

import msgspec

from ...ir import errors
from ...ir.budget import Budget
from ...ir.errors import BackendError, ProgramError, message_of
from ...ir.fuel import Limits
from ...ir.machine import Execution, SequenceId
from ...ir.nodes import NOWHERE, Sampling
from ...ir.program import Program, to_json
from ...ir.roles import PLAIN
from ...ir.run import EXCEPTIONS, run_program
from ...ir.strand import Listener, Strand
from .default import ProgramBackend, using
from .endpoint import RuntimeEndpoint, events_of

Hosts = Mapping[str, Callable[..., Any]]

LIMITS = Limits(steps=100_000_000, tokens=1_000_000_000, forks=100_000, seconds=7 * 86_400.0)
"""Of programs in this process: they are the user's own."""


def begin(
    program: Program,
    hosts: Hosts,
    arguments: Mapping[str, Any],
    backend: ProgramBackend,
    defaults: Sampling,
    streams: bool,
) -> tuple[Strand, Callable[[], Awaitable[Any]]]:
    """Return a strand for a program and what runs it there: on a server whole, else here."""
    if isinstance(backend, RuntimeEndpoint):
        strand = Strand(received, streams=streams)
        return strand, partial(run_there, backend, program, hosts, arguments, strand, defaults)

    async def start(listener: Listener | None) -> Execution:
        return await Execution.start(await backend.ready(), defaults=defaults, listener=listener)

    strand = Strand(start, streams=streams)
    return strand, partial(run_here, program, hosts, arguments, strand, backend, defaults)


async def run_here(
    program: Program,
    hosts: Hosts,
    arguments: Mapping[str, Any],
    strand: Strand,
    backend: ProgramBackend,
    defaults: Sampling,
) -> Any:
    """Run a program on a backend, without a thread of its own. On the private loop.

    Raises:
        Exception: what the program raises, or what it meets when it reads.
    """
    fuel = Budget(LIMITS)

    async def start(_: Listener | None) -> Execution:
        return await Execution.start(await backend.ready(), defaults=defaults)

    async def host(name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        return await asyncio.to_thread(hosts[name], *args, **kwargs)

    with using(backend):
        return await run_program(program, arguments, strand, start, fuel=fuel, host=host)


def sendable(value: Any) -> bool:
    """Say whether JSON carries a value exactly: what becomes of a tuple, say, would differ."""
    kind = cast("type[object]", type(value))
    if value is None or kind in (bool, int, str):
        return True
    if kind is float:
        return math.isfinite(value)
    if kind is list:
        return all(map(sendable, value))
    return kind is dict and all(type(key) is str and sendable(value[key]) for key in value)


class Received:
    """The backend of an execution whose text comes from a server: nothing is left to do here."""

    async def release(self, sequence: SequenceId) -> None:
        """See `Backend`."""


async def received(listener: Listener | None) -> Execution:
    """Begin an execution that `run_there` fills."""
    backend: Any = Received()
    return Execution(backend, SequenceId(0), PLAIN, listener=listener)


async def run_there(
    endpoint: RuntimeEndpoint,
    program: Program,
    hosts: Hosts,
    arguments: Mapping[str, Any],
    strand: Strand,
    defaults: Sampling,
) -> Any:
    """Run a program on a server in one request, and fill the strand with what comes back.

    The program travels once; from then on its hash does. On the private loop.

    Raises:
        Exception: what the program raises, or what it meets when it reads.
        BackendError: no answer.
    """
    name = program.hash()
    streams = strand.streams or bool(program.hosts)
    body: dict[str, Any] = {
        "args": dict(arguments),
        "sampling": msgspec.to_builtins(defaults),
        "stream": streams,
    }
    known = name in endpoint.programs
    body |= {"hash": name} if known else {"program": json.loads(to_json(program))}
    try:
        if streams:
            outcome = await _stream(endpoint, body, hosts, strand)
        else:
            outcome = await endpoint.run_program(body)
        if outcome is None:
            if not known:
                raise BackendError(f"{endpoint.base_url} runs no programs; use compiled=False")
            endpoint.programs.discard(name)  # the server has forgotten it
            return await run_there(endpoint, program, hosts, arguments, strand, defaults)
        endpoint.programs.add(name)
    except BaseException as error:
        strand.cancel(error)
        raise
    _finish(strand, outcome)
    failure = outcome.get("error")
    if failure is None:
        strand.end()
        return outcome["value"]
    stopped = exception_of(failure)
    if failure["raised"]:
        strand.cancel(stopped)
        raise stopped

    def fail(_: Execution) -> None:
        raise stopped

    strand.apply(fail)
    strand.end()
    return outcome["value"]


async def _stream(
    endpoint: RuntimeEndpoint, body: dict[str, Any], hosts: Hosts, strand: Strand
) -> dict[str, Any] | None:
    async with endpoint.program_events(body) as response:
        if response.status == 404:
            return None
        outcome: dict[str, Any] | None = None
        async for event in events_of(response):  # to its end: closing early looks like giving up
            match event["type"]:
                case "text":
                    _apply_text(strand, event["text"], event["name"])
                case "variable":
                    _apply_variable(strand, event["name"], event["value"])
                case "call":
                    await _answer(endpoint, event, hosts)
                case _:
                    outcome = event
    if outcome is None:
        raise BackendError("the server ended the stream without the outcome", retryable=True)
    return outcome


def _apply_text(strand: Strand, text: str, name: str | None) -> None:
    strand.apply(lambda execution: execution.grow(text, name))


def _apply_variable(strand: Strand, name: str, value: Any) -> None:
    def change(execution: Execution) -> Any:
        execution.variables[name] = value
        return value

    strand.apply(change, name)


def _finish(strand: Strand, outcome: dict[str, Any]) -> None:
    """Put the final state into the strand: what was streamed, and what was not."""

    def change(execution: Execution) -> None:
        execution.text, execution.messages = outcome["text"], outcome["messages"]
        execution.meta.update(outcome["meta_info"])

    strand.apply(change)
    for name, value in outcome["variables"].items():
        _apply_variable(strand, name, value)


async def _answer(endpoint: RuntimeEndpoint, event: dict[str, Any], hosts: Hosts) -> None:
    """Call the function that the program asks for, and send what comes of it."""
    answer: dict[str, Any]
    try:
        call = hosts[event["function"]]
        value = await asyncio.to_thread(call, *event["args"], **event["kwargs"])
        if not sendable(value):
            raise TypeError(
                f"{event['function']}() returned {type(value).__name__}, which can't be sent to "
                "the server; return values of JSON (str, numbers, bool, None, list, dict)"
            )
        answer = {"value": value}
    except Exception as error:
        answer = {"error": {"kind": _kind(error), "message": message_of(error)}}
    await endpoint.request("POST", f"/programs/calls/{event['id']}", answer)


def _kind(error: Exception) -> str:
    """The nearest of the exceptions that a program can raise."""
    return next(kind.__name__ for kind in type(error).__mro__ if kind.__name__ in EXCEPTIONS)


def exception_of(failure: dict[str, Any]) -> Exception:
    """Return the exception that a server described."""
    kind, message, line = failure["kind"], failure["message"], failure["line"]
    error: Exception
    if kind in EXCEPTIONS:
        error = EXCEPTIONS[kind](message)
    elif isinstance(found := getattr(errors, kind, None), type) and issubclass(found, ProgramError):
        error = found.__new__(found)
        Exception.__init__(error, message)
        error.__dict__.update(span=NOWHERE, hint=None)
    else:
        error = BackendError(message, retryable=failure["retryable"])
    if line:
        error.add_note(f"in the program's line {line}")
    return error
