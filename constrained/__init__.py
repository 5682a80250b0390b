"""Constrained decoding: a spec of what text may be generated, compiled to token masks.

    spec.py       regex, EBNF, GBNF, Lark, JSON Schema, any JSON object, choices
    compile.py    one spec to a grammar and its contract
    masked.py     what back ends make of a spec
    compiler.py   specs to grammars, each compiled once, in another process: workshop.py is this end
                  of it, workshop_process.py and hand.py the other, orders.py what is said, trial.py
                  and store.py what is tried and kept there, lowered.py what comes back
    grammar.py    the protocols: a `Grammar` makes `Matcher`s, which fill masks and accept tokens
    contract.py   what is enforced, checked, refused of a schema; check.py validates documents
    plan.py       schemas to core schemas: normal/ rewrites, references.py, formats.py, regexes.py
    order.py      objects whose properties come in any order
    auto_backend.py  llguidance_backend.py  xgrammar_backend.py  outlines_backend.py
    regular.py    grammars without recursion as one pattern, for outlines
    schema.py     core schemas to xgrammar's EBNF (with objects.py, strings.py, numbers.py, ebnf.py)
    reasoning.py  free text, bounded in tokens, in front of what is constrained
    tags.py       structural tags, read into tags_parts.py; tags_lark.py and tags_ebnf.py write them
    pattern.py    regexes to EBNF; automaton.py: are they empty, finite, what is their opposite
    completion.py closing.py  documents that end within a budget of tokens, by way of outline.py,
                  loose.py, expressions.py, network.py, recogniser.py, spelling.py, search.py
    bitmask.py    packed masks, and how they are applied to logits
    errors.py     what can be wrong

Importing the package imports neither torch nor a back end: take what needs them from its module.
"""

from __future__ import annotations

from .compile import Compiled, compile
from .contract import Contract, Failure, Finding, Status
from .errors import (
    BudgetError,
    GrammarError,
    LimitError,
    MalformedError,
    UnsatisfiableError,
    UnsupportedError,
)
from .spec import GrammarSpec, Reasoning

__all__ = [
    "BudgetError",
    "Compiled",
    "Contract",
    "Failure",
    "Finding",
    "GrammarError",
    "GrammarSpec",
    "LimitError",
    "MalformedError",
    "Reasoning",
    "Status",
    "UnsatisfiableError",
    "UnsupportedError",
    "compile",
]
