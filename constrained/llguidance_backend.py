"""Grammars on llguidance: lazy automata for tokens under an Earley parser, compiled in about 1 ms.

Of its JSON Schema only the keywords of `normal.form.CORE` are used, where it was found exact: on
the official test suite and 617 schemas of public repositories it takes no invalid instance (1.9.1).

Threads: llguidance lets go of the GIL while it compiles and fills. A grammar is a matcher that is
never moved, copied for each match; a matcher is one thread's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import llguidance
import numpy as np
from numpy.typing import NDArray

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
from .llguidance_numbers import with_cut_bounds
from .lowered import Lowered
from .masked import MaskedGrammar
from .normal.form import Core
from .numbers import WIDE
from .pattern import lower_pattern
from .plan import Plan, compile_json
from .regexes import rust_syntax
from .spec import GrammarSpec, Kind, parse_json
from .special import decoded, is_code
from .spelt import Spelt
from .tags import read_tags
from .tags_lark import lark_of
from .unordered import blank_pattern, unordered_lark
from .vocab import Vocabulary
from .whereabouts import Follower

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Compiler"]

Row = NDArray[np.int32]  # of a mask; as numpy, whose small operations cost a tenth of torch's

# Alternatives that are open at one place: each choice of a list takes 1, each optional property 4,
# and filling a mask some 10 us for each of those. llguidance's own bound, 2,000, cuts off texts.
MAX_ROW_ITEMS = 20_000
# Bytes that the matches of a grammar may take without a mask; of a pattern that counts words, 15
# burn all the fuel.
MAX_UNMASKED_BYTES = 8
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

_SPECIAL = re.compile(rb"\xff\[(\d+)\]")  # a special token among forced bytes
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
            own = Matcher(matcher.deep_copy(), self, spec.kind, fuel)
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

    @property
    def vocabulary(self) -> Vocabulary:
        """What the masks are over."""
        return self._vocabulary

    @property
    def stop_row(self) -> Row:
        """A row that allows stop tokens alone: [ceil(vocab / 32)] i32 on the CPU.

        llguidance itself allows them, all of them, wherever the text is whole.
        """
        return self._stop_row


class Fuel:
    """What the matches of a grammar have burnt together since the last mask of one of them.

    Attributes:
        burnt: bytes of the tokens taken.
    """

    def __init__(self) -> None:
        self.burnt = 0


class Matcher:
    """A position in a grammar; see the protocol.

    Stop tokens are kept from llguidance: it could not undo one.
    """

    def __init__(self, matcher: Any, compiler: Compiler, kind: str, fuel: Fuel) -> None:
        self._matcher = matcher
        self._fuel = fuel
        self._compiler = compiler
        self._kind = kind
        self._accepted = 0  # tokens that rollback can undo, a stop token included
        self._is_stopped = False  # by a stop token
        self._row: Row | None = None  # [ceil(vocab / 32)]: the mask here, once it is known

    def fill(self, mask: Tensor, row: int) -> None:
        """Write which tokens may come next.

        Raises:
            LimitError: this position costs more than llguidance's limits; the match cannot go on.
            ValueError: the mask is of another vocabulary.
        """
        if self._row is not None or self._is_over:
            mask.numpy()[row] = self.row()
            return
        # By address: torch's way to a row of a mask takes longer than most masks.
        size = self._compiler.stop_row.nbytes
        if mask.stride(0) * 4 != size:
            raise ValueError(f"a row of the mask must have {size // 4} words, not {mask.stride(0)}")
        self._fuel.burnt = 0
        self._matcher.unsafe_compute_mask_ptr(mask.data_ptr() + row * size, size)
        self._raise_if_broken()

    def accept(self, token: int) -> bool:
        """Advance by a token."""
        vocabulary = self._compiler.vocabulary
        if self._is_stopped or not vocabulary.is_spelled(token):
            return False
        if token in vocabulary.stop_ids:
            if not self._matcher.is_accepting():
                return False
            self._is_stopped = True
        elif not self._advance(token, len(vocabulary.tokens[token])):
            return False
        self._accepted += 1
        self._row = None
        return True

    def _advance(self, token: int, length: int) -> bool:
        """Take a token of `length` bytes, with a mask before it where one is due.

        A refusal is believed by the mask alone: only a mask refills the fuel that all matches of a
        grammar burn together. Without fuel every token is refused, for all of them and for ever.
        """
        self._fuel.burnt += length
        if (
            self._row is None
            and self._fuel.burnt <= MAX_UNMASKED_BYTES
            and self._matcher.try_consume_tokens([token]) == 1
        ):
            return True
        allowed = int(self.row()[token // 32]) >> token % 32 & 1
        return bool(allowed) and bool(self._matcher.consume_token(token))

    def rollback(self, count: int) -> None:
        """Undo the last tokens."""
        if not 0 <= count <= self._accepted:
            raise ValueError(f"cannot undo {count} tokens: {self._accepted} have been accepted")
        if not count:
            return
        self._accepted -= count
        if self._is_stopped:
            self._is_stopped = False
            count -= 1
        if count:
            self._matcher.rollback(count)
        self._row = None

    def fork(self) -> Matcher:
        """Return an independent matcher at the same position."""
        other = Matcher(self._matcher.deep_copy(), self._compiler, self._kind, self._fuel)
        other._accepted = self._accepted
        other._is_stopped = self._is_stopped
        other._row = self._row
        return other

    def completes(self, tokens: Sequence[int]) -> bool:
        """Whether these tokens may follow and complete the text."""
        if self._is_stopped or not tokens:
            return not tokens and self.is_accepting
        self.row()  # refills the fuel; whoever goes on from here needs it anyway
        stop_id = min(self._compiler.vocabulary.stop_ids)
        taken: int = self._matcher.validate_tokens([*tokens, stop_id])
        return taken == len(tokens) + 1

    @property
    def is_accepting(self) -> bool:
        """Whether the text so far is complete."""
        return self._is_stopped or bool(self._matcher.is_accepting())

    @property
    def is_finished(self) -> bool:
        """Whether nothing but a stop token is legal any more, or one was accepted."""
        if self._is_stopped:
            return True
        if not self._matcher.is_accepting():
            return False
        return np.array_equal(self.row(), self._compiler.stop_row)

    def forced(self) -> str:
        """Return the text that must come next."""
        if self._is_stopped:
            return ""
        forced: bytes = self._matcher.compute_ff_bytes()
        if not _is_boundary(forced):
            return ""
        tokens = self._compiler.vocabulary.tokens
        return decoded(_SPECIAL.sub(lambda found: tokens[int(found[1])], forced))

    def row(self) -> Row:
        """Return which tokens may come next.

        Raises:
            LimitError: as `fill`.
        """
        if self._row is not None:
            return self._row
        stop_row = self._compiler.stop_row
        if self._is_over:
            if not self._is_stopped:
                self._raise_if_broken()
            self._row = stop_row
            return stop_row
        words = np.empty_like(stop_row)
        self._fuel.burnt = 0
        self._matcher.unsafe_compute_mask_ptr(words.ctypes.data, words.nbytes)
        self._raise_if_broken()
        self._row = words
        return words

    @property
    def _is_over(self) -> bool:
        """Whether llguidance has no mask to give: after a stop token, or a text's very end."""
        return self._is_stopped or bool(self._matcher.is_stopped())

    def _raise_if_broken(self) -> None:
        if self._matcher.is_error():
            raise LimitError(self._matcher.get_error()[:500], kind=self._kind)


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


def _is_boundary(forced: bytes) -> bool:
    """Whether forced bytes begin with a whole character: not in the middle of one."""
    return not forced or forced[0] & 0xC0 != 0x80


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
