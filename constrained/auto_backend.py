"""The choice of a back end for each grammar: by what it can enforce and what compiling costs.

Measured with 128,256 tokens on two cores: llguidance compiles a schema in 1.5 ms (p50), xgrammar in
450; llguidance takes no invalid instance of 1,306. So llguidance is first wherever it reads the
kind, and xgrammar serves EBNF and GBNF, and what llguidance cannot write.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from . import llguidance_backend
from .errors import UnsupportedError
from .lowered import Lowered
from .masked import MaskedGrammar
from .spec import GrammarSpec, Kind
from .vocab import Vocabulary

if TYPE_CHECKING:
    from . import xgrammar_backend

__all__ = ["Compiler"]

XGRAMMAR_KINDS = ("ebnf", "gbnf")


class Compiler:
    """Compiles each spec with the back end that suits it. Any number of threads may."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._llguidance = llguidance_backend.Compiler(vocabulary)

    @cached_property
    def _xgrammar(self) -> xgrammar_backend.Compiler:
        from . import xgrammar_backend  # imports torch

        return xgrammar_backend.Compiler(self._vocabulary)  # some 0.3 s, and seldom needed

    def prepare(self, kind: Kind) -> bool:
        """Make what a kind needs and is not made yet; return whether anything was."""
        if kind not in XGRAMMAR_KINDS or "_xgrammar" in self.__dict__:
            return False
        _ = self._xgrammar
        return True

    def load(self, spec: GrammarSpec, lowered: Lowered) -> MaskedGrammar:
        """Make a grammar again of what `lowered` returned."""
        backend = self._xgrammar if lowered.backend == "xgrammar" else self._llguidance
        return backend.load(spec, lowered)

    def compile(self, spec: GrammarSpec) -> MaskedGrammar:
        """Compile.

        Raises:
            GrammarError: the first back end's, unless the second can do what the first cannot.
        """
        if spec.kind in XGRAMMAR_KINDS:
            return self._xgrammar.compile(spec)
        try:
            return self._llguidance.compile(spec)
        except UnsupportedError as error:
            if spec.kind == "lark":
                raise
            try:
                return self._xgrammar.compile(spec)
            except UnsupportedError:
                if spec.kind == "structural_tag":  # its EBNF is xgrammar's alone
                    raise
                raise error from None
