"""What can be said of a program before any token: faults, and what it will cost.

finding      what a check says
tokens       ranges of numbers of tokens, and counting
values       what an expression may be
tape         a sequence as far as it is known
env          what is known at one point, and joins where ways meet
trace        what a walk has met
expressions  what expressions may be during a walk; assumptions: tests; reads: what is noted
rounds       loops whose items are known
effects      what statements do to states; repeats: loops that a run decides
flow         the walk over control flow
grammar      grammars as data; shortest: the fewest tokens of a text; languages: of constraints
subject      what could be compiled
bindings, branches, constraints, texts, limits: the checks
inspect      the whole: `check` and `estimate`
"""

from __future__ import annotations

from .estimate import Estimate, estimate_function
from .finding import Finding, Report
from .inspect import check_function

__all__ = ["Estimate", "Finding", "Report", "check_function", "estimate_function"]
