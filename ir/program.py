"""`Program`: a compiled function as a tree of statements, and its wire form.

The leaves are the straight-line statements of `nodes`, wrapped in `Do`; what depends on values that
only a run knows stands in `Do.holes`. Around them is control flow over `expressions`. A program is
data: it holds no Python objects, and everything that it may do is on a list.
"""

from __future__ import annotations

import functools
import hashlib
from typing import Any, cast

import msgspec

from .expressions import Const, Expression, Name, Target
from .nodes import JoinMode, RoleBegin, ScopeBegin, Stmt

VERSION = 1


class Step(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="do", tag=str.lower
):
    """Root of the statements that control flow is made of; `line` is where the user wrote it."""

    line: int = 0


class Do(Step, frozen=True, kw_only=True):
    """Carry out a straight-line statement on a state, without waiting for it.

    `holes` maps a field of the statement to the expression that fills it when the program gets
    there: `{"text": ...}`, `{"choices": ...}`, `{"sampling.max_new_tokens": ...}`. A `state` that
    is a group of forks gets the statement in every branch.
    """

    statement: Stmt
    state: Expression = Name(name="s")
    holes: dict[str, Expression] = {}


class Within(Step, frozen=True, kw_only=True):
    """A body inside a turn or a variable scope; the end comes however the body ends."""

    begin: RoleBegin | ScopeBegin
    body: tuple[Block, ...]
    state: Expression = Name(name="s")
    name: Expression | None = None  # the role or variable, where only a run knows it


class Assign(Step, frozen=True, kw_only=True):
    """Bind local variables."""

    target: Target
    value: Expression


class Store(Step, frozen=True, kw_only=True):
    """`container[index] = value`; on a state, bind one of its variables."""

    container: Expression
    index: Expression
    value: Expression


class Evaluate(Step, frozen=True, kw_only=True):
    """Evaluate for the effect: `found.append(x)`."""

    value: Expression


class If(Step, frozen=True, kw_only=True):
    """Choose between two bodies."""

    test: Expression
    then: tuple[Block, ...]
    otherwise: tuple[Block, ...] = ()


class For(Step, frozen=True, kw_only=True):
    """Run the body for each item; `otherwise` if no `break` ended the loop."""

    target: Target
    items: Expression
    body: tuple[Block, ...]
    otherwise: tuple[Block, ...] = ()


class While(Step, frozen=True, kw_only=True):
    """Run the body as long as the test holds; fuel bounds it."""

    test: Expression
    body: tuple[Block, ...]
    otherwise: tuple[Block, ...] = ()


class Break(Step, frozen=True, kw_only=True):
    """Leave the innermost loop."""


class Continue(Step, frozen=True, kw_only=True):
    """Go on with the innermost loop's next round."""


class Return(Step, frozen=True, kw_only=True):
    """End the program; the value is the state's `ret_value`."""

    value: Expression = Const(value=None)


class Fork(Step, frozen=True, kw_only=True):
    """Split a state into a group of `count` and bind the group."""

    out: str
    count: Expression
    state: Expression = Name(name="s")


class Join(Step, frozen=True, kw_only=True):
    """Take a group's results into the state it was forked from."""

    group: Expression
    mode: JoinMode = "gather_variable"


class Invoke(Step, frozen=True, kw_only=True):
    """Run another program of `Program.functions` on a state of its own, and bind that state."""

    function: str
    arguments: tuple[Expression, ...] = ()
    keywords: dict[str, Expression] = {}
    out: Target | None = None


class HostCall(Step, frozen=True, kw_only=True):
    """Let the client call one of its own functions (`Program.hosts`), and bind the result.

    Arguments and result are values of JSON where the program runs on a server.
    """

    function: str
    arguments: tuple[Expression, ...] = ()
    keywords: dict[str, Expression] = {}
    out: Target | None = None


class Raise(Step, frozen=True, kw_only=True):
    """End the program with one of Python's own exceptions, by name."""

    exception: str
    message: Expression = Const(value="")


Block = (
    Do
    | Within
    | Assign
    | Store
    | Evaluate
    | If
    | For
    | While
    | Break
    | Continue
    | Return
    | Fork
    | Join
    | Invoke
    | HostCall
    | Raise
)


class Parameter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An argument after `s`; without a default it must be given."""

    name: str
    default: Expression | None = None


class Program(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A compiled function.

    Attributes:
        name: the function's name.
        parameters: its arguments, without the state.
        body: its statements.
        functions: the programs that it invokes, each with its callees here, not nested.
        hosts: names of the client's functions that it calls.
        file: where it was written, for messages; neither it nor a line is part of the hash.
        version: of this format.
    """

    name: str
    body: tuple[Block, ...]
    parameters: tuple[Parameter, ...] = ()
    functions: dict[str, Program] = {}
    hosts: tuple[str, ...] = ()
    file: str = ""
    version: int = VERSION

    def hash(self) -> str:
        """Return 64 hexadecimal digits that name what the program does, wherever it stands."""
        from .text import without_places  # it imports this module

        return hashlib.sha256(to_json(without_places(self))).hexdigest()

    def __str__(self) -> str:
        from .text import to_text  # it imports this module

        return to_text(self)


def to_json(program: Program) -> bytes:
    """Return the canonical JSON form: sorted keys, defaults left out."""
    return msgspec.json.encode(_canonical(program), order="sorted")


def from_json(data: bytes | str) -> Program:
    """Return the program of a JSON form.

    Raises:
        msgspec.ValidationError: the data is no program; the message has the place in it.
        msgspec.DecodeError: the data is no JSON.
    """
    return _DECODER.decode(data)


def _canonical(value: Any) -> Any:
    """Make what is equal the same on the wire.

    msgspec leaves out no node that merely equals a default, and a temperature of 0 is read as 0.0.
    """
    if isinstance(value, msgspec.Struct):
        changes: dict[str, Any] = {}
        for field in _fields(type(value)):
            old: Any = getattr(value, field.name)
            new: Any
            if isinstance(field.default, msgspec.Struct) and field.default == old:
                new = field.default
            elif field.type == float | None and old is not None:
                new = float(old)
            else:
                new = _canonical(old)
            if new is not old:
                changes[field.name] = new
        return msgspec.structs.replace(value, **changes) if changes else value
    if isinstance(value, tuple):
        items = cast("tuple[object, ...]", value)
        return tuple([_canonical(item) for item in items])
    if isinstance(value, dict):
        pairs = cast("dict[str, object]", value)
        return {key: _canonical(item) for key, item in pairs.items()}
    return value


_fields = functools.cache(msgspec.structs.fields)  # it reads annotations
_DECODER = msgspec.json.Decoder(Program)
