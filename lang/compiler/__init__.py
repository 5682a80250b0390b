"""Compiles the functions of the language into programs.

source     a function as a tree with its file's line numbers
scope      what names stand for outside it, and whether that has changed
ownership  whose a value is: may it be changed in place?
frame      the names of one function; what a whole compilation shares
forms      small rewritings of trees
words      gen, select and the roles, by identity
values     expressions that compute values
effects    calls that do something, taken out in order; plain helpers, inlined
nested     the settings of programs that a program runs
mix        what stands to the right of `s +=`
statements the rest
build      the whole, its reasons, and `explain`
"""

from __future__ import annotations

from .build import Compiled, Line, compile_function, explain

__all__ = ["Compiled", "Line", "compile_function", "explain"]
