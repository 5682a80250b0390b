"""`ProgramState`: the `s` of a program."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING, Any

from ..ir import loop
from ..ir.holes import as_lifetime, as_pin_name
from ..ir.nodes import (
    NOWHERE,
    JoinMode,
    Let,
    Pin,
    RoleBegin,
    RoleEnd,
    ScopeBegin,
    ScopeEnd,
    Span,
    Stmt,
)
from ..ir.strand import Strand
from .expr import Expr, as_expr

if TYPE_CHECKING:
    from .interpreter import StreamExecutor


class ProgramState:
    """A running or finished program: text, variables, messages.

    `s += ...` never waits; reading does, and only for what is read.

    Attributes:
        ret_value: what the function returned, once it has.
        strand: what executes it.
    """

    ret_value: Any

    def __init__(self, strand: Strand) -> None:
        self.strand = strand

    # ---- writing

    def __iadd__(self, other: Expr | str) -> ProgramState:
        _append(self.strand, other, _caller())
        return self

    def system(self, content: Expr | str | None = None) -> Any:
        """A turn of the system: around `content`, or around a `with` block."""
        return self._role("system", content)

    def user(self, content: Expr | str | None = None) -> Any:
        """A turn of the user: around `content`, or around a `with` block."""
        return self._role("user", content)

    def assistant(self, content: Expr | str | None = None) -> Any:
        """A turn of the assistant: around `content`, or around a `with` block."""
        return self._role("assistant", content)

    def _role(self, name: str, content: Expr | str | None) -> Any:
        span = _caller(2)
        begin, end = RoleBegin(role=name), RoleEnd(role=name)
        if content is None:
            return self._around(begin, end, span)
        _append(self.strand, Expr(begin) + content + Expr(end), span)
        return None

    def var_scope(self, name: str) -> Any:
        """A `with` block whose text is also bound to `name`."""
        return self._around(ScopeBegin(out=name), ScopeEnd(out=name), _caller())

    @contextmanager
    def _around(self, begin: Stmt, end: Stmt, span: Span) -> Generator[None]:
        self.strand.execute(begin, span)
        try:
            yield
        finally:
            self.strand.execute(end, span)

    def set_var(self, name: str, value: Any) -> None:
        """Bind a plain value."""
        self.strand.execute(Let(out=name, value=value), _caller())

    def __setitem__(self, name: str, value: Any) -> None:
        self.strand.execute(Let(out=name, value=value), _caller())

    def pin(self, name: str, ttl_s: float | None = None) -> None:
        """Keep the state so far in the backend's cache, for this program and later ones.

        It stays until `rl.unpin(name)`, or for `ttl_s` seconds. A service without a cache of ours
        ignores it.

        Args:
            name: of the pin; one that has it already is replaced. It may not begin with `~`.
            ttl_s: how long it stays; `None`: until it is unpinned.

        Raises:
            TypeError, ValueError: a name or a time that can be none.
        """
        self.strand.execute(Pin(name=as_pin_name(name), ttl_s=as_lifetime(ttl_s)), _caller())

    # ---- forking

    def fork(self, size: int = 1, position_ids_offset: list[int] | None = None) -> StateGroup:
        """Split into `size` states that share everything so far and run concurrently.

        `position_ids_offset` is accepted for SGLang's sake and has no effect.
        """
        return self._fork(size, _caller())

    def copy(self, position_ids_offset: list[int] | None = None) -> Any:
        """A fork of one as a `with` block, joined at its end."""
        return self._copied(_caller())

    def _fork(self, size: int, span: Span) -> StateGroup:
        if size < 1:
            raise ValueError(f"a fork needs at least one branch, not {size}")
        strands = self.strand.fork(size, span)
        return StateGroup([ProgramState(strand) for strand in strands], self)

    @contextmanager
    def _copied(self, span: Span) -> Generator[ProgramState]:
        group = self._fork(1, span)
        try:
            yield group[0]
        finally:
            group.join()

    # ---- reading

    def __getitem__(self, name: str) -> Any:
        return self.strand.read(name, _caller())

    def get_var(self, name: str) -> Any:
        """Wait for a variable; the same as `s[name]`."""
        return self.strand.read(name, _caller())

    def __contains__(self, name: str) -> bool:
        """Whether a statement so far binds `name`; its value may still be on its way."""
        return name in self.strand.variables

    def get_meta_info(self, name: str) -> Any:
        """Wait for a variable; return its generation's meta information, None for an unknown name.

        A list of them for a gen with `n > 1`.
        """
        if name not in self.strand.variables:
            return None
        self.strand.read(name, _caller())
        return self.strand.meta(name)

    def text(self) -> str:
        """Wait for everything so far and return the whole text."""
        execution = self.strand.wait()
        return "" if execution is None else execution.text

    def messages(self) -> list[dict[str, Any]]:
        """Wait for everything so far and return the turns as `{"role", "content"}`."""
        execution = self.strand.wait()
        return [] if execution is None else [dict(message) for message in execution.messages]

    def sync(self) -> None:
        """Wait for everything so far."""
        self.strand.wait()

    def error(self) -> Exception | None:
        """Wait for everything so far; return what stopped the program, if anything did."""
        self.strand.wait()
        return self.strand.error

    @property
    def stream_executor(self) -> StreamExecutor:
        """What executes the program, under SGLang's names."""
        from .interpreter import StreamExecutor  # it imports this module

        return StreamExecutor(self.strand)

    # ---- streaming

    def text_iter(self, var_name: str | None = None) -> Iterator[str]:
        """Iterate over text as it comes: all of it, constants included, or one variable's.

        Without `stream=True` the whole text comes in one piece.
        """
        if not self.strand.streams:
            yield self._whole(var_name)
            return
        empty = True
        for piece in loop.iterate(self.strand.pieces(var_name)):
            empty = False
            yield piece.text
        if empty:
            yield ""

    async def text_async_iter(
        self, var_name: str | None = None, return_meta_data: bool = False
    ) -> AsyncGenerator[Any, None]:
        """`text_iter` for any event loop; with `return_meta_data`, pairs of text and meta info.

        Log-probability lists in the meta information are those of the piece.
        """
        if not self.strand.streams:
            text = await asyncio.to_thread(self._whole, var_name)
            meta = self.get_meta_info(var_name) if var_name else None
            yield (text, meta) if return_meta_data else text
            return
        empty = True
        async with aclosing(loop.iterate_async(self.strand.pieces(var_name))) as pieces:
            async for piece in pieces:
                empty = False
                yield (piece.text, piece.meta) if return_meta_data else piece.text
        if empty:
            yield ("", None) if return_meta_data else ""

    def _whole(self, name: str | None) -> str:
        return self.text() if name is None else str(self[name])

    def __repr__(self) -> str:
        return f"ProgramState(variables={sorted(self.strand.variables)})"


