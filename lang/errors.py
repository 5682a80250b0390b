"""Errors that users of the language meet.

TypeError              a function or an expression is put together wrongly (raised where it stands)
ir.ProgramError        a program does what cannot be done (file and line in the message)
ir.BackendError        the backend failed; `retryable`
ProgramEndedError      a state is written to after its program ended
"""

from __future__ import annotations

from ..ir.errors import (
    BackendError,
    ProgramError,
    RoleError,
    UnboundVariableError,
    UnsupportedError,
)

__all__ = [
    "BackendError",
    "ProgramEndedError",
    "ProgramError",
    "RoleError",
    "UnboundVariableError",
    "UnsupportedError",
]


class ProgramEndedError(ProgramError):
    """`s += ...` after the program has ended or was cancelled, or on a fork that was joined."""
