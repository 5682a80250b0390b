"""Documents that are always complete: how each match is ended within its budget of tokens.

A *plan* is a list of tokens that completes the text, and that the back end's own matcher has said
yes to. A match with a budget holds a plan that fits into what remains; a token is legal only if the
position behind it has one too. The plan of the position, and its rest after its own first token,
are always at hand: so there is a legal token at every step, and the text is complete at the last.

Plans come from an analysis of the grammar (`analysis.py`), which takes milliseconds to seconds. A
match whose budget is over the grammar's ceiling (`ceiling.py`) needs none yet: it is followed, and
nothing more, and `Completion.begin` has the analysis made in the background before it is needed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from .analysis import Analysis, Minimum
from .ceiling import Ceiling
from .errors import BudgetError, GrammarError
from .spec import GrammarSpec
from .spelling import Speller

__all__ = ["Completion"]

_IN_BACKGROUND = threading.Lock()  # one at a time: pure Python, of which more delay all others
# Then the next one goes on beside it: an ordinary analysis takes milliseconds, a hostile one half
# a minute, and it was the ordinary ones that stood behind it.
PATIENCE_S = 0.2


class Completion:
    """How texts of one grammar are completed, found out once it matters.

    For one thread at a time. What needs the analysis makes it, or waits for who does; `is_ready`,
    `begin`, `suffices` and `num_nodes` never do.

    Attributes:
        spec: for messages.
        speller: of the vocabulary.
        ceiling: tokens that suffice wherever a text stands; None where none is known.
    """

    def __init__(
        self,
        spec: GrammarSpec,
        speller: Speller,
        ceiling: Ceiling | None,
        analyse: Callable[[], Analysis],
    ) -> None:
        """Keep how the grammar can be analysed.

        Args:
            spec: what was compiled.
            speller: of the vocabulary.
            ceiling: of the grammar.
            analyse: called once at most, on any thread.
        """
        self.spec = spec
        self.speller = speller
        self.ceiling = ceiling
        self._make = analyse
        self._analysis: Analysis | GrammarError | None = None
        self._turn = threading.Lock()  # of who analyses
        self._has_begun = False

    def is_ready(self, budget: int) -> bool:
        """Whether a match with a budget can begin at once; else what it waits for is begun."""
        if self.suffices(budget) or self._analysis is not None:
            return True
        self.begin()
        return False

    def begin(self) -> None:
        """Analyse in the background, unless that was asked for before."""
        if self._analysis is None and not self._has_begun:
            self._has_begun = True
            # A daemon, as the workers that compile are.
            threading.Thread(target=self._analyse_in_turn, name="completion", daemon=True).start()

    def suffices(self, budget: int) -> bool:
        """Whether a budget surely suffices for a text, by the ceiling alone."""
        return self.ceiling is not None and budget >= self.ceiling.base

    @property
    def num_nodes(self) -> int:
        """How many places the grammar has, as it is recognised: what its memory goes by."""
        analysis = self._analysis
        if not isinstance(analysis, Analysis) or analysis.recogniser is None:
            return 0
        return analysis.recogniser.num_nodes

    @property
    def analysis(self) -> Analysis:
        """What is known of the grammar.

        Raises:
            GrammarError: the analysis failed, by a bug.
        """
        if self._analysis is None:
            self._analyse()
        assert self._analysis is not None
        if isinstance(self._analysis, GrammarError):
            raise self._analysis
        return self._analysis

    def _analyse_in_turn(self) -> None:
        is_alone = _IN_BACKGROUND.acquire(timeout=PATIENCE_S)
        try:
            self._analyse()
        finally:
            if is_alone:
                _IN_BACKGROUND.release()

    def _analyse(self) -> None:
        with self._turn:
            if self._analysis is not None:
                return
            try:
                self._analysis = self._make()
            except Exception as error:  # it fails this grammar alone
                broken = GrammarError(
                    f"how its texts can be completed was not found: {error!r}", kind=self.spec.kind
                )
                broken.__cause__ = error
                self._analysis = broken

    def refuse(self, budget: int) -> None:
        """Raise if no document that is known fits into a budget.

        Raises:
            BudgetError: with the minimum.
        """
        if self.suffices(budget):
            return
        minimum = self.minimum
        if minimum is not None and budget < minimum.tokens:
            raise BudgetError(budget, minimum.tokens, kind=self.spec.kind)

    @property
    def minimum(self) -> Minimum | None:
        """The fewest tokens; None where no document was found: then nothing is promised."""
        return self.analysis.minimum
