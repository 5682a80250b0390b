"""A match some of whose strings are set apart: the back end's, and where its text stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .grammar import Matcher
from .vocab import Vocabulary
from .whereabouts import Follower, Mode, Where

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Followed"]


class Followed:
    """A position in a grammar; see the protocol `Matcher`.

    A token is allowed if the back end, for which the strings set apart are free, allows it and so
    do those strings as far as it writes in them: within the one where the text stands, by the row
    of that string's language; in one that the token itself begins, by following the token.
    """

    def __init__(self, matcher: Matcher, follower: Follower, vocabulary: Vocabulary) -> None:
        """Stand at the beginning."""
        self._matcher = matcher
        self._follower = follower
        self._vocabulary = vocabulary
        self._path = [follower.start]  # the place behind each token, the beginning first
        self._row: NDArray[np.int32] | None = None  # [ceil(vocab / 32)]: the mask here, once known

    def fill(self, mask: Tensor, row: int) -> None:
        """Write which tokens may come next; errors: the back end's."""
        mask.numpy()[row] = self.row()

    def row(self) -> NDArray[np.int32]:
        """Return which tokens may come next; errors: the back end's."""
        if self._row is None:
            self._row = self._made_row()
        return self._row

    def accept(self, token: int) -> bool:
        """Advance by a token."""
        where = self._after(self._path[-1], token)
        if where is None or not self._matcher.accept(token):
            return False
        self._path.append(where)
        self._row = None
        return True

    def rollback(self, count: int) -> None:
        """Undo the last tokens."""
        self._matcher.rollback(count)
        if count:
            del self._path[-count:]
            self._row = None

    def fork(self) -> Followed:
        """Return an independent matcher at the same position."""
        other = Followed(self._matcher.fork(), self._follower, self._vocabulary)
        other._path = list(self._path)
        other._row = self._row
        return other

    def completes(self, tokens: Sequence[int]) -> bool:
        """Whether these tokens may follow and complete the text."""
        where: Where | None = self._path[-1]
        for token in tokens:
            if where is None:
                return False
            where = self._after(where, token)
        return where is not None and self._matcher.completes(tokens)

    @property
    def is_accepting(self) -> bool:
        """Whether the text so far is complete: never within a string."""
        return self._matcher.is_accepting

    @property
    def is_finished(self) -> bool:
        """Whether nothing but a stop token is legal any more, or one was accepted."""
        return self._matcher.is_finished

    def forced(self) -> str:
        """Return the text that must come next."""
        where = self._path[-1]
        if where.mode is not Mode.IN_TEXT:
            return self._matcher.forced()
        return "" if where.partial else self._follower.languages[where.text].forced(where.place)

    def _after(self, where: Where, token: int) -> Where | None:
        if not self._vocabulary.is_spelled(token):
            return None
        return self._follower.after(where, self._vocabulary.tokens[token])

    def _made_row(self) -> NDArray[np.int32]:
        where, follower = self._path[-1], self._follower
        allowed = self._matcher.row()
        if where.mode is Mode.IN_TEXT and not where.partial:
            allowed = allowed & follower.languages[where.text].row(where.place)
        suspects = follower.suspects(where)
        suspects = suspects[(allowed[suspects >> 5] >> (suspects & 31)) & 1 == 1]
        wrong = follower.wrong(where, suspects) if len(suspects) else suspects
        if not len(wrong):
            return allowed
        words = allowed.copy().view(np.uint32)
        np.bitwise_and.at(words, wrong >> 5, ~(np.uint32(1) << (wrong & 31).astype(np.uint32)))
        return words.view(np.int32)
