"""A match that is complete within its budget of tokens: a matcher around the back end's.

While what remains is over the grammar's ceiling, nothing is asked of the recogniser; by far, and a
token costs a comparison. Below it, while more than `FAR` times the price of completing and `MARGIN`
tokens remain, the price is believed, and plans are verified each time that the remainder has
halved. Nearer, each token has its plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .analysis import Plan
from .completion import Completion
from .errors import LimitError
from .grammar import Grammar, Matcher
from .recogniser import Position
from .search import searched

__all__ = ["Closing"]

FAR = 2
MARGIN = 32
BYTES_A_TOKEN = 64  # of a source, which are analysed in the time of one token
FOREVER = 1 << 60
MAX_LENGTHS = 16  # positions behind one token whose plans are made to widen a mask
MAX_RESTS = 8  # of an old plan, that are tried
MAX_TRIALS = 60  # of a search, one for a token
MAX_SINGLY = 64  # tokens that are followed one by one; more are followed all at once


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a match stands.

    Attributes:
        verify_at: when no more tokens remain than this, a plan is verified again.
        plan: verified, and fits; None while the match is far from its budget.
        position: in the recogniser; None where it is lost.
        is_followed: whether the position is known; until then it is not needed.
        opened: brackets in the text so far.
    """

    verify_at: int
    plan: Plan | None = None
    position: Position | None = None
    is_followed: bool = False
    opened: int = 0


