"""The words of the language as objects: whatever a program calls them."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from types import CodeType, FunctionType, MethodType
from typing import Any

from .. import api
from ..expr import Expr

_NAMES = """
    gen select role system user assistant system_begin system_end user_begin user_end
    assistant_begin assistant_end
"""
WORDS: Mapping[int, Callable[..., Any]] = {
    id(getattr(api, name)): getattr(api, name) for name in _NAMES.split()
}
ROLES: Mapping[int, str] = {
    id(getattr(api, name)): name for name in ("system", "user", "assistant")
}

# Where an argument of `gen` stands in its statement, for those that may depend on the run.
FIELDS: Mapping[str, str] = {
    "name": "out",
    "max_tokens": "sampling.max_new_tokens",
    "min_tokens": "sampling.min_new_tokens",
    **{
        name: f"sampling.{name}"
        for name in (
            "n",
            "stop",
            "stop_token_ids",
            "temperature",
            "top_p",
            "top_k",
            "min_p",
            "frequency_penalty",
            "presence_penalty",
            "repetition_penalty",
            "ignore_eos",
            "sampling_seed",
        )
    },
    "regex": "regex",
    "ebnf": "ebnf",
    "json_schema": "json_schema",
    "choices": "choices",
}
MAX_FOLLOWED = 500  # functions looked at, from the one that is called
CONSTRAINTS = frozenset({"regex", "ebnf", "json_schema", "dtype"})


def makes_expressions(function: Any) -> bool:
    """Whether a function of Python's names a word of the language, itself or through others.

    Its result may then be an expression, which is no value. Only looks; nothing is called.
    """
    pending, seen = [function], set[int]()
    while pending:
        found = pending.pop()
        if isinstance(found, functools.partial):
            found = found.func
        if isinstance(found, MethodType):
            found = found.__func__
        if id(found) in WORDS or found is Expr:
            return True
        if not isinstance(found, FunctionType) or id(found) in seen:
            continue
        package = (found.__module__ or "").partition(".")[0]
        if package in sys.stdlib_module_names or package == __name__.partition(".")[0]:
            continue
        if len(seen) >= MAX_FOLLOWED:
            return False
        seen.add(id(found))
        pending.extend(_named(found))
    return False


def _named(function: FunctionType) -> list[Any]:
    """The objects outside a function that its code may reach by name."""
    names: set[str] = set()
    codes = [function.__code__]
    while codes:
        code = codes.pop()
        names.update(code.co_names)
        codes.extend(constant for constant in code.co_consts if isinstance(constant, CodeType))
    found = [function.__globals__[name] for name in names if name in function.__globals__]
    modules = [vars(item) for item in found if isinstance(item, type(functools))]
    found += [module[name] for module in modules for name in names if name in module]
    for cell in function.__closure__ or ():
        try:
            found.append(cell.cell_contents)
        except ValueError:
            continue  # bound later
    return found
