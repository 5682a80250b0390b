"""A compiled grammar, whichever back end fills its masks."""

from __future__ import annotations

from collections.abc import Callable

from .analysis import Analysis
from .ceiling import ceiling
from .check import Check
from .completion import Completion
from .contract import Contract, Failure
from .grammar import Matcher
from .lowered import Lowered
from .normal.form import Core
from .numbers import Unbounded
from .reasoning import Frame, Reasoned
from .spec import GrammarSpec, parse_json
from .spelling import speller_of
from .vocab import Vocabulary

__all__ = ["MaskedGrammar"]


class MaskedGrammar:
    """What a back end made of a spec; see the protocol `Grammar`."""

    def __init__(
        self,
        spec: GrammarSpec,
        contract: Contract,
        core: Core,
        numbers: Unbounded,
        vocabulary: Vocabulary,
        begin: Callable[[], Matcher],
        lower: Callable[[], Lowered],
    ) -> None:
        """Keep what was compiled.

        Args:
            spec: what was compiled.
            contract: of its schemas.
            core: what a schema became; `True` for the other kinds.
            numbers: how the back end writes those without bounds.
            vocabulary: what the masks are over.
            begin: starts a match, on any thread.
            lower: writes what the back end makes such a grammar of.
        """
        self.spec = spec
        self.contract = contract
        self._core = core
        self._numbers = numbers
        self._vocabulary = vocabulary
        self._begin = begin
        self._lower = lower
        self._check: Check | None = None
        reasoning = spec.reasoning
        self._frame = None if reasoning is None else Frame(reasoning, vocabulary, begin)
        self._completion: Completion | None = None

    def lowered(self) -> Lowered:
        """Return what the back end's `load` makes it of again."""
        return self._lower()

    def matcher(self) -> Matcher:
        """Start a new match at the beginning of the text."""
        return self._begin() if self._frame is None else Reasoned.of(self._frame)

    def check(self, text: str) -> list[Failure]:
        """Return what is wrong with a closed document."""
        if self.contract.is_enforced:
            return []
        if self._check is None:
            self._check = Check(parse_json(self.spec.source, kind=self.spec.kind))
        reasoning = self.spec.reasoning
        return self._check.failures(text if reasoning is None else reasoning.answer(text))

    @property
    def completion(self) -> Completion:
        """How texts are completed within a budget."""
        if self._completion is None:
            spec, core, numbers = self.spec, self._core, self._numbers
            speller = speller_of(self._vocabulary)
            is_read = self._frame is None  # a ceiling counts brackets, also those of reasoning
            self._completion = Completion(
                spec,
                speller,
                ceiling(spec, core, speller) if is_read else None,
                lambda: Analysis(spec, self.matcher(), core, numbers, speller),
            )
        return self._completion
