"""Grammars on llguidance: lazy automata for tokens under an Earley parser, compiled in about 1 ms.

Of its JSON Schema only the keywords of `normal.form.CORE` are used, where it was found exact: on
the official test suite and 617 schemas of public repositories it takes no invalid instance (1.9.1).

Threads: llguidance lets go of the GIL while it compiles and fills. A grammar is a matcher that is
never moved, copied for each match; a matcher is one thread's.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

import llguidance
import numpy as np

from .apart import Apart, set_apart
from .contract import Contract
from .errors import (
    GrammarError,
    LimitError,
    MalformedError,
    UnsatisfiableError,
    UnsupportedError,
)
from .followed import Followed
from .layout import Layout, Whitespace
from .llguidance_matcher import Fuel, Matcher, Row
from .llguidance_numbers import with_cut_bounds
from .lowered import Lowered
from .masked import MaskedGrammar
from .normal.form import Core
from .numbers import WIDE
from .pattern import lower_pattern
from .plan import Plan, compile_json
from .regexes import rust_syntax
from .spec import GrammarSpec, Kind, parse_json
from .special import is_code
from .spelt import Spelt
from .tags import read_tags
from .tags_lark import lark_of
from .unordered import blank_pattern, unordered_lark
from .vocab import Vocabulary
from .whereabouts import Follower

__all__ = ["Compiler"]

# Alternatives that are open at one place: each choice of a list takes 1, each optional property 4,
# and filling a mask some 10 us for each of those. llguidance's own bound, 2,000, cuts off texts.
MAX_ROW_ITEMS = 20_000
MAX_LEXER_STATES = 50_000  # of one grammar, at 1 to 2 KB
# The separators are patterns. No \\u: with it the key "a" of an open object can be spelled
# "\\u0061", past its schema.
ESCAPES = 'nrbtf\\"'
LAYOUTS: dict[Whitespace, dict[str, Any]] = {
    "compact": {
        "item_separator": ", ?",
        "key_separator": ": ?",
        "whitespace_flexible": False,
        "json_allowed_escapes": ESCAPES,
    },
    "flexible": {
        "item_separator": ",",
        "key_separator": ":",
        "whitespace_flexible": True,
        "whitespace_pattern": blank_pattern(),  # between two marks it is met once
        "json_allowed_escapes": ESCAPES,
    },
}

_CONTROL = re.compile(r"[\x00-\x07\x0b\x0e-\x1f\x7f]")

# A mask holds every token that may come, not only the canonical one of a forced text: which tokens
# spell that is for whoever appends the run to say.
EVERY_TOKEN = '%llguidance {"no_forcing": true}'


class Compiler:
    """Compiles specs for one vocabulary. Any number of threads may."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        wrapper = llguidance.TokenizerWrapper(_Tokens(vocabulary))
        stop_ids = sorted(vocabulary.stop_ids)
        self._tokenizer = llguidance.LLTokenizer(
            wrapper,
            n_vocab=vocabulary.size,
            eos_token=stop_ids,
            slices=llguidance.LLTokenizer.json_slices(),
        )
        self._limits = llguidance.LLParserLimits(
            max_items_in_row=MAX_ROW_ITEMS,
            max_lexer_states=MAX_LEXER_STATES,
            verbose_errors=False,
        )
        self._vocabulary = vocabulary
        self._stop_row = _stop_row(vocabulary)
        self._spelt = Spelt(vocabulary)

    def compile(self, spec: GrammarSpec) -> MaskedGrammar:
        """Compile, on the calling thread.

        Raises:
            GrammarError: see its tree.
        """
        try:
            if spec.kind in ("json_schema", "json_object"):
                return compile_json(spec, lambda plan: self._of_json(spec, plan))
            if spec.kind == "structural_tag":
                tags = read_tags(spec, self._vocabulary)
                lark = lark_of(tags.part, lambda plan: _json(plan.core), self._vocabulary)
                return self._grammar(spec, lark, tags.contract, True)
            return self._grammar(spec, _lark(spec), Contract(), True)
        except RecursionError as error:
            raise LimitError("the source nests or refers too deep", kind=spec.kind) from error

    def prepare(self, kind: Kind) -> bool:
        """Do nothing: all is made already."""
        return False

    def load(self, spec: GrammarSpec, lowered: Lowered) -> MaskedGrammar:
        """Make a grammar again of what `lowered` returned; some milliseconds, without the GIL."""
        core = lowered.core_schema()
        is_json = spec.kind in ("json_schema", "json_object")
        apart = set_apart(core) if is_json else None
        return self._grammar(spec, lowered.source, lowered.contract, core, apart)

    def _of_json(self, spec: GrammarSpec, plan: Plan) -> MaskedGrammar:
        apart = set_apart(plan.core)
        lark = _planned(plan.core if apart is None else apart.core, plan.layout)
        return self._grammar(spec, lark, plan.contract, plan.core, apart)

    def _grammar(
        self,
        spec: GrammarSpec,
        lark: str,
        contract: Contract,
        core: Core,
        apart: Apart | None = None,
    ) -> MaskedGrammar:
        # At the end, so that lines in messages are the user's.
        source = llguidance.LLMatcher.grammar_from_lark(f"{lark}\n{EVERY_TOKEN}\n")
        matcher = llguidance.LLMatcher(self._tokenizer, source, log_level=0, limits=self._limits)
        if matcher.is_error():
            _refuse(matcher.get_error(), spec)

        fuel = Fuel()
        follower = None if apart is None else Follower(apart, self._spelt)

        def begin() -> Matcher | Followed:
            own = Matcher(matcher.deep_copy(), self._vocabulary, self._stop_row, spec.kind, fuel)
            return own if follower is None else Followed(own, follower, self._vocabulary)

        grammar = MaskedGrammar(
            spec,
            contract,
            core,
            WIDE,
            self._vocabulary,
            begin,
            lambda: Lowered("llguidance", lark, json.dumps(core), contract),
        )
        if not begin().row().any():
            raise UnsatisfiableError("no token of the vocabulary can begin it", kind=spec.kind)
        return grammar


