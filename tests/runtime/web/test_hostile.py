"""`benchmarks/hostile.py`, shortened: some of its grammars against the tests' own server."""

from __future__ import annotations

import asyncio
import sys

import pytest

from ...scripts import load
from .conftest import Server

NAMES = [
    "regex: 2^n states",
    "regex: nested counts",
    "regex: 5,000 brackets",
    "ebnf: hidden left recursion",
    "ebnf: no end",
    "lark: left recursion",
    "lark: doubled 2^40 times",
    "schema: $ref cycle",
    "schema: 2,500 properties",
    "schema: product of anyOf",
    "schema: 10,000 levels",
    "unicode: lone surrogate",
    "unicode: 4,000 scripts",
]
REFUSED = {"regex: nested counts", "ebnf: no end", "schema: $ref cycle", "schema: 10,000 levels"}


@pytest.mark.slow
def test_each_hostile_grammar_has_its_own_answer_and_the_neighbours_theirs(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    module = load("benchmarks/hostile.py")
    options = module.parser().parse_args(["--rounds", "1", "--quiet", "1", "--clients", "2"])
    every = module.grammars()
    wanted = {name: every[name] for name in NAMES}
    report = asyncio.run(module.measure(server.url, wanted, options))
    assert [answer.name for answer in report.answers] == NAMES
    for answer in report.answers:
        assert answer.is_own, answer
        if answer.name in REFUSED:
            assert answer.status == 400
    assert report.failed == []
    assert all(report.quiet.values())
    assert report.grammars["refused"] >= len(REFUSED)
    assert server.wait_until_idle()["grammars"]["queued"] == 0
