"""A position in a grammar of llguidance, and the fuel that all positions of one burn."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .errors import LimitError
from .special import decoded
from .vocab import Vocabulary

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Fuel", "Matcher", "Row"]

Row = NDArray[np.int32]  # of a mask; as numpy, whose small operations cost a tenth of torch's

# Bytes that the matches of a grammar may take without a mask; of a pattern that counts words, 15
# burn all the fuel.
MAX_UNMASKED_BYTES = 8

_SPECIAL = re.compile(rb"\xff\[(\d+)\]")  # a special token among forced bytes


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

    def __init__(
        self, matcher: Any, vocabulary: Vocabulary, stop_row: Row, kind: str, fuel: Fuel
    ) -> None:
        self._matcher = matcher
        self._fuel = fuel
        self._vocabulary = vocabulary
        self._stop_row = stop_row  # allows stop tokens alone, as llguidance does after a whole text
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
        size = self._stop_row.nbytes
        if mask.stride(0) * 4 != size:
            raise ValueError(f"a row of the mask must have {size // 4} words, not {mask.stride(0)}")
        self._fuel.burnt = 0
        self._matcher.unsafe_compute_mask_ptr(mask.data_ptr() + row * size, size)
        self._raise_if_broken()

    def accept(self, token: int) -> bool:
        """Advance by a token."""
        vocabulary = self._vocabulary
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
        other = Matcher(
            self._matcher.deep_copy(), self._vocabulary, self._stop_row, self._kind, self._fuel
        )
        other._accepted = self._accepted
        other._is_stopped = self._is_stopped
        other._row = self._row
        return other

    def completes(self, tokens: Sequence[int]) -> bool:
        """Whether these tokens may follow and complete the text."""
        if self._is_stopped or not tokens:
            return not tokens and self.is_accepting
        self.row()  # refills the fuel; whoever goes on from here needs it anyway
        stop_id = min(self._vocabulary.stop_ids)
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
        return np.array_equal(self.row(), self._stop_row)

    def forced(self) -> str:
        """Return the text that must come next."""
        if self._is_stopped:
            return ""
        forced: bytes = self._matcher.compute_ff_bytes()
        if not _is_boundary(forced):
            return ""
        tokens = self._vocabulary.tokens
        return decoded(_SPECIAL.sub(lambda found: tokens[int(found[1])], forced))

    def row(self) -> Row:
        """Return which tokens may come next.

        Raises:
            LimitError: as `fill`.
        """
        if self._row is not None:
            return self._row
        stop_row = self._stop_row
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


def _is_boundary(forced: bytes) -> bool:
    """Whether forced bytes begin with a whole character: not in the middle of one."""
    return not forced or forced[0] & 0xC0 != 0x80
