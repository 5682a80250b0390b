"""Score the shipped model on its held-out sets through RadixLM's own engine.

    python benchmarks/shipped_model.py --json            # ends with one line of JSON
    python benchmarks/shipped_model.py --scale 0.1       # a quick look
    python benchmarks/shipped_model.py --write           # put the figures in the model card

The sets and the scoring are `recipes/shipped_model/heldout.py` and `evaluate.py`; only the two
operations `generate` and `select` are the engine's. Everything is greedy.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

import radixlm as rl  # noqa: E402
from recipes.shipped_model.evaluate import score, write_figures  # noqa: E402
from recipes.shipped_model.heldout import build  # noqa: E402


@rl.function
def choose(s: Any, prompt: str, choices: list[str]) -> None:
    """Select one of the choices after a raw prompt."""
    s += prompt
    s += rl.select("chosen", choices)


class EngineSubject:
    """RadixLM's engine in this process."""

    def __init__(self, engine: rl.Engine) -> None:
        self.engine = engine

    def generate(
        self, prompt: str, max_tokens: int, stop: Sequence[str], json_schema: str | None = None
    ) -> str:
        """Continue a prompt greedily."""
        sampling: dict[str, Any] = {"temperature": 0, "max_new_tokens": max_tokens}
        if stop:
            sampling["stop"] = list(stop)
        if json_schema:
            sampling["json_schema"] = json_schema
        return str(self.engine.generate(prompt, sampling)["text"])

    def select(self, prompt: str, choices: Sequence[str]) -> str:
        """Run a program with one `select`."""
        return str(choose.run(prompt, list(choices), temperature=0)["chosen"])


def main() -> None:
    """Score from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a checkpoint folder; the shipped model without it")
    parser.add_argument("--scale", type=float, default=1.0, help="shrinks the sets")
    parser.add_argument("--failures", type=int, default=0, help="wrong answers to show of each set")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--write", action="store_true", help="put the figures in the model card")
    options = parser.parse_args()
    started = time.monotonic()
    settings = {"model_path": options.model} if options.model else {}
    with rl.Engine(in_process=True, **settings) as engine:
        rl.set_default_backend(engine)
        figures = score(
            EngineSubject(engine),
            build(options.scale),
            failures=options.failures,
            say=lambda line: print(line, flush=True),
        )
    print(f"{time.monotonic() - started:.0f} s")
    if options.write:
        write_figures(ROOT / "runtime" / "shipped" / "README.md", figures)
    if options.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
