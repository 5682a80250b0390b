"""Scoring the options of a `select`: one tree of tokens beside a request for each option.

    python benchmarks/choices.py [--options 4,16,64] [--rounds 5] [--json]

The shipped model. The options are names of goods that begin alike, as lists of them do; the prompt
is of 200 random ids, and new in each round, so that either way computes it once. `separate`
scores every option as a prompt of its own, all at once, as `select` did before. Times are medians.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import statistics
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src")]

from radixlm.ir import loop  # noqa: E402
from radixlm.runtime.desk.scoring import score_options  # noqa: E402
from radixlm.runtime.offline import Engine  # noqa: E402

PROMPT = 200  # tokens
COLOURS = ["dark red", "dark green", "light blue", "light grey"]
MATERIALS = ["wooden", "plastic", "steel", "leather"]
THINGS = ["table lamp", "table cloth", "arm chair", "book shelf"]

Prefix = list[int]


def texts(count: int) -> list[str]:
    """Return `count` options."""
    goods = itertools.product(COLOURS, MATERIALS, THINGS)
    return [f" the {' '.join(words)}" for words in itertools.islice(goods, count)]


def separate(engine: Engine, prefix: Prefix, options: list[list[int]]) -> int:
    """Score by a request for each option; return how many tokens were computed."""
    results: list[dict[str, Any]] = engine.generate(
        input_ids=[[*prefix, *option] for option in options],
        sampling_params={"max_new_tokens": 0},
        return_logprob=True,
        logprob_start_len=[len(prefix) - 1] * len(options),
    )
    return sum(result["meta_info"]["computed_tokens"] for result in results)


def tree(engine: Engine, prefix: Prefix, options: list[list[int]]) -> int:
    """Score in one tree; return how many tokens were computed."""
    _, cost = loop.wait(score_options(engine.desk, prefix, options))
    return cost.computed


def measure(engine: Engine, count: int, rounds: int) -> dict[str, Any]:
    """Let both take turns."""
    rng = random.Random(count)
    options = [engine.desk.tokenizer.encode(text) for text in texts(count)]
    line: dict[str, Any] = {"options": count, "option_tokens": sum(map(len, options))}
    for name, score in (("separate", separate), ("tree", tree)):
        times: list[float] = []
        for _ in range(rounds + 1):
            prefix = [rng.randrange(300, 4000) for _ in range(PROMPT)]
            begun = time.perf_counter()
            computed = score(engine, prefix, options)
            times.append(time.perf_counter() - begun)
        ms = statistics.median(times[1:]) * 1e3
        line[name] = {"ms": round(ms, 1), "computed_tokens": computed}
    line["speedup"] = round(line["separate"]["ms"] / line["tree"]["ms"], 2)
    return line


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--options", default="4,16,64")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    asked = parser.parse_args()
    with Engine(in_process=True, max_total_tokens=1 << 15) as engine:
        lines = [
            measure(engine, count, asked.rounds) for count in map(int, asked.options.split(","))
        ]
    for line in lines:
        print(line)
    if asked.json:
        print(json.dumps({"select": lines}))


if __name__ == "__main__":
    main()
