"""One sequence in the scheduler: what is computed, what is sampled, and what it holds."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ...constrained.contract import Contract
from ...constrained.grammar import Grammar, Matcher
from ...radix_cache import Lease
from ..messages import Finish, Submit, TopLogprobs


@dataclass(eq=False, slots=True)
class Job:
    """A submitted sequence and its progress.

    Invariant: `computed <= count`, and while decoding `computed == count - 1`: the last token's KV
    is written by the pass that samples the next one.
    """

    submit: Submit
    tokens: NDArray[np.int32]  # [capacity]; the first `count` are the sequence
    count: int
    max_new: int  # after clipping to the context and the pool
    lease: Lease | None = None
    computed: int = 0  # tokens whose KV is in the pool
    cached: int = 0  # prompt tokens that the cache had at first admission
    retractions: int = 0
    grammar: Future[Grammar] | None = None
    matcher: Matcher | None = None
    contract: Contract | None = None  # what the desk is to be told of the grammar's
    finish: Finish | None = None
    reported: int = 0  # generated tokens that the desk has been told of
    input_logprobs: list[float | None] | None = None
    input_top: list[TopLogprobs | None] | None = None
    input_ids: list[TopLogprobs | None] | None = None
    logprobs: list[float] = field(default_factory=list[float])
    top_logprobs: list[TopLogprobs] = field(default_factory=list[TopLogprobs])
    id_logprobs: list[TopLogprobs] = field(default_factory=list[TopLogprobs])

    @classmethod
    def of(cls, submit: Submit, *, max_new: int) -> Job:
        """A job that has computed nothing yet."""
        count = len(submit.tokens)
        tokens = np.array(submit.tokens, dtype=np.int32)
        return cls(submit, tokens, count, max_new)

    @property
    def prompt(self) -> int:
        """Length of the prompt in tokens."""
        return len(self.submit.tokens)

    @property
    def generated(self) -> int:
        """Tokens sampled so far."""
        return self.count - self.prompt

    @property
    def sequence(self) -> NDArray[np.int32]:
        """Prompt and generated tokens, [count]; a view."""
        return self.tokens[: self.count]

    @property
    def to_compute(self) -> int:
        """Tokens that must go through the model before the next one can be sampled."""
        return self.count - self.computed

    @property
    def wants_prompt_logprobs(self) -> bool:
        """Whether prompt positions are scored as well."""
        request = self.submit.logprobs
        return request is not None and 0 <= request.start < self.prompt and self.generated == 0

    def forget_prompt_logprobs(self) -> None:
        """Drop the scores of a prompt that must be computed again, unless all are there."""
        if self.wants_prompt_logprobs:
            self.input_logprobs = self.input_top = self.input_ids = None

    def append(self, token: int) -> None:
        """Add a sampled token."""
        self._make_room(1)
        self.tokens[self.count] = token
        self.count += 1

    def extend(self, tokens: NDArray[np.int32]) -> None:
        """Add sampled tokens."""
        self._make_room(len(tokens))
        self.tokens[self.count : self.count + len(tokens)] = tokens
        self.count += len(tokens)

    def _make_room(self, more: int) -> None:
        """O(1) amortised: the array doubles, as most limits are never met."""
        if self.count + more > len(self.tokens):
            tokens = np.empty(max(2 * self.count, self.count + more, 64), dtype=np.int32)
            tokens[: self.count] = self.tokens[: self.count]
            self.tokens = tokens
