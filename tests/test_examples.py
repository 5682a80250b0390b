"""Every file in examples/ runs as it stands, on the model that ships."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def run(example: Path) -> str:
    """Run an example as a user would and return what it printed."""
    path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, str(example)],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "PYTHONPATH": path.rstrip(os.pathsep)},
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def test_there_are_examples_of_each_kind() -> None:
    names = {example.stem for example in EXAMPLES}
    assert names >= {
        "quickstart",
        "tool_use",
        "multi_turn_qa",
        "structured",
        "fork_join",
        "batch",
        "agent",
        "server_client",
    }


# What an example must print, whatever else it says.
EXPECTED = {
    "quickstart": ["calculator", "search engine", "Paris", "Tokyo", '"name": "Maria Lopez"'],
    "tool_use": ["calculator", "search engine"],
    "multi_turn_qa": ["Washington", "Rome", "Athens"],
    "structured": [
        "The capital of Norway is Oslo.",
        "name='Peter Brown' age=52 city='Oslo'",
        "refused: ebnf",
    ],
    "fork_join": ["Oslo", "Cairo", "Santiago", "computed"],
    "batch": ["positive  I love this lamp", "negative  The chair broke"],
    "agent": ["calculator('31 * 12') = 372", "Japan has 124 million people"],
    "server_client": ["Paris", "Rome", "Madrid"],
    "images": [
        "the same again",
        "prompt 43 tokens: 0 cached",
        "prompt 43 tokens: 42 cached",
        "prompt 43 tokens: 6 cached",
    ],
    "compiled": ["the client calls population()", "Paris", "Tokyo", "requests: 3"],
}


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_an_example_runs_and_prints_what_it_promises(example: Path) -> None:
    if example.stem == "images":
        pytest.importorskip("PIL", reason="Pillow, of the extra `vision`, is not installed")
    printed = run(example)
    missing = [text for text in EXPECTED[example.stem] if text not in printed]
    assert not missing, printed
