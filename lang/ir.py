"""SGLang's names for what expressions are made of, for programs that import them.

An expression here is one class, a row of statements; so the names of SGLang's nodes are the words
that make such expressions, and no classes to test for.
"""

from __future__ import annotations

from ..ir.nodes import RoleBegin, RoleEnd, Sampling, ScopeBegin, ScopeEnd, Text
from .api import gen, image, select, separate_reasoning, video
from .expr import REGEX_BOOL, REGEX_FLOAT, REGEX_INT, REGEX_STR, Expr
from .function import Function

SglExpr = SglExprList = Expr
SglFunction = Function
SglSamplingParams = Sampling
SglGen = gen
SglSelect = select
SglImage = image
SglVideo = video
SglSeparateReasoning = separate_reasoning


def SglConstantText(value: str) -> Expr:  # SGLang's name
    """A literal text."""
    return Expr(Text(text=value))


def SglRoleBegin(role: str) -> Expr:
    """The beginning of a turn."""
    return Expr(RoleBegin(role=role))


def SglRoleEnd(role: str) -> Expr:
    """The end of a turn."""
    return Expr(RoleEnd(role=role))


def SglVarScopeBegin(name: str) -> Expr:
    """From here to the matching end, the text is also bound to `name`."""
    return Expr(ScopeBegin(out=name))


def SglVarScopeEnd(name: str) -> Expr:
    """The end of the scope that was opened last."""
    return Expr(ScopeEnd(out=name))


__all__ = [
    "REGEX_BOOL",
    "REGEX_FLOAT",
    "REGEX_INT",
    "REGEX_STR",
    "SglConstantText",
    "SglExpr",
    "SglExprList",
    "SglFunction",
    "SglGen",
    "SglImage",
    "SglRoleBegin",
    "SglRoleEnd",
    "SglSamplingParams",
    "SglSelect",
    "SglSeparateReasoning",
    "SglVarScopeBegin",
    "SglVarScopeEnd",
    "SglVideo",
]
