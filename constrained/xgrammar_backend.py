"""Grammars on xgrammar: its pushdown automata and token masks, over EBNF that is written here.

Only its EBNF reader is used, never its converters for regexes and schemas (`pattern.py` and
`schema.py` say why). What could crash or hang it was looked for in a subprocess (0.2.8): it
counts its own nesting, and takes huge repetition lazily; but a grammar without finite text makes
`find_jump_forward_string` loop for ever, so such grammars are refused (`_check_productive`).

Threads: xgrammar lets go of the GIL while it compiles. A compiled grammar is immutable and
shared; a matcher is one thread's.
"""

from __future__ import annotations

import enum
import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xgrammar
from numpy.typing import NDArray
from torch import Tensor

from .bitmask import allocate_bitmask
from .contract import Contract
from .ebnf import alternation, literal
from .errors import LimitError, MalformedError, UnsatisfiableError, UnsupportedError
from .gbnf import one_line_rules
from .lowered import Lowered
from .masked import MaskedGrammar
from .normal.form import Core
from .numbers import FINITE
from .pattern import lower_pattern
from .plan import compile_json
from .schema import lower_schema
from .spec import GrammarSpec, Kind, parse_json
from .special import is_code
from .tags import read_tags
from .tags_ebnf import ebnf_of
from .vocab import Vocabulary

__all__ = ["Compiler"]