class StateGroup:
    """The states of a fork."""

    def __init__(self, states: list[ProgramState], parent: ProgramState) -> None:
        self._states = states
        self._parent = parent

    def __len__(self) -> int:
        return len(self._states)

    def __getitem__(self, index: int) -> ProgramState:
        return self._states[index]

    def __setitem__(self, index: int, value: ProgramState) -> None:
        if self._states[index] is not value:  # `forks[i] += x` assigns the same state back
            raise TypeError("the states of a fork cannot be replaced; append with forks[i] += ...")

    def __iter__(self) -> Iterator[ProgramState]:
        return iter(self._states)

    def __iadd__(
        self, other: Expr | str | list[Expr | str] | Callable[[int], Expr | str]
    ) -> StateGroup:
        """Append to every branch: one expression for all, a list of one each, or `f(index)`."""
        span = _caller()
        if callable(other):
            items = [other(index) for index in range(len(self._states))]
        elif isinstance(other, list | tuple):
            items = list(other)
        else:
            items = [other] * len(self._states)
        if len(items) != len(self._states):
            raise ValueError(f"{len(items)} items for a fork of {len(self._states)} branches")
        for state, item in zip(self._states, items, strict=True):
            _append(state.strand, item, span)
        return self

    def join(self, mode: JoinMode = "gather_variable") -> None:
        """Take the branches' results into the parent; they cannot be written to any more.

        `gather_variable`: each variable new in a branch becomes a list over the branches that have
        it. `concate_and_append`: the branches' own text is appended.
        """
        if mode not in ("gather_variable", "concate_and_append"):
            raise ValueError(f"no join mode {mode!r}; use gather_variable or concate_and_append")
        self._parent.strand.join([state.strand for state in self._states], mode)


def _append(strand: Strand, content: Expr | str, span: Span) -> None:
    expr = as_expr(content)
    assert expr is not None
    for statement in expr.statements:
        strand.execute(statement, span)


def _caller(depth: int = 1) -> Span:
    """Where the user's code called into this module, `depth` calls above the caller of this."""
    frame = inspect.currentframe()
    for _ in range(depth + 1):
        frame = frame.f_back if frame is not None else None
    return NOWHERE if frame is None else Span(frame.f_code.co_filename, frame.f_lineno)
