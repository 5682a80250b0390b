"""Whole programs in one request against one request per gen, over HTTP, on one server.

    python benchmarks/programs.py            # a table
    python benchmarks/programs.py --json     # ends with one JSON object

(a) sends each `gen` and `select` as a request of its own, as every peer does; (b) sends the
compiled program once. Same server, same programs, same greedy answers (compared); the radix cache
is emptied before each run; the figures are medians of several alternating runs of a batch.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src")]

import radixlm as rl  # noqa: E402

COUNTRIES = ("France", "Japan", "Peru", "Norway", "Egypt", "Chile", "Italy", "Kenya")
PEOPLE = (
    "Anna Berg",
    "Omar Khan",
    "Li Wei",
    "Eva Rossi",
    "Tom Hill",
    "Mia Novak",
    "Jan Vos",
    "Ida Lund",
)
RECORD = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 30},
        "age": {"type": "integer"},
        "city": {"type": "string", "maxLength": 30},
    },
    "required": ["name", "age", "city"],
    "additionalProperties": False,
}


@rl.function
def tree_of_thought(s: Any, country: str) -> Any:
    """Two levels of three thoughts; each is judged, the best goes on."""
    s += f"Question: What should one know about {country}?\n"
    for level in range(2):
        branches = s.fork(3)
        for i, branch in enumerate(branches):
            branch += f"Thought {level + 1}.{i + 1}:"
            branch += rl.gen("thought", max_tokens=8, stop="\n")
            branch += "\nThis thought is" + rl.select("verdict", choices=[" good", " bad"])
        best = 0
        for i in range(3):
            if branches[i]["verdict"] == " good":
                best = i
        s += f"Thought:{branches[best]['thought']}\n"
    s += "Answer:" + rl.gen("answer", max_tokens=8, stop="\n")
    return s["answer"]


@rl.function
def skeleton_of_thought(s: Any, country: str) -> Any:
    """Three points, then each expanded beside the others."""
    s += rl.system("You are a helpful assistant.")
    s += rl.user(f"Name three facts about {country}.")
    with s.assistant():
        for i in range(3):
            s += f"{i + 1}." + rl.gen(f"point_{i}", max_tokens=6, stop="\n") + "\n"
    branches = s.fork(3)
    for i, branch in enumerate(branches):
        branch += rl.user(f"Expand point {i + 1} in one short sentence.")
        branch += rl.assistant(rl.gen("expansion", max_tokens=12))
    branches.join()
    return s["expansion"]


@rl.function
def multi_turn_chat(s: Any, country: str) -> Any:
    """Four turns."""
    s += rl.system("You are a helpful assistant.")
    questions = (
        f"What is the capital of {country}?",
        "What is its population?",
        "Where is it?",
        "Thanks!",
    )
    for i, question in enumerate(questions):
        s += rl.user(question)
        s += rl.assistant(rl.gen(f"answer_{i}", max_tokens=10))
    return s["answer_0"]


def search(word: str) -> str:
    """A tool of the client's."""
    return f"{word.strip()} is known"


@rl.function
def react_agent(s: Any, country: str) -> Any:
    """Choose a tool, call it on the client, three times."""
    for i in range(3):
        s += f"To answer this question: What is the capital of {country}. I need to use a "
        s += rl.select("tool", choices=["calculator", "search engine"])
        s += ". The key word to search is" + rl.gen(f"word_{i}", max_tokens=6, stop=["\n", "."])
        found = search(s[f"word_{i}"])
        s += f"\nObservation: {found}\n"
    return s["word_2"]


@rl.function
def llm_judge(s: Any, country: str) -> Any:
    """Three criteria beside each other, then a summary."""
    s += f"Review: The trip to {country} was long and the food was good.\n"
    branches = s.fork(3)
    for criterion, branch in zip(["tone", "detail", "style"], branches, strict=True):
        branch += f"The {criterion} of the review is" + rl.select(
            "verdict", choices=[" good", " bad", " fair"]
        )
    branches.join()
    s += (
        "Verdicts:"
        + ",".join(s["verdict"])
        + "\nSummary:"
        + rl.gen("summary", max_tokens=10, stop="\n")
    )
    return s["summary"]


