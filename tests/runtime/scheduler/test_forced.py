"""Forced runs of one job, over a grammar that is a text and tokens that are characters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import pytest

from radixlm.constrained.forced import Run, Spelling
from radixlm.runtime.messages import LogprobRequest, Submit
from radixlm.runtime.request import RequestId, SamplingParams
from radixlm.runtime.scheduler.forced import Forcing
from radixlm.runtime.scheduler.job import Job
from radixlm.runtime.scheduler.output import delta_of


@dataclass
class Says:
    """A matcher that forces a text, and ends with it or goes on."""

    text: str
    ends: bool = False
    refuses: str = ""
    at: int = 0

    def forced(self) -> str:
        return self.text[self.at :]

    def accept(self, token: int) -> bool:
        if chr(token) == self.refuses:
            return False
        assert chr(token) == self.text[self.at]
        self.at += 1
        return True

    def rollback(self, count: int) -> None:
        self.at -= count

    @property
    def is_finished(self) -> bool:
        return self.ends and self.at == len(self.text)


class AllButTheLast:
    """Characters as tokens, of which the last is never certain."""

    def run(self, before: list[int], forced: str) -> Run:
        return Run(tuple(map(ord, forced)), len(forced) - 1)


forcing = Forcing(cast("Spelling", AllButTheLast()))


def job(matcher: Says | None, max_new: int = 100, **fields: Any) -> Job:
    submit = Submit(
        rid=RequestId("r"), tokens=[ord("?")], sampling=SamplingParams(), seed=0, **fields
    )
    made = Job.of(submit, max_new=max_new)
    made.matcher = cast("Any", matcher)
    return made


def generated(made: Job) -> str:
    return "".join(map(chr, made.tokens[made.prompt : made.count]))


@pytest.mark.parametrize(
    ("made", "taken"),
    [
        (job(Says("abcd")), "abc"),  # the end is open
        (job(Says("abcd", ends=True)), "abcd"),
        (job(Says("abcd", ends=True), max_new=4), "abcd"),
        (job(Says("abcd"), max_new=4), "abc"),
        (job(Says("abcd"), max_new=2), "ab"),
        (job(Says("abcd"), max_new=0), ""),
        (job(Says("")), ""),
        (job(None), ""),
        (job(Says("abcd", refuses="b")), "a"),
        (job(Says("abcd"), stop_ids=(ord("b"),)), "ab"),
        (job(Says("abcd"), stop_ids=(ord("d"),)), "abc"),
    ],
)
def test_a_run_goes_as_far_as_it_is_certain_and_allowed(made: Job, taken: str) -> None:
    assert forcing.extend(made) == len(taken)
    assert generated(made) == taken
    if made.matcher is not None:
        assert made.matcher.forced() == cast("Says", made.matcher).text[len(taken) :]


def test_the_desk_learns_which_tokens_were_forced() -> None:
    made = job(Says("abc"))
    made.append(ord("!"))
    forcing.extend(made)
    delta = delta_of(made)
    assert (delta.tokens, delta.forced) == ([ord("!"), ord("a"), ord("b")], [1, 2])
    made.append(ord("c"))
    assert delta_of(made).forced == []


def test_without_their_logprobs_forced_tokens_are_not_told() -> None:
    made = job(Says("abc"), logprobs=LogprobRequest())
    made.append(ord("!"))
    made.scored = 1
    forcing.extend(made)
    assert delta_of(made).tokens == [ord("!")]
    made.scored = 3
    delta = delta_of(made)
    assert (delta.tokens, delta.forced) == ([ord("a"), ord("b")], [0, 1])
