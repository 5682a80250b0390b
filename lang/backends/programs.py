"""Compiled programs: run by this process, or sent whole to a server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from ...ir import errors
from ...ir.budget import Budget
from ...ir.errors import EXCEPTIONS, BackendError, ProgramError, message_of
from ...ir.fuel import Limits
from ...ir.images import IMAGE_CALL, image_url, reference
from ...ir.machine import Execution, SequenceId
from ...ir.media import with_urls
from ...ir.nodes import NOWHERE, Sampling
from ...ir.program import to_json
from ...ir.roles import PLAIN
from ...ir.run import run_program
from ...ir.strand import Listener, Strand
from ...ir.wire import pack, unpack
from .default import ProgramBackend, using
from .endpoint import RuntimeEndpoint, events_of

if TYPE_CHECKING:
    from ..compiler import Compiled

LIMITS = Limits(
    steps=100_000_000,
    tokens=1_000_000_000,
    forks=100_000,
    images=1_000_000,
    seconds=7 * 86_400.0,
)
"""Of programs in this process: they are the user's own."""


def begin(
    compiled: Compiled,
    arguments: Mapping[str, Any],
    backend: ProgramBackend,
    defaults: Sampling,
    streams: bool,
) -> tuple[Strand, Callable[[], Awaitable[Any]]]:
    """Return a strand for a program and what runs it there: on a server whole, else here."""
    if isinstance(backend, RuntimeEndpoint) and backend.runs_programs:
        strand = Strand(received, streams=streams)
        return strand, partial(run_there, backend, compiled, arguments, strand, defaults)

    async def start(listener: Listener | None) -> Execution:
        return await Execution.start(await backend.ready(), defaults=defaults, listener=listener)

    strand = Strand(start, streams=streams)
    return strand, partial(run_here, compiled, arguments, strand, backend, defaults)


async def run_here(
    compiled: Compiled,
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
        return await asyncio.to_thread(compiled.hosts[name], *args, **kwargs)

    async def show(source: Any) -> str:
        if isinstance(source, str) and source in compiled.images:
            return compiled.images[source]
        return await asyncio.to_thread(image_url, source)

    assert compiled.program is not None
    with using(backend):
        return await run_program(
            compiled.program, arguments, strand, start, fuel=fuel, host=host, show=show
        )


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
    compiled: Compiled,
    arguments: Mapping[str, Any],
    strand: Strand,
    defaults: Sampling,
) -> Any:
    """Run a program on a server in one request, and fill the strand with what comes back.

    The program travels once; from then on its hash does. Its images travel beside it, each once.
    On the private loop.

    Raises:
        Exception: what the program raises, or what it meets when it reads.
        BackendError: no answer.
    """
    program, shown = compiled.program, compiled.shown
    assert program is not None
    name = program.hash()
    streams = strand.streams or bool(program.hosts) or shown.has_holes  # so that it can ask
    client = Client(endpoint, compiled.hosts, dict(compiled.images))
    given = await asyncio.to_thread(client.beside, arguments, shown.parameters)
    body: dict[str, Any] = {
        "args": given,
        "images": client.images,
        "exact": True,
        "sampling": msgspec.to_builtins(defaults),
        "stream": streams,
    }
    known = name in endpoint.programs
    body |= {"hash": name} if known else {"program": json.loads(to_json(program))}
    try:
        if streams:
            outcome = await _stream(client, body, strand)
        else:
            outcome = await endpoint.run_program(body)
        if outcome is None:
            if not known:
                raise BackendError(f"{endpoint.base_url} runs no programs; use compiled=False")
            endpoint.programs.discard(name)  # the server has forgotten it
            return await run_there(endpoint, compiled, arguments, strand, defaults)
        endpoint.programs.add(name)
    except BaseException as error:
        strand.cancel(error)
        raise
    outcome["value"] = unpack(outcome["value"], client.find)
    outcome["messages"] = with_urls(outcome["messages"], client.images)
    _finish(strand, {**outcome, "variables": unpack(outcome["variables"], client.find)})
    failure = outcome.get("error")
    if failure is None:
        strand.end()
        return outcome["value"]
    stopped = client.own_error(failure["message"]) or exception_of(failure)
    if failure["raised"]:
        strand.cancel(stopped)
        raise stopped

    def fail(_: Execution) -> None:
        raise stopped

    strand.apply(fail)
    strand.end()
    return outcome["value"]


@dataclass(slots=True)
class Client:
    """This side of a program that runs on a server: its functions, and objects that stay here.

    Attributes:
        images: data URLs of what travels beside the program, by reference.
    """

    endpoint: RuntimeEndpoint
    hosts: Mapping[str, Callable[..., Any]]
    images: dict[str, str]
    objects: list[object] = field(default_factory=list[object])
    raised: Exception | None = None  # what a call met here, which ended the program

    def keep(self, value: object) -> int:
        """Keep what can't be sent; the program gets its number, and passes that on."""
        self.objects.append(value)
        return len(self.objects) - 1

    def find(self, number: int) -> object:
        """Return what was kept."""
        return self.objects[number]

    def beside(self, arguments: Mapping[str, Any], shown: frozenset[str]) -> dict[str, Any]:
        """Return arguments as JSON values, with references for those that are only shown.

        What is no image there, or cannot be read, stays here: the program asks for it when it is
        shown, and meets the error then.
        """
        return {
            name: pack(self._image(value), self.keep) if name in shown else pack(value)
            for name, value in arguments.items()
        }

    def _image(self, value: Any) -> Any:
        if type(value) in (list, tuple):
            return type(value)(map(self._image, value))
        try:
            url = image_url(value)
        except (OSError, ValueError, TypeError):
            return value
        if not url.startswith("data:"):
            return url
        name = reference(url)
        self.images[name] = url
        return name

    def own_error(self, message: str) -> Exception | None:
        """What was raised here, where that is what the server speaks of."""
        is_same = self.raised is not None and message_of(self.raised) == message
        return self.raised if is_same else None

    async def answer(self, event: dict[str, Any]) -> None:
        """Call the function that the program asks for, and send what comes of it."""
        answer: dict[str, Any]
        args = [unpack(value, self.find) for value in event["args"]]
        kwargs = {name: unpack(value, self.find) for name, value in event["kwargs"].items()}
        try:
            with using(self.endpoint):
                name = event["function"]
                called = image_url if name == IMAGE_CALL else self.hosts[name]
                value = await asyncio.to_thread(called, *args, **kwargs)
            answer = {"value": pack(value, self.keep), "exact": True}
        except Exception as error:
            self.raised = error
            answer = {"error": {"kind": _kind(error), "message": message_of(error)}}
        await self.endpoint.request("POST", f"/programs/calls/{event['id']}", answer)


async def _stream(client: Client, body: dict[str, Any], strand: Strand) -> dict[str, Any] | None:
    async with client.endpoint.program_events(body) as response:
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
                    await client.answer(event)
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
