"""Whole programs beside the scheduler: one request runs all of a program's statements.

The same interpreter and machine as in a script, on the desk's own backend. What a run may use is
bounded; when its caller goes, everything that it holds is given back.
"""

from __future__ import annotations

import asyncio
import traceback
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ...ir.budget import Budget
from ...ir.errors import ProgramError, message_of
from ...ir.fuel import Limits
from ...ir.images import IMAGE_CALL, REFERENCE, is_url
from ...ir.machine import Backend, Execution, Meta
from ...ir.media import with_urls
from ...ir.nodes import Sampling
from ...ir.program import Program, to_json
from ...ir.run import Host, run_program
from ...ir.strand import Listener, Strand
from ...ir.verify import load
from ..errors import InvalidRequestError, NotFoundError

LIMITS = Limits(steps=200_000, tokens=1_000_000, forks=1_024, nesting=16, images=256, seconds=900)
MAX_PROGRAMS = 1_024  # that are remembered by hash
MAX_PROGRAM_BYTES = 64 << 20  # of all of them together

USAGE = ("prompt_tokens", "completion_tokens", "cached_tokens", "computed_tokens")


class Programs:
    """Programs that were sent once, by hash; the ones used last stay."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[Program, int]] = OrderedDict()
        self._bytes = 0

    def add(self, program: Program) -> str:
        """Remember a program that was verified; return its hash."""
        name = program.hash()
        if name not in self._known:
            size = len(to_json(program))
            self._known[name] = (program, size)
            self._bytes += size
        self._known.move_to_end(name)
        while len(self._known) > MAX_PROGRAMS or self._bytes > MAX_PROGRAM_BYTES:
            _, (_, size) = self._known.popitem(last=False)
            self._bytes -= size
        return name

    def get(self, name: str) -> Program:
        """Return a program by its hash.

        Raises:
            NotFoundError: it was never sent, or forgotten since.
        """
        found = self._known.get(name)
        if found is None:
            raise NotFoundError(f"no program {name!r} is known here; send it whole")
        self._known.move_to_end(name)
        return found[0]


def read_program(data: bytes) -> Program:
    """Read a program from its JSON form and verify it.

    Raises:
        InvalidRequestError: it is none, or does what no program may; with the place.
    """
    try:
        return load(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidRequestError(f"this is no program: {error}") from error
    except ProgramError as error:
        hints = "".join(f" {note}" for note in getattr(error, "__notes__", ()))
        raise InvalidRequestError(f"the program is refused: {error}{hints}") from error


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a program stopped early.

    Attributes:
        kind: the exception's class, by name.
        line: of the program's source, 0 if unknown.
        raised: whether the body met it; else a statement failed and nobody read the result.
        retryable: whether the same program may run later.
    """

    kind: str
    message: str
    line: int = 0
    raised: bool = True
    retryable: bool = False

    @classmethod
    def of(cls, error: BaseException, *, raised: bool) -> Failure:
        """Describe an exception."""
        return cls(
            kind=type(error).__name__,
            message=message_of(error) or traceback.format_exception_only(error)[-1].strip(),
            line=error.__dict__.get("radixlm_line", 0),
            raised=raised,
            retryable=bool(getattr(error, "retryable", False)),
        )


class Outcome(msgspec.Struct, kw_only=True):
    """What a program left: partial where it failed."""

    value: Any = None
    text: str = ""
    messages: list[dict[str, Any]] = []
    variables: dict[str, Any] = {}
    meta_info: dict[str, Any] = {}
    usage: dict[str, int] = {}
    error: Failure | None = None


@dataclass(slots=True)
class ProgramRun:
    """One run of a program.

    Attributes:
        host: calls the client's functions.
        listener: gets the text of the program's own state as it comes.
        bound: is called with each variable of that state and its value once it is there.
        images: data URLs of what travels beside the program, by reference.
    """

    backend: Backend
    program: Program
    arguments: Mapping[str, Any]
    sampling: Sampling
    host: Host | None = None
    listener: Listener | None = None
    bound: Callable[[str, Any], None] | None = None
    images: Mapping[str, str] = field(default_factory=dict[str, str])
    usage: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("generations", *USAGE), 0))

    async def run(self) -> Outcome:
        """Run to the end of every generation; errors of the program are in the outcome.

        Raises:
            CancelledError: the caller went; nothing of the run is left.
        """
        fuel = Budget(LIMITS)

        def meter(meta: Meta) -> None:
            self.usage["generations"] += 1
            for name in USAGE:
                self.usage[name] += int(meta.get(name) or 0)
            fuel.generated(int(meta.get("completion_tokens") or 0))

        async def start(listener: Listener | None) -> Execution:
            return await Execution.start(
                self.backend, defaults=self.sampling, listener=listener, meter=meter
            )

        strand = Strand(lambda _: start(self.listener), loop=asyncio.get_running_loop())
        value, error = None, None
        try:
            value = await run_program(
                self.program,
                self.arguments,
                strand,
                start,
                fuel=fuel,
                host=self.host,
                watch=None if self.bound is None else _watching(strand, self.bound),
                show=self._url,
            )
        except Exception as raised:
            error = Failure.of(raised, raised=True)
        execution = await self._ended(strand)
        if error is None and strand.error is not None:
            error = Failure.of(strand.error, raised=False)
        outcome = Outcome(value=value, usage=self.usage, error=error)
        if execution is not None:
            references = {url: name for name, url in self.images.items()}
            outcome.text = execution.text
            outcome.messages = with_urls(execution.messages, references)
            outcome.variables, outcome.meta_info = execution.variables, execution.meta
        return outcome

    async def _url(self, source: Any) -> str:
        """What a program shows: an address, what is beside it, or what its client has.

        Raises:
            ValueError: nobody has it.
        """
        if isinstance(source, str) and source in self.images:
            return self.images[source]
        if is_url(source):
            return str(source)
        if isinstance(source, str) and source.startswith(REFERENCE):
            raise ValueError(f"no image {source} is beside the program; send it in images")
        if self.host is None:
            raise ValueError(
                f"the program shows {source!r:.80}, which is no http(s) address and no data URL; "
                f"send its data URL, or stream: true and answer the call of {IMAGE_CALL}"
            )
        url = await self.host(IMAGE_CALL, [source], {})
        if not is_url(url):
            raise ValueError(f"{IMAGE_CALL} was answered with {url!r:.80}, which is no data URL")
        return str(url)

    async def _ended(self, strand: Strand) -> Execution | None:
        try:
            await asyncio.wrap_future(strand.done)
        except asyncio.CancelledError as error:
            strand.cancel(error)
            raise
        return await strand.settled()


def _watching(own: Strand, bound: Callable[[str, Any], None]) -> Callable[[Strand, str], None]:
    """What tells `bound` of the values of one strand's variables."""

    def watch(strand: Strand, name: str) -> None:
        if strand is own:
            strand.variables[name].add_done_callback(
                lambda done: bound(name, done.result()) if done.exception() is None else None
            )

    return watch
