"""What reuse of prefixes saves on the shipped model: the same prompts with the cache and without.

    [RADIXLM_DATA=folder] python benchmarks/prefix.py [--questions 24] [--rounds 3] [--json]

Three streams of token ids, sent in waves; a wave waits for the one before it:

- `few_shot`: questions of GSM8K after the same 8 worked examples, shortened until they fit; all at
  once. Without RADIXLM_DATA, generated sums stand in for GSM8K.
- `multi_turn`: dialogues that go on, each turn after all that was said.
- `tree_of_thought`: each thought is continued by several, level after level.

Both engines get the same ids, greedily, in turns, and the cache is flushed before each round.
What is shareable is counted exactly, by a trie over all prompts in order: the tokens that
some prompt before has at the same place after the same prefix (a prompt's last token, which
is computed for its logits, left out).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src")]

from radixlm.runtime.config import ModelConfig  # noqa: E402
from radixlm.runtime.offline import Engine  # noqa: E402
from radixlm.runtime.tokenizer import Tokenizer, load_tokenizer  # noqa: E402

CONTEXT = 2048
SHOTS, SHOT_TOKENS = 8, 200  # of each at most
DIALOGUES, TURNS = 6, 6
THOUGHT_DEPTH, THOUGHT_WIDTH = 4, 3
ANSWER_TOKENS = 8

Ids = list[int]


@dataclass(frozen=True, slots=True)
class Wave:
    """Prompts that are sent at once."""

    prompts: list[Ids]
    max_new_tokens: int = ANSWER_TOKENS


def shareable_tokens(prompts: Sequence[Sequence[int]]) -> int:
    """Count the tokens of all prompts that a cache without bounds would find, in order."""
    children: dict[tuple[int, int], int] = {}  # (node, token) → node
    numbers = count(1)
    found = 0
    for prompt in prompts:
        node, is_known = 0, True
        for position, token in enumerate(prompt):
            child = children.get((node, token))
            is_known = is_known and child is not None
            found += is_known and position < len(prompt) - 1
            if child is None:
                child = children[node, token] = next(numbers)
            node = child
    return found


def problems() -> tuple[list[tuple[str, str]], list[str]]:
    """Return worked examples and questions: GSM8K's, or sums."""
    folder = os.environ.get("RADIXLM_DATA")
    if folder is not None:
        read = [
            [json.loads(line) for line in (Path(folder) / "bench" / name).open(encoding="utf-8")]
            for name in ("gsm8k_fewshot.jsonl", "gsm8k_test.jsonl")
        ]
        shots, tests = read
        return [(shot["question"], shot["answer"]) for shot in shots], [
            test["question"] for test in tests
        ]
    draw = random.Random(0)
    made: list[tuple[str, str]] = []
    for _ in range(200):
        have, days, rate = (draw.randint(2, 90) for _ in range(3))
        given, all_of_them = have // 2, have + rate * days
        question = (
            f"Ann has {have} apples and picks {rate} more on each of {days} days. She gives a "
            f"friend {given} of them. How many apples does Ann have in the end?"
        )
        answer = (
            f"She picks {rate} * {days} = {rate * days} apples. With those that she had there are "
            f"{have} + {rate * days} = {all_of_them}. After her present "
            f"{all_of_them} - {given} = {all_of_them - given} are left.\n#### {all_of_them - given}"
        )
        made.append((question, answer))
    return made[:SHOTS], [question for question, _ in made[SHOTS:]]


