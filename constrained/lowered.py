"""A compiled grammar as text: what travels between processes, and what is kept on disk."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec

from . import errors
from .contract import Contract
from .errors import GrammarError, LimitError

if TYPE_CHECKING:
    from .normal.form import Core

__all__ = ["Lowered", "Refusal", "Result", "decode", "encode"]


class Lowered(msgspec.Struct, frozen=True, tag="lowered"):
    """What a back end makes a grammar of, once all is done that strangers can make dear.

    Attributes:
        backend: a name in `compiler.BACKENDS`.
        source: in the back end's own words: llguidance's Lark, xgrammar's serialised grammar.
        core: JSON text of the core schema that a schema became; "true" for the other kinds.
        contract: what is promised of a schema.
    """

    backend: str
    source: str
    core: str = "true"
    contract: Contract = Contract()

    def core_schema(self) -> Core:
        """Return the core schema, parsed anew."""
        core: Core = json.loads(self.core)
        return core


class Refusal(msgspec.Struct, frozen=True, tag="refusal"):
    """A `GrammarError` as plain data."""

    error_type: str  # its class in `errors`
    reason: str
    kind: str
    pointer: str | None = None
    hint: str = ""

    @classmethod
    def of(cls, error: GrammarError) -> Refusal:
        """Describe an error."""
        name = type(error).__name__
        return cls(name, error.reason, error.kind, error.pointer, error.hint)

    @classmethod
    def of_limit(cls, reason: str, kind: str) -> Refusal:
        """Refuse a grammar that took more than it may."""
        hint = "Make it smaller: fewer rules and alternatives, less repetition, less nesting."
        return cls(LimitError.__name__, reason, kind, hint=hint)

    def error(self) -> GrammarError:
        """Return the error."""
        made: type[GrammarError] = getattr(errors, self.error_type)
        return made(self.reason, kind=self.kind, pointer=self.pointer, hint=self.hint)


Result = Lowered | Refusal


def encode(result: Result) -> bytes:
    """Write a result as msgpack."""
    return msgspec.msgpack.encode(result)


def decode(data: bytes) -> Result:
    """Read what `encode` has written.

    Raises:
        msgspec.DecodeError: it is something else.
    """
    result: Result = msgspec.msgpack.decode(data, type=Result)
    return result
