"""Errors of programs and of the backends that run them.

ProgramError                   the program is at fault; carries the user's file and line
├── UnboundVariableError       a variable is read that no statement binds
├── RoleError                  roles nested, or ended without a beginning
├── ProgramEndedError          a state is written to after its program ended
├── FuelError                  a bound on steps, tokens, forks, nesting or time is used up
└── UnsupportedError           this backend cannot do what the statement asks
BackendError                   the backend failed; `retryable` says whether trying again can help
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .nodes import NOWHERE, Span

EXCEPTIONS: Mapping[str, type[Exception]] = {
    kind.__name__: kind
    for kind in (
        ArithmeticError,
        AssertionError,
        Exception,
        IndexError,
        KeyError,
        LookupError,
        NotImplementedError,
        RuntimeError,
        TimeoutError,
        TypeError,
        ValueError,
        ZeroDivisionError,
    )
}
"""Python's exceptions that a program may raise, by name: none that ends a process or a task."""


class ProgramError(Exception):
    """A mistake in a program. The message begins with the user's file and line, where known."""

    def __init__(self, message: str, *, span: Span = NOWHERE, hint: str | None = None) -> None:
        super().__init__(f"{span}: {message}" if span.line else message)
        self.span = span
        self.hint = hint
        if hint:
            self.add_note(hint)


def message_of(error: BaseException) -> str:
    """Return what an exception was made with; `str` of a `KeyError` would be its repr."""
    bare = type(error) is KeyError and len(error.args) == 1
    return str(error.args[0]) if bare else str(error)


class UnboundVariableError(ProgramError, KeyError):
    """A variable is read before any `gen` or `select` binds it."""

    def __init__(self, name: str, *, bound: Iterable[str], span: Span = NOWHERE) -> None:
        super().__init__(
            f"{name!r} is read, but no gen() or select() binds it; bound here: {sorted(bound)}",
            span=span,
            hint=f"If {name!r} is an input, make it an argument of the function.",
        )

    def __str__(self) -> str:
        return str(self.args[0])  # KeyError would print the repr


class RoleError(ProgramError):
    """Roles are nested, or a role ends that was not begun."""


class UnsupportedError(ProgramError):
    """The backend cannot do what the statement asks for."""


class BackendError(Exception):
    """A backend failed to answer.

    Attributes:
        retryable: whether the same call may succeed later (a full queue, a dropped connection).
    """

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class FuelError(ProgramError):
    """A bound of a program's run is used up; the message names the bound and its number."""


class ProgramEndedError(ProgramError):
    """`s += ...` after the program has ended or was cancelled, or on a fork that was joined."""


def sees_nothing(model: str) -> UnsupportedError:
    """The error for an image that a model of text alone is shown."""
    return UnsupportedError(
        f"the model {model!r} sees no images",
        hint="Run the program on a model with vision: a LLaVA checkpoint here, or a service's "
        "(OpenAI, Anthropic, LiteLLM).",
    )
