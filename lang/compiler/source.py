"""The source of a function as a tree whose line numbers are those of its file."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...ir.nodes import Span
from ..errors import CompileError


@dataclass(frozen=True, slots=True)
class Source:
    """Where and how a function was written."""

    file: str
    first_line: int
    text: str
    tree: ast.FunctionDef


def read_source(func: Callable[..., Any]) -> Source:
    """Return the source of a plain Python function.

    Raises:
        CompileError: there is none, or it is not that of `func`.
    """
    code = getattr(func, "__code__", None)
    name = getattr(func, "__name__", repr(func))
    if code is None:
        raise CompileError(f"{name!r} is no Python function", hint="Write it with def.")
    span = Span(code.co_filename, code.co_firstlineno)
    if hasattr(func, "__wrapped__"):
        raise CompileError(
            f"{name!r} is wrapped by another decorator",
            span=span,
            hint="Apply @function to the plain function.",
        )
    try:
        lines, first = inspect.getsourcelines(func)
    except (OSError, TypeError):
        raise CompileError(
            f"the source of {name!r} cannot be found", span=span, hint="Write it in a file."
        ) from None
    text = "".join(lines)
    tree = _parse(text, first)
    if tree is None or [a.arg for a in _arguments(tree)] != _names(code):
        raise CompileError(
            f"the source of {name!r} is not a def that stands by itself, or has changed",
            span=span,
            hint="Write it with def, and load the module again after a change.",
        )
    return Source(code.co_filename, first, text, tree)


def _parse(text: str, first: int) -> ast.FunctionDef | None:
    """Parse without dedenting: that would change the texts inside triple quotes."""
    indented = text[:1].isspace()
    try:
        module = ast.parse("if True:\n" + text if indented else text)
    except SyntaxError:
        return None
    ast.increment_lineno(module, first - (2 if indented else 1))
    body = module.body[0].body if isinstance(module.body[0], ast.If) else module.body
    return body[0] if isinstance(body[0], ast.FunctionDef) else None


def _arguments(tree: ast.FunctionDef) -> list[ast.arg]:
    given = tree.args
    return [*given.posonlyargs, *given.args, *given.kwonlyargs]


def _names(code: Any) -> list[str]:
    return list(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])
