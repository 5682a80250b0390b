"""Grammars on outlines-core: a finite automaton over the tokens, built whole before the first mask.

It holds what is regular: patterns, choices, and schemas without recursion, which are lowered as for
xgrammar and written out as one pattern. outlines-core's own way from schemas to patterns is not
used, for the reasons that `schema.py` has. What it gets wrong is written around (`_framed`). A
matcher keeps the states behind it and so can go back as far as it has come; `outlines_core.Guide`
goes back 32.

Threads: outlines-core lets go of the GIL while it builds. What is built is immutable and shared.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import outlines_core
from numpy.typing import NDArray

from .contract import Contract
from .ebnf import alternation, literal
from .errors import GrammarError, LimitError, UnsatisfiableError, UnsupportedError
from .expressions import UnreadableError, read_grammar
from .lowered import Lowered
from .masked import MaskedGrammar
from .normal.form import Core
from .numbers import FINITE
from .pattern import lower_pattern
from .plan import Plan, compile_json
from .regular import regular_pattern
from .schema import lower_schema
from .spec import GrammarSpec, Kind, parse_json
from .special import is_code
from .vocab import Vocabulary

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Compiler"]

MAX_INDEX_BYTES = 64 << 20  # 8 a token and state; it is kept whole
MAX_ROWS = 256  # masks kept of one grammar
MAX_FORCED = 1_000  # bytes of one forced text
MAX_FORCING = 200  # tokens that may come where one text is forced: those that begin with it

OPENING = b"\0"  # what every text begins with for outlines-core alone

Row = NDArray[np.int32]


class Compiler:
    """Compiles specs for one vocabulary. Any number of threads may."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        ids: dict[bytes, list[int]] = {}
        for token, text in enumerate(vocabulary.tokens):
            if text and not is_code(text) and token not in vocabulary.stop_ids:
                ids.setdefault(text, []).append(token)
        self._opening = vocabulary.size  # an id that no other text has
        ids.setdefault(OPENING, []).append(self._opening)
        self._tokens: Any = outlines_core.Vocabulary(min(vocabulary.stop_ids), ids)

    def compile(self, spec: GrammarSpec) -> MaskedGrammar:
        """Compile, on the calling thread; nothing bounds the time and the memory that it takes.

        Raises:
            GrammarError: see its tree.
        """
        try:
            if spec.kind == "json_schema":
                return compile_json(spec, lambda plan: self._of_plan(spec, plan))
            return self._grammar(spec, self._built(spec, _pattern(spec)), Contract(), True)
        except RecursionError as error:
            raise LimitError("the source nests or refers too deep", kind=spec.kind) from error

    def prepare(self, kind: Kind) -> bool:
        """Do nothing: all is made already."""
        return False

    def load(self, spec: GrammarSpec, lowered: Lowered) -> MaskedGrammar:
        """Make a grammar again of what `lowered` returned."""
        binary = base64.b64decode(lowered.source)
        return self._grammar(spec, binary, lowered.contract, lowered.core_schema())

    def _of_plan(self, spec: GrammarSpec, plan: Plan) -> MaskedGrammar:
        try:
            rules = read_grammar(lower_schema(plan.core, layout=plan.layout))
        except UnreadableError as error:
            raise LimitError(f"the schema nests too deep: {error}", kind=spec.kind) from error
        try:
            pattern = regular_pattern(rules, kind=spec.kind)
        except GrammarError as error:
            error.pointer = ""
            raise
        return self._grammar(spec, self._built(spec, pattern), plan.contract, plan.core)

    def _built(self, spec: GrammarSpec, pattern: str) -> bytes:
        """Return outlines-core's serialised automaton."""
        try:
            index: Any = outlines_core.Index(_framed(pattern), self._tokens)
        except ValueError as error:
            raise UnsupportedError(f"outlines-core: {error}", kind=spec.kind) from error
        binary: bytes = index.__reduce__()[1][0]
        if len(binary) > MAX_INDEX_BYTES:
            raise LimitError(
                f"its automaton over the tokens takes {len(binary) >> 20} MiB; "
                f"{MAX_INDEX_BYTES >> 20} are allowed",
                kind=spec.kind,
                hint="Leave the back end to auto, or lower its bounds.",
            )
        return binary

    def _grammar(
        self, spec: GrammarSpec, binary: bytes, contract: Contract, core: Core
    ) -> MaskedGrammar:
        index: Any = outlines_core.Index.from_binary(binary)
        start = index.get_next_state(index.get_initial_state(), self._opening)
        if start is None or not (states := _States(index, self._vocabulary)).row(start).any():
            raise UnsatisfiableError("no token of the vocabulary can begin it", kind=spec.kind)
        return MaskedGrammar(
            spec,
            contract,
            core,
            FINITE,
            self._vocabulary,
            lambda: Matcher(states, [start]),
            lambda: Lowered(
                "outlines", base64.b64encode(binary).decode(), json.dumps(core), contract
            ),
        )


