"""Errors that users of the language meet.

TypeError              a function or an expression is put together wrongly (raised where it stands)
ir.errors              what happens while a program runs
"""

from __future__ import annotations

from ..ir.errors import (
    BackendError,
    FuelError,
    ProgramEndedError,
    ProgramError,
    RoleError,
    UnboundVariableError,
    UnsupportedError,
)

__all__ = [
    "BackendError",
    "CompileError",
    "FuelError",
    "ProgramEndedError",
    "ProgramError",
    "RoleError",
    "UnboundVariableError",
    "UnsupportedError",
]


class CompileError(ProgramError):
    """A function cannot be compiled, so it runs eagerly; says which line and what would work."""
