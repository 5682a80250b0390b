"""Scores of a `select`'s options: one pass over the tree of their tokens."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...ir.choices import Scored, Scores
from ..errors import EngineError, InvalidRequestError
from ..images import Image
from ..request import SamplingParams
from .desk import Desk
from .streams import Stream
from .tokens import Tokens

MAX_CHOICES = 4096
MAX_TREE_TOKENS = 8192  # that one request holds in the pool; more options are scored in groups
NOTHING = SamplingParams(max_new_tokens=0)

Ids = list[int]


@dataclass(frozen=True, slots=True)
class Cost:
    """Where the tokens of some requests came from: `cached + computed == prompt`."""

    prompt: int = 0
    cached: int = 0
    computed: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.prompt + other.prompt,
            self.cached + other.cached,
            self.computed + other.computed,
        )


async def score_choices(
    desk: Desk, state: Tokens, choices: Sequence[str], *, unconditional: bool = False
) -> Scores:
    """Score each choice as a continuation of a sequence and its pending text, on equal terms.

    Pending text and choice are tokenised together, so that a token may span the place where they
    meet. The tokens that pending text has in common with all of these are context; everything after
    is scored, for every choice.

    Raises:
        InvalidRequestError: there are no choices or too many, or one is too long.
    """
    if not 0 < len(choices) <= MAX_CHOICES:
        raise InvalidRequestError(
            f"{len(choices)} choices; between 1 and {MAX_CHOICES} are allowed"
        )
    ids, pending = state.ids, state.pending
    encode, opens = desk.tokenizer.encode_literal, not ids
    tails = [encode(pending + choice, opens=opens) for choice in choices]
    literal = encode(pending, opens=opens)
    common = min(_common(literal, tail) for tail in tails)
    options = [tail[common:] for tail in tails]
    found, cost = await score_options(desk, ids + literal[:common], options, state.images)
    alone: list[list[float]] | list[None] = [None] * len(choices)
    if unconditional:
        alone, more = await score_options(desk, [], options)
        cost += more
    scored = [
        Scored(tokens=tail, logprobs=own, unconditional=bare)
        for tail, own, bare in zip(tails, found, alone, strict=True)
    ]
    meta = {
        "prompt_tokens": cost.prompt,
        "cached_tokens": cost.cached,
        "computed_tokens": cost.computed,
    }
    return Scores(choices=scored, meta_info=meta)


async def score_options(
    desk: Desk, prefix: Ids, options: Sequence[Ids], images: Sequence[Image] = ()
) -> tuple[list[list[float]], Cost]:
    """Return the log-probability (nats) of each token of each option after `prefix`, and the cost.

    Without a prefix an option's first token has no probability; it counts as 0, for every option.
    """
    found = [[0.0] * len(option) for option in options]
    if prefix:
        asked = [index for index, option in enumerate(options) if option]
    else:
        asked = [index for index, option in enumerate(options) if len(option) > 1]
    room = min(MAX_TREE_TOKENS, desk.model.pool_tokens - len(prefix) - 1)
    groups = list(_groups(asked, options, room))
    streams = await asyncio.gather(
        *(_score(desk, prefix, [options[index] for index in group], images) for group in groups)
    )
    cost = Cost()
    for group, stream in zip(groups, streams, strict=True):
        assert stream.option_logprobs is not None
        assert stream.usage is not None
        for index, logprobs in zip(group, stream.option_logprobs, strict=True):
            found[index] = logprobs
        usage = stream.usage
        cost += Cost(usage.prompt, usage.cached, usage.computed)
    return found, cost


async def _score(desk: Desk, prefix: Ids, options: list[Ids], images: Sequence[Image]) -> Stream:
    with desk.submit(prefix, NOTHING, seed=0, options=options, images=images) as stream:
        await desk.finish(stream)
        refuse_aborted(stream)
        return stream


def _groups(asked: list[int], options: Sequence[Ids], room: int) -> Iterator[list[int]]:
    """Cut the options into groups whose trees have at most `room` nodes, if each alone has."""
    group: list[int] = []
    nodes, before = 0, list[int]()
    for index in sorted(asked, key=options.__getitem__):
        option = options[index]
        more = max(len(option) - 1 - _common(before, option), 0)
        if group and nodes + more > room:
            yield group
            group, nodes, more = [], 0, len(option) - 1
        group.append(index)
        nodes, before = nodes + more, option
    if group:
        yield group


def refuse_aborted(stream: Stream) -> None:
    """Raise for a stream that was aborted from outside: a program has no use for half a value."""
    if stream.finish is not None and stream.finish.type == "abort":
        raise EngineError(stream.finish.message or "the request was aborted")


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    """Length of the longest common prefix."""
    count = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        count += 1
    return count