class Closing:
    """One request's match, which ends within its budget; see `completion.py` and `Matcher`.

    Whoever samples asks `admits` of each token, and samples again under `narrowed` after a no.

    Attributes:
        remaining: tokens that may still come.
        closed_at: how many tokens stood when the budget first refused one; None: it never did.
    """

    def __init__(self, completion: Completion, matcher: Matcher, budget: int) -> None:
        self._completion = completion
        self._matcher = matcher
        self.remaining = budget
        self.closed_at: int | None = None
        self._tokens: list[int] = []  # accepted, stop tokens too
        self._brackets = completion.speller.brackets
        self._ahead = MARGIN + len(completion.spec.source) // BYTES_A_TOKEN
        self._near, self._each = FOREVER, 0  # when no more tokens remain; and more, for a bracket
        if (ceiling := completion.ceiling) is not None:
            self._near, self._each = 1 + ceiling.base + self._ahead, ceiling.each
        if completion.suffices(budget):
            self._standing = Standing(budget // 2)
        else:
            analysis = completion.analysis
            self._standing = Standing(budget // 2, analysis.shortest, analysis.start, True)
        self._past: list[Standing] = []
        self._trial: tuple[int, Standing] | None = None  # an admitted token: the matcher has it
        self._refused: set[int] = set()  # here
        self._has_searched = False  # from here

    @classmethod
    def of(cls, grammar: Grammar, budget: int) -> Matcher:
        """Start a match of a grammar that ends within a budget.

        Returns:
            A plain matcher where the grammar's minimum is not known: nothing is promised then.

        Raises:
            BudgetError: the budget is below the minimum.
        """
        completion = grammar.completion
        completion.refuse(budget)
        if not completion.suffices(budget) and completion.minimum is None:
            return grammar.matcher()
        return cls(completion, grammar.matcher(), budget)

    def admits(self, token: int) -> bool:
        """Whether a token that the mask allows leaves a way to complete the text in time.

        Cost: a comparison while the budget is far; near it a plan is made and verified.
        """
        if self._is_far(token):
            self._undo_trial()
            return True
        if self._trial is not None and self._trial[0] == token:
            return True
        if self._is_stop(token):
            return True
        self._undo_trial()
        if token in self._refused or not self._matcher.accept(token):
            return False
        following = self._following(token)
        if following is None:
            self._matcher.rollback(1)
            self._refused.add(token)
            if self.closed_at is None:
                self.closed_at = len(self._tokens)
            return False
        self._trial = (token, following)
        return True

    def narrowed(self, row: Tensor) -> Tensor:
        """Return a mask row without the tokens that the budget forbids.

        Args:
            row: [ceil(vocab / 32)] i32 on the CPU, as `fill` wrote it here.

        Returns:
            A row of the same shape, never all 0: the plan's token, or a stop token, is in it.
        """
        self._undo_trial()
        vocabulary = self._completion.speller.vocabulary
        bits = np.unpackbits(row.numpy().view(np.uint8), bitorder="little")
        allowed = np.flatnonzero(bits)
        stops = sorted(vocabulary.stop_ids)
        kept = np.zeros_like(bits)
        kept[stops] = bits[stops]
        kept[self._fitting(allowed)] = 1
        kept[list(self._refused)] = 0
        if (plan := self._secured()) is not None and plan:
            kept[plan[0]] = 1
        return torch.from_numpy(np.packbits(kept, bitorder="little").view(np.int32))

    def way_out(self) -> int:
        """Return the first token of a completion that fits: of a stop token where none is needed.

        Raises:
            LimitError: none is known, which can only follow a failure of the back end's.
        """
        plan = self._secured()
        if plan is None:
            raise LimitError("no completion is known any more", kind=self._completion.spec.kind)
        token = plan[0] if plan else min(self._completion.speller.vocabulary.stop_ids)
        self._refused.discard(token)
        return token

    def fill(self, mask: Tensor, row: int) -> None:
        """Write which tokens the grammar allows, whatever remains of the budget."""
        self._undo_trial()
        self._matcher.fill(mask, row)

    def row(self) -> NDArray[np.int32]:
        """Return which tokens may come next, whether or not they fit."""
        return self._matcher.row()

    def accept(self, token: int) -> bool:
        """Advance by a token; false, with nothing changed, for one that `admits` refuses."""
        if not self.admits(token):
            return False
        if self._trial is None:  # far from the budget, or a stop token
            if not self._matcher.accept(token):
                return False
            following = self._standing
            is_known = token not in self._brackets and not following.is_followed
            if not is_known and not self._is_stop(token):
                following = Standing(following.verify_at, opened=self._opened(token))
        else:
            following = self._trial[1]
        self._past.append(self._standing)
        self._standing, self._trial = following, None
        self._refused.clear()
        self._has_searched = False
        self._tokens.append(token)
        self.remaining -= 1
        return True

    def rollback(self, count: int) -> None:
        """Undo the last tokens."""
        self._undo_trial()
        self._matcher.rollback(count)
        if count:
            self._standing = self._past[-count]
            del self._past[-count:]
            self._refused.clear()
            self._has_searched = False
            del self._tokens[-count:]
            self.remaining += count
            if self.closed_at is not None and self.closed_at > len(self._tokens):
                self.closed_at = None

    def fork(self) -> Closing:
        """Return an independent match at the same position, with the same budget."""
        self._undo_trial()
        other = Closing(self._completion, self._matcher.fork(), self.remaining)
        other.closed_at, other._tokens = self.closed_at, list(self._tokens)
        other._standing, other._past = self._standing, list(self._past)
        return other

    def completes(self, tokens: Sequence[int]) -> bool:
        """Whether these tokens may follow and complete the text."""
        self._undo_trial()
        return self._matcher.completes(tokens)

    @property
    def is_accepting(self) -> bool:
        """Whether the text so far is complete."""
        self._undo_trial()
        return self._matcher.is_accepting

    @property
    def is_finished(self) -> bool:
        """Whether nothing but a stop token is legal any more."""
        self._undo_trial()
        return self._matcher.is_finished

    def forced(self) -> str:
        """Return the text that must come next."""
        self._undo_trial()
        return self._matcher.forced()

    def _is_far(self, token: int) -> bool:
        """Whether what remains surely suffices behind a token, and the analysis can wait too."""
        return self.remaining > self._near + self._each * self._opened(token)

    def _is_stop(self, token: int) -> bool:
        return token in self._completion.speller.vocabulary.stop_ids

    def _undo_trial(self) -> None:
        if self._trial is not None:
            self._trial = None
            self._matcher.rollback(1)

    def _following(self, token: int) -> Standing | None:
        """Return the standing behind a token that the matcher has just taken; None: it is illegal.

        Far from the budget the recogniser's price is believed; near it a plan must be verified.
        """
        standing, completion, left = self._standing, self._completion, self.remaining - 1
        opened = self._opened(token)
        if (ceiling := completion.ceiling) is not None:
            over = left - ceiling.at(opened)
            if over <= self._ahead:
                completion.begin()
            if over > 0:
                return Standing(standing.verify_at, opened=opened)
        analysis = completion.analysis
        position = analysis.after(self._position(), token)
        if analysis.minimum is None or (
            analysis.is_trusted
            and position is not None
            and left > max(FAR * position.price + MARGIN, standing.verify_at)
        ):
            return Standing(standing.verify_at, None, position, True, opened)
        plan = standing.plan
        if plan and plan[0] == token:
            return Standing(standing.verify_at, plan[1:], position, True, opened)
        found = self._planned(position, plan, left)
        return None if found is None else Standing(left // 2, found, position, True, opened)

    def _opened(self, token: int) -> int:
        """Return the brackets of the text so far and a token."""
        return self._standing.opened + self._brackets.get(token, 0)

    def _position(self) -> Position | None:
        """Return where the match stands; follow its text now if that was not needed so far."""
        if not self._standing.is_followed:
            analysis = self._completion.analysis
            position = analysis.start
            for token in self._tokens:
                if not self._is_stop(token):
                    position = analysis.after(position, token)
            self._standing = replace(self._standing, position=position, is_followed=True)
        return self._standing.position

    def _planned(self, position: Position | None, old: Plan | None, left: int) -> Plan | None:
        """Return a verified plan that fits into what is left: the proposed one, else what is left
        of an old one, else one that is found by trying, once for a token.
        """
        analysis = self._completion.analysis
        proposed = analysis.proposed(position)
        found = self._first_fitting((proposed,), left)
        if found is not None or (proposed is not None and len(proposed) > left):
            return found
        if old is not None:
            rests = (old[index:] for index in range(min(len(old) + 1, MAX_RESTS)))
            found = self._first_fitting(rests, left)
        if found is None and left > 0 and not self._has_searched:
            self._has_searched = True
            found = searched(self._matcher, analysis, position, max_trials=MAX_TRIALS)
        return found if found is not None and len(found) <= left else None

    def _first_fitting(self, plans: Iterable[Plan | None], limit: int) -> Plan | None:
        """Return the first of some plans that the match can be completed with within a limit."""
        for plan in plans:
            if plan is not None and len(plan) <= limit and self._matcher.completes(plan):
                return plan
        return None

    def _secured(self) -> Plan | None:
        """Return the plan of this position, made and verified now if it was far from its budget."""
        if self._standing.plan is None:
            self._has_searched = False
            position = self._position()
            found = self._planned(position, None, self.remaining)
            opened = self._standing.opened
            self._standing = Standing(self.remaining // 2, found, position, True, opened)
        return self._standing.plan

    def _fitting(self, allowed: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return those of some tokens behind which what remains suffices, as far as is known."""
        position, left = self._position(), self.remaining - 1
        analysis = self._completion.analysis
        recogniser = analysis.recogniser
        none = allowed[:0]
        if position is None or recogniser is None:
            return none
        if len(allowed) <= MAX_SINGLY:
            behind = [analysis.after(position, int(token)) for token in allowed]
            fits = [p is not None and analysis.length(p, left) <= left for p in behind]
            return allowed[np.array(fits, dtype=np.bool_)]
        reach = recogniser.reach(position)
        prices = [one.price for one in reach.positions]
        fitting = np.array([*(price <= left for price in prices), False])  # the last is for -1
        dearer = [index for index, price in enumerate(prices) if price > left]
        for index in sorted(dearer, key=prices.__getitem__)[:MAX_LENGTHS]:
            fitting[index] = analysis.length(reach.positions[index], left) <= left
        fits_token: NDArray[np.bool_] = fitting[reach.of_token[allowed]]
        return allowed[fits_token]
