"""What the front end itself costs: a statement, and thousands of programs at a time.

    python benchmarks/frontend.py [--json]

The backend answers at once, so all of the time is the language's, the machine's and the loop's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src")]

import radixlm as rl  # noqa: E402

STATEMENTS, PROGRAMS, ROUNDS = 2000, 2000, 5


@rl.function
def lines(s: Any, count: int) -> None:
    """Many literals."""
    for i in range(count):
        s += f"line {i}\n"


@rl.function
def two_gens(s: Any, word: str) -> Any:
    """A short program."""
    s += word
    s += rl.gen("one")
    if s["one"] == "x":
        s += rl.gen("two")
    return s["two"]


def statement(compiled: bool) -> float:
    """Return the time of a statement, µs: the best of several runs."""
    backend = rl.ScriptedBackend(lambda prompt, gen: "x")

    def once() -> float:
        begun = time.perf_counter()
        lines.run(STATEMENTS, backend=backend, compiled=compiled).sync()
        return time.perf_counter() - begun

    return min(once() for _ in range(ROUNDS)) / STATEMENTS * 1e6


def concurrent() -> dict[str, float]:
    """Run many compiled programs at a time; every one is under way before the first may end."""
    backend = rl.ScriptedBackend(lambda prompt, gen: "x", held=["one"])
    before = threading.active_count()

    async def main() -> int:
        tasks = [
            asyncio.create_task(two_gens.arun(f"w{i}", backend=backend, compiled=True))
            for i in range(PROGRAMS)
        ]
        while len(backend.calls) < PROGRAMS:
            await asyncio.sleep(0.01)
        threads = threading.active_count() - before
        backend.let_go()
        await asyncio.gather(*tasks)
        return threads

    begun = time.perf_counter()
    threads = asyncio.run(main())
    return {"programs": PROGRAMS, "threads": threads, "seconds": time.perf_counter() - begun}


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    options = parser.parse_args()
    found: dict[str, Any] = {
        "eager_us": round(statement(False), 1),
        "compiled_us": round(statement(True), 1),
        "concurrent": concurrent(),
    }
    for name, value in found.items():
        print(name, value)
    if options.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
