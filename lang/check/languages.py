"""The constraints of gens as languages: is there a text, and how short and how long may it be?"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ...constrained.errors import GrammarError, MalformedError, UnsatisfiableError
from ...constrained.expressions import (
    Expression,
    Reference,
    Rules,
    UnreadableError,
    read_grammar,
)
from ...constrained.gbnf import one_line_rules
from ...constrained.layout import PropertyOrder, Whitespace
from ...constrained.pattern import lower_pattern
from ...constrained.plan import compile_json
from ...constrained.schema import lower_schema
from ...constrained.spec import GrammarSpec, Kind, Mode
from ...ir.nodes import CONSTRAINTS, Gen
from .grammar import forced_prefix, longest_bytes, may_begin, shortest_texts
from .shortest import fewest_tokens
from .tokens import Counter

LONGEST_TOKEN = 128  # characters; vocabularies have runs of spaces of this length
ROOT: Expression = Reference("root")


def is_stopped(gen: Gen, unknown: frozenset[str]) -> bool:
    """Whether a string, a pattern or a token other than the usual may end a gen's text."""
    said = gen.sampling
    holes = {f"sampling.{name}" for name in ("stop", "stop_regex", "stop_token_ids")}
    return bool(said.stop or said.stop_regex or said.stop_token_ids or unknown & holes)


@dataclass(eq=False)
class Language:
    """The texts that a constraint allows.

    Attributes:
        spec: the constraint.
        error: what the machine would refuse it for; nothing else is said then.
        counter: counts tokens.
    """

    spec: GrammarSpec
    error: GrammarError | None
    rules: Rules
    counter: Counter

    @cached_property
    def shortest(self) -> str | None:
        """A shortest text; None where the grammar cannot be read."""
        return shortest_texts(self.rules).get("root")

    @cached_property
    def most_bytes(self) -> int | None:
        """Of a text in UTF-8; None for no bound."""
        return longest_bytes(ROOT, self.rules) if self.rules else None

    @cached_property
    def prefix(self) -> str:
        """What every text begins with."""
        return forced_prefix(ROOT, self.rules)[0]

    @cached_property
    def least_tokens(self) -> int:
        """No text has fewer. Without a tokenizer: certain, but low."""
        text = self.shortest
        if not text:
            return 0
        bound = -(-len(text) // LONGEST_TOKEN)
        if self.counter.is_approximate or self.counter.texts is None:
            return bound
        exact = fewest_tokens(ROOT, self.rules, self.counter.texts)
        longest = max(map(len, self.counter.texts), default=1)
        return max(-(-len(text) // longest), exact or 0)

    def may_begin(self, char: str) -> bool:
        """Whether a text may begin with a character; true where nothing is known."""
        return not self.rules or may_begin(ROOT, char, self.rules)[0]


class Languages:
    """The languages of a program, each looked at once."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._known: dict[GrammarSpec, Language] = {}  # by specs that are not checked

    def of_gen(self, gen: Gen, unknown: frozenset[str]) -> Language | None:
        """The language of a gen; None if nothing, or only a run, constrains it."""
        kinds: tuple[Kind, ...] = CONSTRAINTS
        mode: Mode = "best_effort" if gen.schema_mode == "best_effort" else "strict"
        order: PropertyOrder = "any" if gen.property_order == "any" else "declared"
        whitespace: Whitespace = "flexible" if gen.whitespace == "flexible" else "compact"
        for kind in kinds:
            source: str | None = getattr(gen, kind)
            if source is not None and kind not in unknown:
                spec = GrammarSpec(kind, source, mode, property_order=order, whitespace=whitespace)
                if spec not in self._known:
                    self._known[spec] = self._read(spec)
                return self._known[spec]
        return None

    def _read(self, spec: GrammarSpec) -> Language:
        kind = spec.kind
        try:
            if kind == "json_schema":
                spec = GrammarSpec.json_schema(
                    spec.source,
                    mode=spec.mode,
                    property_order=spec.property_order,
                    whitespace=spec.whitespace,
                )
            spec = spec.checked()
            if kind in ("lark", "structural_tag"):  # not of the form that is read here
                return Language(spec, _refusal(spec), {}, self._counter)
            text = _ebnf(spec)
        except (MalformedError, UnsatisfiableError) as error:
            return Language(spec, error, {}, self._counter)
        except GrammarError:  # another back end may do what this form cannot
            return Language(spec, _refusal(spec), {}, self._counter)
        try:
            rules = read_grammar(text)
        except UnreadableError:
            rules = {}
        refusal = _refusal(spec) if kind in ("ebnf", "gbnf") else None
        language = Language(spec, refusal, {} if refusal else rules, self._counter)
        if refusal is None and rules and language.shortest is None:
            language.error = UnsatisfiableError(
                "there is no finite text",
                kind=spec.kind,
                hint="Give every recursion a way to end.",
            )
        return language


def _ebnf(spec: GrammarSpec) -> str:
    match spec.kind:
        case "regex":
            return f"root ::= {lower_pattern(spec.source)}"
        case "json_schema" | "json_object":
            return compile_json(spec, lambda plan: lower_schema(plan.core, layout=plan.layout))
        case "gbnf":
            return one_line_rules(spec.source)
        case _:
            return spec.source


def _refusal(spec: GrammarSpec) -> GrammarError | None:
    """What the machine's own compiler says, over a vocabulary of single bytes; imports torch."""
    from ...constrained.compile import compile
    from ...constrained.vocab import Vocabulary

    vocabulary = Vocabulary((*(bytes([byte]) for byte in range(256)), b""), frozenset({256}))
    try:
        compile(spec, vocabulary)
    except GrammarError as error:
        return error
    return None