class Compiler:
    """Compiles specs for one vocabulary. Any number of threads may."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        # An empty token is special to xgrammar: never in text. So are ids past the end.
        info = xgrammar.TokenizerInfo(
            [b"" if is_code(text) else text for text in vocabulary.tokens],
            vocab_type=xgrammar.VocabType.RAW,
            vocab_size=vocabulary.size,
            stop_token_ids=sorted(vocabulary.stop_ids),
        )
        # One thread a compile: the worker's own. Its cache is off, for ours is bounded and shared.
        self._compiler = xgrammar.GrammarCompiler(info, max_threads=1, cache_enabled=False)
        self._info = info
        self._ids = _Ids.of(vocabulary)

    def compile(self, spec: GrammarSpec) -> MaskedGrammar:
        """Compile, on the calling thread; nothing bounds the time and the memory that it takes.

        A few kilobytes can take minutes and gigabytes over a real vocabulary. A server compiles in
        a process that can be ended (`compiler.GrammarCompiler`).

        Raises:
            GrammarError: see its tree.
        """
        try:
            if spec.kind in ("json_schema", "json_object"):
                return compile_json(
                    spec,
                    lambda plan: self._grammar(
                        spec,
                        self._compiled(spec, lower_schema(plan.core, layout=plan.layout)),
                        plan.contract,
                        plan.core,
                    ),
                )
            if spec.kind == "structural_tag":
                tags = read_tags(spec, self._ids.vocabulary)
                if tags.special is not None:
                    raise UnsupportedError(
                        "a mark is a special token of this tokenizer, which xgrammar cannot write",
                        kind=spec.kind,
                        pointer=tags.special,
                        hint="Leave the back end to auto.",
                    )
                compiled = self._compiled(spec, ebnf_of(tags.part))
                return self._grammar(spec, compiled, tags.contract, True)
            compiled = self._compiled(spec, _ebnf(spec))
            return self._grammar(spec, compiled, Contract(), True)
        except RecursionError as error:
            raise LimitError("the source nests or refers too deep", kind=spec.kind) from error

    def prepare(self, kind: Kind) -> bool:
        """Do nothing: all is made already."""
        return False

    def load(self, spec: GrammarSpec, lowered: Lowered) -> MaskedGrammar:
        """Make a grammar again of what `lowered` returned."""
        compiled = xgrammar.CompiledGrammar.deserialize_json(lowered.source, self._info)
        return self._grammar(spec, compiled, lowered.contract, lowered.core_schema())

    def _compiled(self, spec: GrammarSpec, text: str) -> xgrammar.CompiledGrammar:
        try:
            grammar = xgrammar.Grammar.from_ebnf(text)
        except (RuntimeError, ValueError) as error:
            raise MalformedError(_message(error), kind=spec.kind) from error
        _check_productive(json.loads(grammar.serialize_json()), spec)
        try:
            return self._compiler.compile_grammar(grammar)
        except (RuntimeError, ValueError) as error:
            if "bad_alloc" in str(error):
                raise MemoryError(str(error)) from error
            raise LimitError(
                _message(error),
                kind=spec.kind,
                hint="Make it smaller: fewer rules and alternatives, less repetition.",
            ) from error

    def _grammar(
        self,
        spec: GrammarSpec,
        compiled: xgrammar.CompiledGrammar,
        contract: Contract,
        core: Core,
    ) -> MaskedGrammar:
        def begin() -> Matcher:
            return Matcher(xgrammar.GrammarMatcher(compiled), self._ids, 0)

        result = MaskedGrammar(
            spec,
            contract,
            core,
            FINITE,
            self._ids.vocabulary,
            begin,
            lambda: Lowered("xgrammar", compiled.serialize_json(), json.dumps(core), contract),
        )
        if not begin().row().any():
            raise UnsatisfiableError("no token of the vocabulary can begin it", kind=spec.kind)
        return result


@dataclass(frozen=True, slots=True)
class _Ids:
    """What matchers share of a vocabulary."""

    vocabulary: Vocabulary
    stop_mask: Tensor  # [ceil(vocab / 32)] i32 on the CPU: a mask row that allows stop tokens alone
    last_word: int  # the bits of a row's last word that are ids

    @classmethod
    def of(cls, vocabulary: Vocabulary) -> _Ids:
        words = np.zeros(-(-vocabulary.size // 32), dtype=np.uint32)
        for token in vocabulary.stop_ids:
            words[token // 32] |= np.uint32(1 << token % 32)
        used = vocabulary.size % 32
        last_word = (1 << used) - 1 if used else -1
        return cls(vocabulary, torch.from_numpy(words.view(np.int32)), last_word)


class Matcher:
    """A position in a grammar; see the protocol."""

    def __init__(self, matcher: xgrammar.GrammarMatcher, ids: _Ids, accepted: int) -> None:
        self._matcher = matcher
        self._ids = ids
        self._accepted = accepted  # tokens that rollback can undo

    def fill(self, mask: Tensor, row: int) -> None:
        """Write which tokens may come next."""
        if self._matcher.is_terminated():  # xgrammar would raise
            mask[row] = self._ids.stop_mask
        else:
            self._matcher.fill_next_token_bitmask(mask, row)
            # xgrammar leaves the bits past the vocabulary set: wider logits would read them.
            mask[row, -1] &= self._ids.last_word

    def row(self) -> NDArray[np.int32]:
        """Return which tokens may come next."""
        mask = allocate_bitmask(1, self._ids.vocabulary.size)
        self.fill(mask, 0)
        row: NDArray[np.int32] = mask[0].numpy()
        return row

    def accept(self, token: int) -> bool:
        """Advance by a token."""
        # What can be told without xgrammar is: it writes a line to stderr for each of these.
        vocabulary = self._ids.vocabulary
        if self._matcher.is_terminated() or not vocabulary.is_spelled(token):
            return False
        if is_code(vocabulary.tokens[token]):
            return False
        if not self._matcher.accept_token(token):
            return False
        self._accepted += 1
        return True

    def rollback(self, count: int) -> None:
        """Undo the last tokens."""
        if not 0 <= count <= self._accepted:
            raise ValueError(f"cannot undo {count} tokens: {self._accepted} have been accepted")
        if count:
            self._matcher.rollback(count)
            self._accepted -= count

    def fork(self) -> Matcher:
        """Return an independent matcher at the same position."""
        return Matcher(self._matcher.fork(), self._ids, self._accepted)

    def completes(self, tokens: Sequence[int]) -> bool:
        """Whether these tokens may follow and complete the text."""
        taken = sum(1 for _ in itertools.takewhile(self.accept, tokens))
        is_complete = taken == len(tokens) and self.is_accepting
        self.rollback(taken)
        return is_complete

    @property
    def is_accepting(self) -> bool:
        """Whether the text so far is complete."""
        return bool(self._matcher.is_completed())

    @property
    def is_finished(self) -> bool:
        """Whether nothing but a stop token is legal any more, or one was accepted."""
        if self._matcher.is_terminated():
            return True
        if not self._matcher.is_completed():
            return False
        return np.array_equal(self.row(), self._ids.stop_mask.numpy())

    def forced(self) -> str:
        """Return the text that must come next."""
        if self._matcher.is_terminated():  # xgrammar would raise
            return ""
        try:
            return self._matcher.find_jump_forward_string()
        except UnicodeDecodeError:  # in the middle of a character
            return ""


def _ebnf(spec: GrammarSpec) -> str:
    """Lower a spec to xgrammar's EBNF."""
    match spec.kind:
        case "regex":
            return f"root ::= {lower_pattern(spec.source)}"
        case "ebnf":
            return spec.source
        case "gbnf":
            return one_line_rules(spec.source)
        case "choices":
            options = parse_json(spec.source, kind=spec.kind)
            return f"root ::= {alternation([literal(option) for option in options])}"
        case _:
            raise UnsupportedError(
                f"xgrammar does not read {spec.kind}",
                kind=spec.kind,
                hint="Leave the back end to auto, or write the grammar as EBNF.",
            )


