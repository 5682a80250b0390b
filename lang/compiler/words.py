"""The words of the language as objects: whatever a program calls them."""

from __future__ import annotations

import dis
import functools
import sys
from collections.abc import Callable, Iterator, Mapping
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from ...ir.nodes import CONSTRAINTS as KINDS
from .. import api
from ..expr import Expr
from .scope import Scope

_NAMES = """
    gen gen_int gen_string select separate_reasoning image video role system user assistant
    system_begin system_end user_begin user_end
    assistant_begin assistant_end
"""
WORDS: Mapping[int, Callable[..., Any]] = {
    id(getattr(api, name)): getattr(api, name) for name in _NAMES.split()
}
ROLES: Mapping[int, str] = {
    id(getattr(api, name)): name for name in ("system", "user", "assistant")
}

TYPED: Mapping[int, type] = {id(api.gen_int): int, id(api.gen_string): str}

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
            "stop_regex",
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
    "gbnf": "gbnf",
    "lark": "lark",
    "structural_tag": "structural_tag",
    "choices": "choices",
}
MAX_FOLLOWED = 500  # functions looked at, from the one that is called
CONSTRAINTS = frozenset({*KINDS, "dtype"})


def makes_expressions(function: Any) -> bool:
    """Whether a function of Python's names a word of the language, itself or through others.

    Its result may then be an expression, which is no value. Only looks; nothing is called.
    """
    return any(id(found) in WORDS or found is Expr for found in _reached(function))


def may_change(function: Any, scope: Scope, name: str) -> bool:
    """Whether a function, itself or through others, may change what a name in `scope` stands for.

    It does if it binds the name, and it may if it names a list, dict or set.
    """
    is_container = isinstance(scope.root(name), list | dict | set)
    for found in _reached(function):
        if isinstance(found, FunctionType) and scope.is_shared(found, name):
            stores = any(
                at.opname in ("STORE_GLOBAL", "STORE_DEREF") and at.argval == name
                for code in _codes(found)
                for at in dis.get_instructions(code)
            )
            used = any(name in (*code.co_names, *code.co_freevars) for code in _codes(found))
            if stores or (is_container and used):
                return True
    return False


def _reached(function: Any) -> Iterator[Any]:
    """The objects that a function may reach by name, itself first; of libraries, the surface."""
    pending, seen = [function], set[int]()
    while pending and len(seen) < MAX_FOLLOWED:
        found = pending.pop()
        if isinstance(found, functools.partial):
            found = found.func
        if isinstance(found, MethodType):
            found = found.__func__
        yield found
        if not isinstance(found, FunctionType) or id(found) in seen:
            continue
        seen.add(id(found))
        package = (found.__module__ or "").partition(".")[0]
        if package not in sys.stdlib_module_names and package != __name__.partition(".")[0]:
            pending.extend(_named(found))


def _codes(function: FunctionType) -> Iterator[CodeType]:
    """The code of a function and of those inside it."""
    codes = [function.__code__]
    while codes:
        code = codes.pop()
        yield code
        codes.extend(constant for constant in code.co_consts if isinstance(constant, CodeType))


def _named(function: FunctionType) -> list[Any]:
    """The objects outside a function that its code may reach by name."""
    names = {name for code in _codes(function) for name in code.co_names}
    found = [function.__globals__[name] for name in names if name in function.__globals__]
    modules = [vars(item) for item in found if isinstance(item, ModuleType)]
    found += [module[name] for module in modules for name in names if name in module]
    for cell in function.__closure__ or ():
        try:
            found.append(cell.cell_contents)
        except ValueError:
            continue  # bound later
    return found