@rl.function
def json_extraction(s: Any, person: str) -> Any:
    """A record under a schema, then a question about it."""
    s += f"Extract name, age and city as JSON: {person} is 41 years old and lives in Oslo.\n"
    s += rl.gen("record", max_tokens=60, json_schema=RECORD)
    record = json.loads(s["record"])
    s += f"\nQ: How old is {record['name']}?\nA:" + rl.gen("age", max_tokens=6, stop="\n")
    return record


WORKLOADS: dict[str, tuple[Any, list[dict[str, Any]]]] = {
    "tree_of_thought": (tree_of_thought, [{"country": c} for c in COUNTRIES]),
    "skeleton_of_thought": (skeleton_of_thought, [{"country": c} for c in COUNTRIES]),
    "multi_turn_chat": (multi_turn_chat, [{"country": c} for c in COUNTRIES]),
    "react_agent": (react_agent, [{"country": c} for c in COUNTRIES]),
    "llm_judge": (llm_judge, [{"country": c} for c in COUNTRIES]),
    "json_extraction": (json_extraction, [{"person": p} for p in PEOPLE]),
}


class Run:
    """One run of a batch: what it took and what came out."""

    def __init__(self, endpoint: Any, start: Callable[[], list[Any]]) -> None:
        deadline = time.monotonic() + 30
        while not endpoint.flush_cache() and time.monotonic() < deadline:
            time.sleep(0.02)  # the last requests are still leaving
        before, sent = counters(endpoint), endpoint.requests
        begun = time.perf_counter()
        states = start()
        self.texts = [state.text() for state in states]
        self.seconds = time.perf_counter() - begun
        self.requests = endpoint.requests - sent
        after = counters(endpoint)
        self.computed = after["prompt_tokens"] - before["prompt_tokens"]
        self.computed -= after["cached_tokens"] - before["cached_tokens"]
        errors = [state.error() for state in states if state.error()]
        if errors:
            raise RuntimeError(f"a program failed: {errors[0]}")


def counters(endpoint: Any) -> dict[str, Any]:
    """The server's own counters of tokens."""
    state: dict[str, Any] = endpoint.get_server_info()["internal_states"][0]
    return state


def measure(endpoint: Any, name: str, rounds: int, batch: int) -> dict[str, Any]:
    """Measure one workload both ways."""
    program, arguments = WORKLOADS[name]
    settings = {"backend": endpoint, "temperature": 0}
    ways: dict[str, list[Run]] = {"a": [], "b": []}
    for index in range(rounds + 1):  # the first warms grammars and connections up
        for way, compiled in (("a", False), ("b", True)):
            run = Run(
                endpoint,
                lambda compiled=compiled: program.run_batch(
                    arguments[:batch], compiled=compiled, **settings
                ),
            )
            if index:
                ways[way].append(run)
    same = ways["a"][0].texts == ways["b"][0].texts
    seconds = {way: statistics.median(run.seconds for run in runs) for way, runs in ways.items()}
    return {
        "speedup": round(seconds["a"] / seconds["b"], 2),
        "seconds_a": round(seconds["a"], 3),
        "seconds_b": round(seconds["b"], 3),
        "requests_a": ways["a"][0].requests,
        "requests_b": ways["b"][0].requests,
        "computed_a": round(statistics.median(run.computed for run in ways["a"])),
        "computed_b": round(statistics.median(run.computed for run in ways["b"])),
        "same_text": same,
    }


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", help="a running server; by default one with the shipped model")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=1, help="programs side by side")
    parser.add_argument("--only", choices=WORKLOADS, action="append")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    server = None if options.url else rl.Runtime()
    endpoint = rl.RuntimeEndpoint(options.url) if server is None else server.endpoint
    found: dict[str, Any] = {}
    try:
        for name in options.only or WORKLOADS:
            found[name] = measure(endpoint, name, options.rounds, options.batch)
            print(name, found[name], flush=True)
    finally:
        if server is not None:
            server.shutdown()
    if options.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