def _check_productive(grammar: dict[str, Any], spec: GrammarSpec) -> None:
    """Refuse a grammar with a rule that derives no finite text, read from its serialised form.

    Each expression waits for a number of others: a sequence for all of its parts, a choice for one,
    a reference for its rule's body, a terminal for none. What is still waiting in the end can never
    finish. Linear in the grammar and without recursion, for the grammar may be hostile.
    """
    data, starts = grammar["grammar_expr_data"], grammar["grammar_expr_indptr"]
    bodies = [body for _, body, *_ in grammar["rules"]]
    waiting: list[int] = []
    parents: list[list[int]] = [[] for _ in starts]
    for index, start in enumerate(starts):
        kind, length = data[start], data[start + 1]
        arguments = data[start + 2 : start + 2 + length]
        match kind:
            case ExpressionKind.RULE:
                parts, count = [bodies[arguments[0]]], 1
            case ExpressionKind.REPEAT:  # of a rule, at least so often
                parts, count = [bodies[arguments[0]]], min(arguments[1], 1)
            case ExpressionKind.SEQUENCE:
                parts, count = arguments, length
            case ExpressionKind.CHOICES:
                parts, count = arguments, 1
            case _:
                parts, count = [], 0
        waiting.append(count)
        for part in parts:
            parents[part].append(index)
    done = [index for index, count in enumerate(waiting) if count == 0]
    while done:
        for parent in parents[done.pop()]:
            waiting[parent] -= 1
            if waiting[parent] == 0:
                done.append(parent)
    for name, body, *_ in grammar["rules"]:
        if waiting[body] > 0:
            where = f"the rule {name!r} derives" if spec.kind == "ebnf" else "there is"
            raise UnsatisfiableError(
                f"{where} no finite text",
                kind=spec.kind,
                hint="Give every recursion a way to end: an alternative, an optional property.",
            )


class ExpressionKind(enum.IntEnum):
    """xgrammar's numbers for kinds of expressions (its serialisation v16)."""

    RULE = 4
    SEQUENCE = 5
    CHOICES = 6
    REPEAT = 8


def _message(error: Exception) -> str:
    """Return what xgrammar says, without its time stamp and source line."""
    return re.sub(r"^\[[\d:]+\] \S+:\d+: ", "", str(error).strip())
