"""The machine: executes statements on a backend.

One `Execution` is one strand of a program: a sequence on the backend, its text, its open role and
the variables bound so far. `fork` splits it into strands that run concurrently. The same machine
runs programs locally, on the server, and against services that speak only text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NewType, Protocol, assert_never, runtime_checkable

import msgspec

from .choices import METHODS, NEEDS_UNCONDITIONAL, Scores, mean_logprobs
from .errors import ProgramError, RoleError, UnsupportedError
from .media import content_of
from .nodes import (
    NOWHERE,
    Gen,
    Image,
    JoinMode,
    Let,
    Pin,
    RoleBegin,
    RoleEnd,
    Sampling,
    ScopeBegin,
    ScopeEnd,
    Select,
    Span,
    Stmt,
    Text,
)
from .reasoning import ReasoningParser, reasoning_name
from .roles import RoleFormat

SequenceId = NewType("SequenceId", int)
Meta = dict[str, Any]


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """What a backend generated: one text a sample, and its meta information (SGLang's keys)."""

    texts: list[str]
    metas: list[Meta]


@dataclass(frozen=True, slots=True)
class Piece:
    """Text that has just reached a strand; `name` is the variable it belongs to, if any.

    What is `aside` belongs to a variable only: the thinking before an answer.
    """

    text: str
    name: str | None = None
    meta: Meta | None = None
    aside: bool = False


Emit = Callable[[str, Meta], None]


class Backend(Protocol):
    """Holds sequences and answers six verbs. Any may raise `BackendError` or `ProgramError`."""

    async def role_format(self) -> RoleFormat:
        """How this model's turns are written."""
        ...

    async def open(self) -> SequenceId:
        """Begin an empty sequence."""
        ...

    async def extend(
        self, sequence: SequenceId, text: str, tokens: Sequence[int] | None = None
    ) -> None:
        """Append a literal. `tokens`, when given, are the ids that `score` reported for it."""
        ...

    async def generate(self, sequence: SequenceId, gen: Gen, emit: Emit | None) -> Generation:
        """Sample under `gen` (its sampling is complete) and append the first sample.

        `emit`, when given, is called with each piece of the first sample as it comes.
        """
        ...

    async def score(
        self, sequence: SequenceId, choices: Sequence[str], *, unconditional: bool
    ) -> Scores:
        """Return the log-probabilities of each choice; the sequence stays as it is."""
        ...

    async def fork(self, sequence: SequenceId, count: int) -> list[SequenceId]:
        """Return `count` sequences that begin as copies of this one."""
        ...

    async def hold(self, sequence: SequenceId) -> None:
        """Compute what the sequence has, and keep it cached until it generates or is released.

        For one that others will begin with, or that waits. Where nothing can be kept, nothing is.
        """
        ...

    async def release(self, sequence: SequenceId) -> None:
        """Forget the sequence."""
        ...


@runtime_checkable
class Sighted(Protocol):
    """A backend whose models may see images."""

    async def attach(self, sequence: SequenceId, url: str) -> None:
        """Append an image. Raises `UnsupportedError` where this model sees none."""
        ...


@runtime_checkable
class Caching(Protocol):
    """A backend with a cache in which a prefix can be kept."""

    async def pin(self, sequence: SequenceId, name: str, ttl_s: float | None) -> None:
        """Compute what the sequence has, and keep it cached under a name; see `nodes.Pin`."""
        ...


@dataclass(eq=False, slots=True)
class Execution:
    """One strand of a running program."""

    backend: Backend
    sequence: SequenceId
    roles: RoleFormat
    defaults: Sampling = field(default_factory=Sampling)
    listener: Callable[[Piece], None] | None = None  # set when somebody streams
    meter: Callable[[Meta], None] | None = None  # told what each generated sample cost; may refuse
    text: str = ""
    variables: dict[str, Any] = field(default_factory=dict[str, Any])
    meta: dict[str, Any] = field(default_factory=dict[str, Any])  # a list where the value is one
    messages: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    role: str | None = None
    _role_start: int = 0  # where the open turn's content begins in `text`
    _scopes: list[int] = field(default_factory=list[int])  # where the open ones begin in `text`
    _images: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    _birth: int = 0  # length of `text` when a fork was born

    @classmethod
    async def start(
        cls,
        backend: Backend,
        *,
        defaults: Sampling,
        listener: Callable[[Piece], None] | None = None,
        meter: Callable[[Meta], None] | None = None,
    ) -> Execution:
        """Open a sequence on `backend` for a program that begins."""
        roles = await backend.role_format()
        sequence = await backend.open()
        return cls(backend, sequence, roles, defaults=defaults, listener=listener, meter=meter)

    async def execute(self, statement: Stmt, span: Span = NOWHERE) -> None:
        """Carry out one statement.

        Raises:
            ProgramError: the statement cannot be carried out here.
            BackendError: the backend failed.
        """
        match statement:
            case Text(text=text):
                await self._append(text)
            case Image(url=url):
                await self._attach(url, span)
            case RoleBegin(role=role):
                await self._begin_role(role, span)
            case RoleEnd(role=role):
                await self._end_role(role, span)
            case Gen():
                await self._generate(statement)
            case Select():
                await self._select(statement)
            case Let(out=out, value=value):
                self.variables[out] = value
            case ScopeBegin():
                self._scopes.append(len(self.text))
            case ScopeEnd(out=out):
                self.variables[out] = self.text[self._scopes.pop() :]
            case Pin(name=name, ttl_s=ttl_s):
                if not self.text:
                    raise ProgramError(
                        f"the pin {name!r} stands before any text",
                        span=span,
                        hint="Pin after what is to be kept: s += ..., then s.pin(name).",
                    )
                if isinstance(self.backend, Caching):
                    await self.backend.pin(self.sequence, name, ttl_s)
            case _:
                assert_never(statement)

    async def fork(self, count: int) -> list[Execution]:
        """Split off `count` strands that share everything up to here."""
        sequences = await self.backend.fork(self.sequence, count)
        return [
            Execution(
                self.backend,
                sequence,
                self.roles,
                defaults=self.defaults,
                meter=self.meter,
                text=self.text,
                variables=dict(self.variables),
                messages=[dict(message) for message in self.messages],
                role=self.role,
                _role_start=self._role_start,
                _scopes=list(self._scopes),
                _images=list(self._images),
                _birth=len(self.text),
            )
            for sequence in sequences
        ]

    async def join(self, children: Sequence[Execution], mode: JoinMode) -> None:
        """Take the children's results.

        `gather_variable` binds each variable that is not bound here to the list of its values over
        the children that have it; `concate_and_append` appends the children's own text.
        """
        if mode == "gather_variable":
            names = dict.fromkeys(n for c in children for n in c.variables)
            for name in [name for name in names if name not in self.variables]:
                having = [child for child in children if name in child.variables]
                self.variables[name] = [child.variables[name] for child in having]
                if any(name in child.meta for child in having):
                    self.meta[name] = [child.meta.get(name) for child in having]
        else:
            await self._append("".join(child.text[child._birth :] for child in children))

    async def hold(self) -> None:
        """Have the sequence computed, and kept in the cache while nothing generates."""
        await self.backend.hold(self.sequence)

    async def release(self) -> None:
        """Give the sequence back to the backend; the results stay readable."""
        await self.backend.release(self.sequence)

    async def _append(self, text: str, name: str | None = None) -> None:
        if not text:
            return
        await self.backend.extend(self.sequence, text)
        self.grow(text, name)

    def grow(self, text: str, name: str | None = None, meta: Meta | None = None) -> None:
        """Note text that has reached the sequence; tell who listens."""
        self.text += text
        if self.listener and text:
            self.listener(Piece(text, name, meta))

    async def _attach(self, url: str, span: Span) -> None:
        if not isinstance(self.backend, Sighted):
            raise UnsupportedError(
                f"{type(self.backend).__name__} takes no images",
                span=span,
                hint="Run the program on a service whose model sees them (OpenAI, Anthropic, "
                "LiteLLM).",
            )
        await self.backend.attach(self.sequence, url)
        self._images.append((len(self.text), url))

    async def _begin_role(self, role: str, span: Span) -> None:
        if self.role is not None:
            raise RoleError(
                f"the role {role!r} begins inside {self.role!r}; nested roles are not allowed",
                span=span,
            )
        if not self.messages:
            await self._append(self.roles.preamble)
            if role != "system" and self.roles.default_system is not None:
                await self._begin_turn("system")
                await self._append(self.roles.default_system)
                await self._end_role("system", span)
        await self._begin_turn(role)

    async def _begin_turn(self, role: str) -> None:
        await self._append(self._marks(role)[0])
        self.role, self._role_start = role, len(self.text)

    async def _end_role(self, role: str, span: Span) -> None:
        if self.role != role:
            raise RoleError(f"the role {role!r} ends, but {self.role!r} is open", span=span)
        suffix = self._marks(role)[1]
        images = [(at - self._role_start, url) for at, url in self._images]
        content = content_of(self.text[self._role_start :], [i for i in images if i[0] >= 0])
        self.messages.append({"role": role, "content": content})
        self.role = None
        await self._append(suffix)

    def _marks(self, role: str) -> tuple[str, str]:
        return self.roles.turn(role, [message["role"] for message in self.messages])

    async def _generate(self, gen: Gen) -> None:
        sampling = gen.sampling.over(self.defaults)
        if self.roles.stop:
            sampling = msgspec.structs.replace(
                sampling, stop=(sampling.stop or ()) + self.roles.stop
            )
        complete = msgspec.structs.replace(
            gen,
            sampling=msgspec.structs.replace(sampling, report=None),
            logprobs=gen.logprobs or sampling.report,
        )
        if gen.reasoning is not None:
            result = await self._think(complete, ReasoningParser(gen.reasoning))
        else:

            def emit(text: str, meta: Meta) -> None:
                self.grow(text, gen.out, meta)

            streams = self.listener is not None
            result = await self.backend.generate(self.sequence, complete, emit if streams else None)
            if not streams:
                self.grow(result.texts[0])
        if self.meter is not None:
            for meta in result.metas:
                self.meter(meta)
        if gen.out is not None:
            single = len(result.texts) == 1
            self.variables[gen.out] = result.texts[0] if single else result.texts
            self.meta[gen.out] = result.metas[0] if single else result.metas

    async def _think(self, gen: Gen, parser: ReasoningParser) -> Generation:
        """Generate beside the sequence, bind the thinking and append the answer alone."""
        aside = None if gen.out is None else reasoning_name(gen.out)
        latest: Meta = {}

        def show(thought: str, said: str) -> None:
            if self.listener and thought:
                self.listener(Piece(thought, aside, latest, aside=True))
            self.grow(said, gen.out, latest)

        def emit(text: str, meta: Meta) -> None:
            nonlocal latest
            latest = meta
            show(*parser.parse_stream_chunk(text))

        [branch] = await self.backend.fork(self.sequence, 1)
        streams = self.listener is not None
        try:
            result = await self.backend.generate(branch, gen, emit if streams else None)
        finally:
            await self.backend.release(branch)
        if streams:
            show(*parser.finish())
        split = [parser.parse_non_stream(text) for text in result.texts]
        answers = [said for _, said in split]
        if not streams:
            self.grow(answers[0])
        await self.backend.extend(self.sequence, answers[0])
        if aside is not None:
            thoughts = [thought for thought, _ in split]
            self.variables[aside] = thoughts[0] if len(thoughts) == 1 else thoughts
        return Generation(texts=answers, metas=result.metas)

    async def _select(self, select: Select) -> None:
        scores = await self.backend.score(
            self.sequence, select.choices, unconditional=select.method in NEEDS_UNCONDITIONAL
        )
        scored = scores.choices
        decision = METHODS[select.method](scored)
        chosen = select.choices[decision.index]
        await self.backend.extend(self.sequence, chosen, scored[decision.index].tokens)
        self.grow(chosen, select.out)
        if select.out is not None:
            self.variables[select.out] = chosen
            self.meta[select.out] = {
                "normalized_prompt_logprobs": mean_logprobs(scored),
                "input_token_logprobs": [
                    [(p, t) for p, t in zip(c.logprobs, c.tokens[-len(c.logprobs) :], strict=True)]
                    if c.logprobs
                    else []
                    for c in scored
                ],
                "output_token_logprobs": [],
                **scores.meta_info,
                **decision.meta,
            }