class _Tokens:
    """What llguidance reads of a tokenizer."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        # So llguidance spells those that are no text, in what it reads and in what it forces.
        self.tokens = [
            b"\xff[%d]" % token if not text or is_code(text) else text
            for token, text in enumerate(vocabulary.tokens)
        ]
        self.special_token_ids = [
            token for token, text in enumerate(vocabulary.tokens) if not text or is_code(text)
        ]
        self.eos_token_id = min(vocabulary.stop_ids)
        self.bos_token_id = None

    def __call__(self, text: str | bytes) -> NoReturn:
        """Refuse to tokenise: nothing is forced by token."""
        raise TypeError("llguidance does not tokenise here")


def _planned(core: Core, layout: Layout) -> str:
    """Write a core schema as Lark."""
    if layout.property_order == "any":
        return unordered_lark(core, layout, _json)
    return f"start: %json {_json(core, layout.whitespace)}"


def _json(core: Core, whitespace: Whitespace = "compact") -> str:
    """Write a core schema as llguidance's JSON Schema."""
    if (value := _unwritable(core)) is not None:
        raise UnsupportedError(
            f"llguidance writes no control characters, and {value!r:.80} has one",
            kind="json_schema",
            pointer="",
        )
    cut = with_cut_bounds(core)
    return json.dumps({**(cut if isinstance(cut, dict) else {}), "x-guidance": LAYOUTS[whitespace]})


def _lark(spec: GrammarSpec) -> str:
    """Write a spec, not of JSON, as llguidance's Lark."""
    match spec.kind:
        case "regex":
            return f"start: /{rust_syntax(lower_pattern(spec.source))}/"
        case "choices":
            options = parse_json(spec.source, kind=spec.kind)
            return f"start: {' | '.join(map(json.dumps, dict.fromkeys(options)))}"
        case "lark":
            return spec.source
        case _:
            raise UnsupportedError(
                f"llguidance does not read {spec.kind}",
                kind=spec.kind,
                hint="Leave the back end to auto, or write the grammar in Lark.",
            )


def _unwritable(core: Any) -> str | None:
    """Return a constant text of a schema that the layout has no spelling for; None without one."""
    if isinstance(core, dict):
        core = list(core.values())
    if isinstance(core, list):
        return next((found for part in core if (found := _unwritable(part)) is not None), None)
    return core if isinstance(core, str) and _CONTROL.search(core) else None


def _stop_row(vocabulary: Vocabulary) -> Row:
    words = np.zeros(-(-vocabulary.size // 32), dtype=np.uint32)
    for token in vocabulary.stop_ids:
        words[token // 32] |= np.uint32(1 << token % 32)
    return words.view(np.int32)


def _refuse(message: str, spec: GrammarSpec) -> NoReturn:
    """Raise the error that llguidance's words stand for."""
    said = re.sub(r"\s+", " ", message)[:400]
    kind: type[GrammarError] = UnsupportedError
    if "Unsatisfiable" in said or "unsatisfiable" in said:
        kind = UnsatisfiableError
    elif re.search(r"too (large|complex|many|deep)|fuel|limit|exceeded|Unable to determine", said):
        kind = LimitError
    elif not spec.kind.startswith("json"):
        kind = MalformedError
    pointer = "" if spec.kind == "json_schema" else None
    raise kind(f"llguidance: {said}", kind=spec.kind, pointer=pointer)
