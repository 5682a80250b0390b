"""One sequence in the scheduler: what is computed, what is sampled, and what it holds."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...constrained.contract import Contract
from ...constrained.grammar import Grammar, Matcher
from ...radix_cache import Lease
from ..engine.inputs import stand_in
from ..images import keyed
from ..messages import Distortion, Finish, Submit, TopLogprobs
from .scoring import Options


@dataclass(eq=False, slots=True)
class Job:
    """A submitted sequence and its progress.

    Invariant: `computed <= count`, and while decoding, between passes, `computed == count - 1`, or
    less after a forced run: the KV of the last tokens is written by the pass that samples the next.

    On a device that runs ahead of the host the last token may not be read yet. It counts all the
    same, as a placeholder that the next pass's input is filled in for; `unread` says so.

    A job with `options` samples nothing: behind its text, `tokens` holds the nodes of their tree.
    """

    submit: Submit
    tokens: NDArray[np.int32]  # [capacity]; the first `count` are the sequence
    count: int
    max_new: int  # after clipping to the context and the pool
    options: Options | None = None
    prompt: int = field(init=False)  # tokens of the prompt, and of a tree of options
    prompt_key: NDArray[np.int32] | None = None  # [prompt] as the tree knows it, with images
    lease: Lease | None = None
    computed: int = 0  # tokens whose KV is in the pool, or will be after the passes under way
    unread: int = -1  # where the last token is among those of the pass under way; -1: it is known
    cached: int = 0  # prompt tokens that the cache had at first admission
    retractions: int = 0
    grammar: Future[Grammar] | None = None
    matcher: Matcher | None = None
    contract: Contract | None = None  # what the desk is to be told of the grammar's
    forced: list[int] = field(default_factory=list[int])  # untold ones: 0 is the first generated
    due: Finish | None = None  # how it ends, once its prompt and its scores are computed
    finish: Finish | None = None
    reported: int = 0  # generated tokens that the desk has been told of
    scored: int = 0  # generated tokens whose log-probabilities are known, if they are wanted
    input_logprobs: list[float | None] | None = None
    input_top: list[TopLogprobs | None] | None = None
    input_ids: list[TopLogprobs | None] | None = None
    pooled: NDArray[np.floating[Any]] | None = None  # [hidden] with `pooling`: so far, in the end
    distortions: list[Distortion] = field(default_factory=list[Distortion])
    logprobs: list[float] = field(default_factory=list[float])
    top_logprobs: list[TopLogprobs] = field(default_factory=list[TopLogprobs])
    id_logprobs: list[TopLogprobs] = field(default_factory=list[TopLogprobs])

    def __post_init__(self) -> None:
        self.prompt = len(self.submit.tokens) + (0 if self.options is None else len(self.options))

    @classmethod
    def of(cls, submit: Submit, *, max_new: int) -> Job:
        """A job that has computed nothing yet."""
        tokens = np.array(submit.tokens, dtype=np.int32)
        options = None
        if submit.options:
            options = Options.of(submit.options)
            tokens = np.concatenate((tokens, options.tokens))
        key = None
        if submit.images:
            key = keyed(tokens[: len(submit.tokens)], submit.images)
        return cls(submit, tokens, len(tokens), max_new, options, key)

    @property
    def generated(self) -> int:
        """Tokens sampled so far."""
        return self.count - self.prompt

    @property
    def is_full(self) -> bool:
        """Whether no token may be added."""
        return self.generated >= self.max_new

    @property
    def awaits_reading(self) -> bool:
        """Whether nothing is left but to read its last token."""
        return self.unread >= 0 and self.is_full

    @property
    def sequence(self) -> NDArray[np.int32]:
        """Prompt and generated tokens, [count], without a tree of options; a view."""
        return self.tokens[: self.count if self.options is None else len(self.submit.tokens)]

    @property
    def key(self) -> NDArray[np.int32]:
        """What the tree knows the sequence by: its ids, with those of images for placeholders."""
        if self.prompt_key is None:
            return self.sequence
        return np.concatenate((self.prompt_key, self.sequence[len(self.prompt_key) :]))

    def told_apart(self, length: int) -> int:
        """Return how much of a match of `length` positions is one beyond doubt.

        A few positions of an image are too short a hash: then it ends before the image.
        """
        return next((one.at for one in self.submit.images if one.is_unsure(length)), length)

    @property
    def to_compute(self) -> int:
        """Tokens that must go through the model before the next one can be sampled."""
        return self.count - self.computed

    @property
    def wants_prompt_logprobs(self) -> bool:
        """Whether prompt positions that are still to be computed are scored as well."""
        request = self.submit.logprobs
        if request is None or not 0 <= request.start < self.prompt or self.computed >= self.prompt:
            return False
        return self.input_logprobs is None or len(self.input_logprobs) < self.prompt - request.start

    @property
    def score_from(self) -> int | None:
        """The first position after which something is wanted of the model; None: the last alone.

        It is the score of the next token, or for a mean the hidden state of each.
        """
        if self.submit.pooling == "mean":
            return 0
        request = self.submit.logprobs
        if request is None:
            return None
        if self.wants_prompt_logprobs:
            return request.start
        return self.prompt + self.scored - 1 if self.scored < self.generated else None

    @property
    def is_over(self) -> bool:
        """Whether no token comes after its last one, which may still have to be computed."""
        return self.max_new == 0 or self.due is not None

    @property
    def told(self) -> int:
        """Generated tokens that may be told: without their log-probabilities they are not."""
        known = self.generated if self.submit.logprobs is None else self.scored
        return min(known, self.generated)

    def forget_prompt_logprobs(self) -> None:
        """Drop the scores of a prompt that must be computed again, unless all are there."""
        if self.wants_prompt_logprobs:
            self.input_logprobs = self.input_top = self.input_ids = None

    def append(self, token: int) -> None:
        """Add a sampled token."""
        self._make_room(1)
        self.tokens[self.count] = token
        self.count += 1

    def append_unread(self, index: int) -> None:
        """Add the token that is the `index`-th of the pass under way."""
        self.append(stand_in(index))
        self.unread = index

    def read(self, token: int) -> None:
        """Learn the last token; a negative one takes the place back."""
        self.unread = -1
        if token < 0:
            self.count -= 1
            self.computed = min(self.computed, self.count)
        else:
            self.tokens[self.count - 1] = token

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