class _States:
    """A built automaton, and the masks of the states that were met last."""

    def __init__(self, index: Any, vocabulary: Vocabulary) -> None:
        self._index = index
        self.vocabulary = vocabulary
        self.row = lru_cache(maxsize=MAX_ROWS)(self._row)
        self.stop_row = self._packed(sorted(vocabulary.stop_ids))
        self._ids = {text: token for token, text in enumerate(vocabulary.tokens) if len(text) == 1}

    def after(self, state: int, token: int) -> int | None:
        """Return the state behind a token that is text; None where it is not allowed."""
        found: int | None = self._index.get_next_state(state, token)
        return found

    def is_final(self, state: int) -> bool:
        """Whether the text may end here."""
        return bool(self._index.is_final_state(state))

    def _row(self, state: int) -> Row:
        """Return which tokens may come: [ceil(vocab / 32)] i32."""
        allowed = self._allowed(state)
        stops = self.vocabulary.stop_ids if self.is_final(state) else ()
        return self._packed([*allowed, *stops])

    def forced(self, state: int) -> bytes:
        """Return the bytes that must come next."""
        found = bytearray()
        while len(found) < MAX_FORCED and not self.is_final(state):
            allowed = self._allowed(state)
            firsts = {self.vocabulary.tokens[token][:1] for token in allowed[:MAX_FORCING]}
            token = self._ids.get(next(iter(firsts), b"")) if len(firsts) == 1 else None
            after = None if token is None else self.after(state, token)
            if after is None or len(allowed) > MAX_FORCING:
                break
            found += firsts.pop()
            state = after
        return bytes(found)

    def _allowed(self, state: int) -> list[int]:
        found: list[int] = self._index.get_allowed_tokens(state) or []
        others = {self.vocabulary.size, *self.vocabulary.stop_ids}
        return [token for token in found if token not in others]

    def _packed(self, tokens: Sequence[int]) -> Row:
        bits = np.zeros(-(-self.vocabulary.size // 32) * 32, dtype=np.uint8)
        bits[list(tokens)] = 1
        return np.packbits(bits, bitorder="little").view(np.int32)


class Matcher:
    """A position in a grammar; see the protocol."""

    def __init__(self, states: _States, past: Sequence[int], *, is_stopped: bool = False) -> None:
        self._states = states
        self._past = list(past)  # states: the first is the beginning, the last the present
        self._is_stopped = is_stopped  # by a stop token

    def fill(self, mask: Tensor, row: int) -> None:
        """Write which tokens may come next."""
        mask.numpy()[row] = self.row()

    def row(self) -> Row:
        """Return which tokens may come next."""
        return self._states.stop_row if self._is_stopped else self._states.row(self._past[-1])

    def accept(self, token: int) -> bool:
        """Advance by a token."""
        if self._is_stopped:
            return False
        if token in self._states.vocabulary.stop_ids:
            self._is_stopped = self._states.is_final(self._past[-1])
            return self._is_stopped
        if not self._states.vocabulary.is_spelled(token):
            return False
        after = self._states.after(self._past[-1], token)
        if after is not None:
            self._past.append(after)
        return after is not None

    def rollback(self, count: int) -> None:
        """Undo the last tokens."""
        accepted = len(self._past) - 1 + self._is_stopped
        if not 0 <= count <= accepted:
            raise ValueError(f"cannot undo {count} tokens: {accepted} have been accepted")
        if count and self._is_stopped:
            self._is_stopped = False
            count -= 1
        if count:
            del self._past[-count:]

    def fork(self) -> Matcher:
        """Return an independent matcher at the same position."""
        return Matcher(self._states, self._past, is_stopped=self._is_stopped)

    def completes(self, tokens: Sequence[int]) -> bool:
        """Whether these tokens may follow and complete the text."""
        if self._is_stopped:
            return not tokens
        state: int | None = self._past[-1]
        for token in tokens:
            if state is None or token in self._states.vocabulary.stop_ids:
                return False
            state = self._states.after(state, token)
        return state is not None and self._states.is_final(state)

    @property
    def is_accepting(self) -> bool:
        """Whether the text so far is complete."""
        return self._is_stopped or self._states.is_final(self._past[-1])

    @property
    def is_finished(self) -> bool:
        """Whether nothing but a stop token is legal any more, or one was accepted."""
        if self._is_stopped:
            return True
        if not self._states.is_final(self._past[-1]):
            return False
        return np.array_equal(self.row(), self._states.stop_row)

    def forced(self) -> str:
        """Return the text that must come next."""
        forced = b"" if self._is_stopped else self._states.forced(self._past[-1])
        is_boundary = not forced or forced[0] & 0xC0 != 0x80  # else in the middle of a character
        return forced.decode(errors="ignore") if is_boundary else ""


def _pattern(spec: GrammarSpec) -> str:
    match spec.kind:
        case "regex":
            ebnf = lower_pattern(spec.source)
        case "choices":
            options = parse_json(spec.source, kind=spec.kind)
            ebnf = alternation([literal(option) for option in options])
        case _:
            raise UnsupportedError(
                f"outlines-core does not hold {spec.kind}, which is not regular",
                kind=spec.kind,
                hint="Leave the back end to auto, or write a regex.",
            )
    return regular_pattern(read_grammar(f"root ::= {ebnf}"), kind=spec.kind)


def _framed(pattern: str) -> str:
    r"""Return a pattern that outlines-core 0.2.14 reads as it is meant.

    Behind a text that matches it refuses each token that does not match whole again: `1`, `.`, `5`
    under `[0-9]+(\.[0-9]+)?`. With `$` at the end nothing matches before the end, and all is well.
    But then it refuses patterns that match the empty text; so something stands before each text.
    """
    return f"\\x00(?:{pattern})$"
