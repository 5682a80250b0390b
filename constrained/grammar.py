"""The two protocols that the scheduler sees, whatever back end stands behind them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from .contract import Contract, Failure
from .spec import GrammarSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from .completion import Completion

__all__ = ["Grammar", "Matcher"]


class Grammar(Protocol):
    """A compiled spec for one vocabulary: immutable, shared by requests and threads."""

    @property
    def spec(self) -> GrammarSpec:
        """What was compiled."""
        ...

    @property
    def contract(self) -> Contract:
        """What is promised of each keyword of a schema; empty for the other kinds."""
        ...

    def check(self, text: str) -> list[Failure]:
        """Return what is wrong with a closed document, as far as the mask has left it open.

        Always empty where `contract.is_enforced`, in mode "strict" therefore. Cost: a validation of
        the document, in Python.
        """
        ...

    def matcher(self) -> Matcher:
        """Start a new match at the beginning of the text. Cheap: no copy of the grammar."""
        ...

    @property
    def completion(self) -> Completion:
        """How texts are completed within a budget; made when it is first asked for.

        Cost then: a millisecond at most, for the grammar is analysed only where that is needed.
        """
        ...


class Matcher(Protocol):
    """One request's position in a grammar. Not thread-safe: one thread at a time."""

    def fill(self, mask: Tensor, row: int) -> None:
        """Write which tokens may come next, or raise `LimitError` where that costs too much.

        Args:
            mask: [batch, ceil(vocab / 32)] i32 on the CPU; bit `t % 32` of word `t // 32` becomes
                1 where token `t` is allowed, and 0 elsewhere. Once the match is over (a stop
                token was accepted) only stop tokens are.
            row: the row to write; the others stay as they are. It stays all 0 if the vocabulary
                cannot spell what must come: never with a vocabulary that has every byte.
        """
        ...

    def row(self) -> NDArray[np.int32]:
        """Return the row that `fill` writes, [ceil(vocab / 32)], to be read alone."""
        ...

    def accept(self, token: int) -> bool:
        """Advance by a token. False: it is not allowed here, and nothing has changed."""
        ...

    def rollback(self, count: int) -> None:
        """Undo the last `count` accepted tokens, a stop token included.

        Raises:
            ValueError: fewer than `count` tokens have been accepted.
        """
        ...

    def fork(self) -> Matcher:
        """Return an independent matcher at the same position."""
        ...

    def completes(self, tokens: Sequence[int]) -> bool:
        """Whether these tokens, none of them a stop token, may follow and complete the text.

        The position stays. Cost: microseconds a token, and perhaps a mask.
        """
        ...

    @property
    def is_accepting(self) -> bool:
        """Whether the text so far is complete, so that a stop token is legal now."""
        ...

    @property
    def is_finished(self) -> bool:
        """Whether only a stop token is legal any more, or one was accepted: the request can end."""
        ...

    def forced(self) -> str:
        """Return the text that must come next; "" where there is a choice, or none is known.

        It may end inside a token that continues it: whoever appends it tokenises it in context.
        """
        ...
