"""The official test suite: what is said to be enforced is, what is checked is found.

Two departures of the contract from the drafts are no failures: a format is asserted, as with the
"format-assertion" vocabulary; and a format may take less than its RFC (`formats.py` says where).
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from radixlm.constrained.auto_backend import Compiler
from radixlm.constrained.canonical import canonical_text
from radixlm.constrained.check import Check
from radixlm.constrained.contract import Status
from radixlm.constrained.errors import GrammarError, UnsatisfiableError
from radixlm.constrained.grammar import Grammar
from radixlm.constrained.spec import GrammarSpec

from ..scripts import ROOT, load

FOLDER = Path(__file__).parent / "suite"
DIALECTS = {
    "draft2020-12": "https://json-schema.org/draft/2020-12/schema",
    "draft7": "http://json-schema.org/draft-07/schema#",
}
MOST_REFUSED = {("draft2020-12", "strict"): 72, ("draft7", "strict"): 36} | {
    ("draft2020-12", "best_effort"): 17,
    ("draft7", "best_effort"): 13,
}
# What the drafts leave open: content as an assertion, numbers past a double.
OPEN = ("optional/content", "optional/float-overflow")


def groups(draft: str) -> list[dict[str, Any]]:
    with lzma.open(FOLDER / f"{draft}.jsonl.xz", "rt") as lines:
        found = [json.loads(line) for line in lines]
    found = [group for group in found if group["file"] not in OPEN]
    for group in found:
        if isinstance(group["schema"], dict):
            group["schema"] = {"$schema": DIALECTS[draft], **group["schema"]}
    return found


def outcomes(compiler: Compiler, group: dict[str, Any], mode: Any) -> Iterator[tuple[Any, bool]]:
    """Yield each test with whether the grammar takes its instance, in canonical form."""
    schema = group["schema"]
    try:
        grammar = compiler.compile(GrammarSpec.json_schema(schema, mode=mode))
    except UnsatisfiableError:
        yield from ((test, False) for test in group["tests"])
        return
    for test in group["tests"]:
        text = canonical_text(schema, test["data"])
        yield test, takes(grammar, text) and not grammar.check(text)


def takes(grammar: Grammar, text: str) -> bool:
    matcher = grammar.matcher()
    return all(matcher.accept(byte) for byte in text.encode()) and matcher.is_accepting


def is_departure(group: dict[str, Any], test: dict[str, Any]) -> bool:
    """Whether a valid instance is refused for its format's sake, or for a control character."""
    has_control = any(char < " " for char in str(test["data"]))
    has_format = '"format"' in json.dumps(group["schema"])
    return has_control or (has_format and ("format" in group["file"]))


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["strict", "best_effort"])
@pytest.mark.parametrize("draft", DIALECTS)
def test_nothing_is_promised_that_is_not_kept(draft: str, mode: str, byte_auto: Compiler) -> None:
    wrong: list[tuple[str, str, str, bool]] = []
    refused: list[str] = []
    for group in groups(draft):
        try:
            found = list(outcomes(byte_auto, group, mode))
        except GrammarError:
            refused.append(group["file"])
            continue
        for test, is_taken in found:
            if is_taken == test["valid"] or (test["valid"] and is_departure(group, test)):
                continue
            wrong.append((group["file"], group["description"], test["description"], is_taken))
    assert wrong == []
    assert len(refused) <= MOST_REFUSED[draft, mode]


def test_the_check_alone_finds_what_is_wrong() -> None:
    check = Check({"type": "array", "uniqueItems": True, "items": {"pattern": "^a"}})
    assert check.failures('["a","ab"]') == []
    (failure,) = check.failures('["a","a"]')
    assert (failure.pointer, failure.keyword) == ("", "/uniqueItems")
    (failure,) = check.failures('["b"]')
    assert (failure.pointer, failure.keyword) == ("/0", "/items/pattern")
    assert check.failures("[1")[0].keyword == ""


def test_statuses_are_ordered_from_kept_to_refused() -> None:
    assert list(Status) == [Status.ENFORCED, Status.CHECKED, Status.REFUSED]


def test_the_table_in_the_docs_is_what_the_suite_says() -> None:
    docs = (ROOT / "docs" / "structured-output.md").read_text("utf-8")
    assert load("benchmarks/maskbench.py").keywords() in docs
