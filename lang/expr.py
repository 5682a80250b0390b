"""Expressions: what stands to the right of `s +=`.

An expression is a sequence of IR statements. Strings become `Text`; `+` joins.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, get_args

from ..ir.holes import as_schema, as_text
from ..ir.nodes import Logprobs, Stmt, Text

# The text that each `dtype` allows; SGLang's names and meanings.
REGEX_INT = r"[-+]?[0-9]+[ \n]*"
REGEX_FLOAT = r"[-+]?[0-9]*\.?[0-9]+[ \n]*"
REGEX_BOOL = r"(True|False)"
REGEX_STR = r"\"[\w\d\s]*\""  # a quoted run of words, digits and spaces
DTYPES: Mapping[type, str] = {
    int: REGEX_INT,
    float: REGEX_FLOAT,
    bool: REGEX_BOOL,
    str: REGEX_STR,
}
NUMBER_STOPS = (" ", "\n")
LOGPROBS = ("return_logprob", "logprob_start_len", "top_logprobs_num", "return_text_in_logprobs")


class Expr:
    """Statements in a row; immutable. `a + b` joins two, and strings on either side."""

    __slots__ = ("statements",)

    def __init__(self, *statements: Stmt) -> None:
        self.statements = statements

    def __add__(self, other: Expr | str) -> Expr:
        right = as_expr(other, allow=True)
        return NotImplemented if right is None else Expr(*self.statements, *right.statements)

    def __radd__(self, other: str) -> Expr:
        left = as_expr(other, allow=True)
        return NotImplemented if left is None else Expr(*left.statements, *self.statements)

    def __repr__(self) -> str:
        return f"Expr({', '.join(map(repr, self.statements))})"


def as_expr(value: object, *, allow: bool = False) -> Expr | None:
    """Return `value` as an expression; with `allow`, None for what cannot be one.

    Raises:
        ValueError: None, which is almost always a forgotten `return`.
        TypeError: anything else that is no text and no expression.
    """
    if isinstance(value, Expr):
        return value
    if isinstance(value, str):
        return Expr(Text(text=value))
    if allow:
        return None
    return Expr(Text(text=as_text(value)))


def check_regex(pattern: str) -> str:
    """Compile a pattern with `re`, so that a bad one fails where it is written."""
    re.compile(pattern)
    return pattern


def schema_text(schema: Any) -> str:
    """Return a JSON Schema as text: from a dict, JSON text, a pydantic model or another type.

    The objects of a type have its fields and no others, as in `constrained.compile`.

    Raises:
        TypeError: anything else.
        GrammarError: pydantic cannot describe the type.
    """
    if isinstance(schema, type) or get_args(schema):
        from ..constrained.spec import GrammarSpec

        return GrammarSpec.json_schema(schema).source
    return as_schema(schema)


def logprobs_of(
    wanted: bool | None, start: int | None, top: int | None, with_text: bool | None
) -> Logprobs | None:
    """What `gen` or `run` were told about log-probabilities; None: nobody wants them."""
    return Logprobs(start=start, top=top, with_text=bool(with_text)) if wanted else None