def few_shot(tokenizer: Tokenizer, num_questions: int) -> list[Wave]:
    """All questions at once after the same examples."""
    shots, questions = problems()
    asked = [tokenizer.encode(f"Question: {text}\nAnswer:") for text in questions[:num_questions]]
    room = CONTEXT - max(len(ids) for ids in asked) - ANSWER_TOKENS
    examples: Ids = []
    for question, answer in shots[:SHOTS]:
        ids = tokenizer.encode(f"Question: {question}\nAnswer: {answer}\n\n")
        examples += ids[: min(SHOT_TOKENS, room // SHOTS)]
    return [Wave([examples + ids for ids in asked])]


def multi_turn(tokenizer: Tokenizer) -> list[Wave]:
    """Some dialogues, a turn of each a wave; the answers in them are those of the data."""
    shots, questions = problems()
    said: list[Ids] = [[] for _ in range(DIALOGUES)]
    waves: list[Wave] = []
    for turn in range(TURNS):
        for index, ids in enumerate(said):
            text = questions[(turn * DIALOGUES + index) % len(questions)]
            ids += tokenizer.encode(f"User: {text}\nAssistant:")
        waves.append(Wave([list(ids) for ids in said]))
        for index, ids in enumerate(said):
            ids += tokenizer.encode(f" {shots[(turn + index) % len(shots)][1]}\n")
    return waves


def tree_of_thought(tokenizer: Tokenizer) -> list[Wave]:
    """Two questions; every thought is followed by `THOUGHT_WIDTH` others, so many levels deep."""
    shots, questions = problems()
    answers = [tokenizer.encode(f" {answer}\n") for _, answer in shots]
    lead = "Solve the problem step by step, one thought at a time.\n\n"
    level = [tokenizer.encode(f"{lead}Problem: {text}\nThought 1:") for text in questions[:2]]
    waves: list[Wave] = []
    draw = random.Random(0)
    for depth in range(2, THOUGHT_DEPTH + 2):
        waves.append(Wave(level))
        following = tokenizer.encode(f"Thought {depth}:")
        level = [
            ids + draw.choices(draw.choice(answers), k=40) + following
            for ids in level
            for _ in range(THOUGHT_WIDTH)
        ]
    return waves


def send(engine: Engine, waves: Sequence[Wave]) -> tuple[float, int]:
    """Return the seconds that it took, and the cached tokens."""
    engine.flush_cache()
    cached, begun = 0, time.perf_counter()
    for wave in waves:
        sampling = {"temperature": 0, "max_new_tokens": wave.max_new_tokens, "ignore_eos": True}
        for result in engine.generate(input_ids=wave.prompts, sampling_params=sampling):
            cached += result["meta_info"]["cached_tokens"]
    return time.perf_counter() - begun, cached


def measure(on: Engine, off: Engine, waves: Sequence[Wave], rounds: int) -> dict[str, Any]:
    """Send a stream with the cache and without, in turns."""
    prompts = [prompt for wave in waves for prompt in wave.prompts]
    total, shareable = sum(map(len, prompts)), shareable_tokens(prompts)
    with_cache, without, cached = list[float](), list[float](), 0
    for _ in range(rounds):
        seconds, cached = send(on, waves)
        with_cache.append(seconds)
        without.append(send(off, waves)[0])
    on_s, off_s = statistics.median(with_cache), statistics.median(without)
    return {
        "prompts": len(prompts),
        "tokens": total,
        "on_s": round(on_s, 3),
        "off_s": round(off_s, 3),
        "speedup": round(off_s / on_s, 2),
        "cached_share": round(cached / total, 4),
        "shareable": round(shareable / total, 4),
        "cached_of_shareable": round(cached / shareable, 4),
    }


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--questions", type=int, default=24, help="of the few-shot stream")
    parser.add_argument("--rounds", type=int, default=3, help="the median of so many is given")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    options = parser.parse_args()
    tokenizer = load_tokenizer(ModelConfig())
    settings = {"in_process": True, "context_length": CONTEXT, "max_total_tokens": 1 << 15}
    found: dict[str, dict[str, Any]] = {}
    with Engine(**settings) as on, Engine(disable_radix_cache=True, **settings) as off:
        for engine in (on, off):
            engine.generate(input_ids=[1, 2, 3], sampling_params={"max_new_tokens": 2})
        workloads = {
            "few_shot": few_shot(tokenizer, options.questions),
            "multi_turn": multi_turn(tokenizer),
            "tree_of_thought": tree_of_thought(tokenizer),
        }
        for name, waves in workloads.items():
            found[name] = measure(on, off, waves, options.rounds)
            print(name, *(f"{key} {value}" for key, value in found[name].items()), sep="  ")
    if options.json:
        print(json.dumps({"prefix": found}))


if __name__ == "__main__":
    main()
