"""The expressions that a spec's texts are made of, whichever back end masks them.

They propose how texts can be completed; what they get wrong a matcher finds out. So where EBNF does
not hold all of a schema, one that is near it will do (`loose.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from . import ebnf
from .ebnf import alternation, literal
from .errors import GrammarError
from .expressions import Reference, Rules, Sequence, UnreadableError, read_grammar, renamed
from .gbnf import one_line_rules
from .layout import Layout
from .loose import loosened
from .normal.form import Core
from .numbers import Unbounded
from .pattern import lower_pattern
from .schema import lower_schema, schema_expression
from .spec import GrammarSpec, Reasoning, parse_json
from .tags import read_tags
from .tags_ebnf import ebnf_of
from .tags_parts import Constant, Joined, Until
from .vocab import Vocabulary

__all__ = ["Outline", "outline"]

ANSWER = "reasoning.answer"  # the rule of what comes behind reasoning
MAX_TEXT_BYTES = 500_000  # 0.5 s to read


@dataclass(frozen=True, slots=True)
class Outline:
    """A grammar's rules, `root` among them.

    Attributes:
        is_exact: whether they derive the same texts as the grammar, as far as is known.
        is_regular: whether only finitely many positions are reached.
    """

    rules: Rules
    is_exact: bool = True
    is_regular: bool = False


def outline(
    spec: GrammarSpec, core: Core, numbers: Unbounded, vocabulary: Vocabulary
) -> Outline | None:
    """Return the outline of a spec; None where there is none.

    Args:
        spec: what was compiled.
        core: the core schema that it became, if it is of JSON.
        numbers: how the back end writes those without bounds.
        vocabulary: whose special tokens marks may be.
    """
    try:
        found = _of_kind(spec, core, numbers, vocabulary)
        if found is None or spec.reasoning is None:
            return found
        return _behind(spec.reasoning, found, vocabulary)
    except (GrammarError, UnreadableError, RecursionError):
        return None


def _of_kind(
    spec: GrammarSpec, core: Core, numbers: Unbounded, vocabulary: Vocabulary
) -> Outline | None:
    match spec.kind:
        case "regex":
            rules = _read(f"root ::= {lower_pattern(spec.source)}")
            return Outline(rules, is_regular=True)
        case "choices":
            options = parse_json(spec.source, kind=spec.kind)
            rules = _read(f"root ::= {alternation([literal(option) for option in options])}")
            return Outline(rules, is_regular=True)
        case "ebnf":
            return Outline(_read(spec.source), is_exact="(=" not in spec.source)
        case "gbnf":
            return Outline(_read(one_line_rules(spec.source)))
        case "json_schema" | "json_object":
            return _of_schema(core, numbers, spec.layout)
        case "structural_tag":
            return _of_tags(spec, numbers, vocabulary)
        case "lark":
            return None


def _behind(reasoning: Reasoning, answer: Outline, vocabulary: Vocabulary) -> Outline:
    """Put reasoning before an outline, without its bound: that only ever shortens it."""
    begin, end, gap = map(vocabulary.written, (reasoning.begin, reasoning.end, reasoning.gap))
    marks = (Constant(begin), Until((end,), None), Constant(gap))
    front = _read(ebnf_of(Joined(marks), prefix="reasoning."))
    inner = {name: renamed(body, "root", ANSWER) for name, body in answer.rules.items()}
    rules = {**front, **inner, ANSWER: inner["root"]}
    rules["root"] = Sequence((front["root"], Reference(ANSWER)))
    return Outline(rules, is_exact=answer.is_exact)


def _of_schema(core: Core, numbers: Unbounded, layout: Layout) -> Outline:
    try:
        return Outline(_read(lower_schema(core, numbers, layout)))
    except GrammarError:
        near, is_exact = loosened(core)
        text = lower_schema(near, numbers, replace(layout, is_near=True))
        return Outline(_read(text), is_exact=is_exact and layout.property_order == "declared")


def _of_tags(spec: GrammarSpec, numbers: Unbounded, vocabulary: Vocabulary) -> Outline:
    is_exact = True

    def write(core: Core, rules: ebnf.Rules) -> str:
        nonlocal is_exact
        try:
            return schema_expression(core, rules, numbers)
        except GrammarError:
            near, is_same = loosened(core)
            is_exact = is_exact and is_same
            return schema_expression(near, rules, numbers)

    part = read_tags(spec, vocabulary).part
    text = ebnf_of(part, write, counts_text=False)
    is_exact = is_exact and "max_chars" not in spec.source and "(=" not in spec.source
    return Outline(_read(text), is_exact=is_exact)


def _read(text: str) -> Rules:
    if len(text) > MAX_TEXT_BYTES:
        raise UnreadableError(f"{len(text):,} characters are too many")
    return read_grammar(text)
