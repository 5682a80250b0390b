"""What structure costs: throughput with 0, 20 and 100 % constrained requests; forced runs on, off.

    python benchmarks/structured.py --json            # ends with one line of JSON
    python benchmarks/structured.py --profile         # where the scheduler's time goes

A constrained request asks for a document of a schema; an unconstrained one has the same prompt and
generates as many tokens as that document had. So all shares generate the same tokens, and the time
alone differs. The first pass of each engine compiles the grammars and is not counted. The shipped
model, on whatever device the engine finds; desk and scheduler are two processes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src")]

import radixlm as rl  # noqa: E402

SHARES = (0.0, 0.2, 1.0)
Task = tuple[str, dict[str, Any]]  # prompt, sampling parameters


def fields(**properties: Any) -> dict[str, Any]:
    """Return the schema of an object with exactly these properties."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


WORD = {"type": "string", "pattern": "^[a-z]{3,12}$"}
LINE = {"type": "string", "minLength": 20, "maxLength": 60}
COUNT = {"type": "integer", "minimum": 0, "maximum": 9999}
FLAG = {"type": "boolean"}
SCHEMAS = {
    "order": fields(
        order_identifier=COUNT,
        customer_information=fields(first_name=WORD, last_name=WORD, is_returning_customer=FLAG),
        shipping_method={"enum": ["standard_delivery", "express_delivery", "store_pickup"]},
        number_of_items=COUNT,
        requires_signature=FLAG,
    ),
    "reading": fields(
        sensor_identifier=WORD,
        measurement_unit={"enum": ["degrees_celsius", "degrees_fahrenheit"]},
        measured_temperature=COUNT,
        measured_humidity_percentage=COUNT,
        battery_is_low=FLAG,
    ),
    "ticket": fields(
        ticket_category={"enum": ["billing_question", "technical_problem", "feature_request"]},
        short_description=LINE,
        customer_sentiment={"enum": ["positive", "neutral", "negative"]},
        should_be_escalated=FLAG,
    ),
    "summary": fields(document_title=LINE, summary_text=LINE, suggested_follow_up_question=LINE),
}


def tasks(requests: int, temperature: float) -> list[Task]:
    """Return a constrained task for each request."""
    made: list[Task] = []
    for index in range(requests):
        name = list(SCHEMAS)[index % len(SCHEMAS)]
        sampling = {
            "temperature": temperature,
            "sampling_seed": index,
            "max_new_tokens": 400,
            "json_schema": json.dumps(SCHEMAS[name]),
        }
        made.append((f"Example {index} of a JSON document for the {name}: ", sampling))
    return made


def mixed(constrained: list[Task], lengths: list[int], share: float) -> list[Task]:
    """Let a share of the tasks be constrained, and the others as long without a constraint."""
    made: list[Task] = []
    for index, (prompt, sampling) in enumerate(constrained):
        if int((index + 1) * share) > int(index * share):
            made.append((prompt, sampling))
            continue
        free = {key: value for key, value in sampling.items() if key != "json_schema"}
        free |= {"max_new_tokens": lengths[index], "ignore_eos": True}
        made.append((prompt, free))
    return made


async def serve(engine: rl.Engine, todo: list[Task], at_once: int) -> tuple[float, list[Any]]:
    """Return the seconds that the tasks took, so many at once, and their results in order."""
    gate = asyncio.Semaphore(at_once)

    async def one(prompt: str, sampling: dict[str, Any]) -> Any:
        async with gate:
            return await engine.async_generate(prompt, sampling)

    start = time.perf_counter()
    results = await asyncio.gather(*(one(*task) for task in todo))
    return time.perf_counter() - start, results


def measure(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Return seconds and tokens by engine and share."""
    constrained = tasks(options.requests, options.temperature)
    engines = {
        name: rl.Engine(disable_forced_runs=name == "off") for name in options.forced.split(",")
    }
    found: dict[str, dict[str, Any]] = {}
    lengths: dict[str, list[int]] = {}
    texts: dict[str, list[str]] = {}
    for name, engine in engines.items():
        _, results = asyncio.run(serve(engine, constrained, options.at_once))
        metas = [result["meta_info"] for result in results]
        lengths[name] = [meta["completion_tokens"] for meta in metas]
        texts[name] = [result["text"] for result in results]
        for text in texts[name]:
            json.loads(text)
        tokens = sum(lengths[name])
        forced = sum(meta["forced_tokens"] for meta in metas)
        same = sum(a == b for a, b in zip(texts[name], next(iter(texts.values())), strict=True))
        found[name] = {"tokens": tokens, "forced_tokens": forced, "seconds": {}}
        found[name]["same_texts_as_first"] = same
    times: dict[tuple[str, float], list[float]] = {}
    for _ in range(options.rounds):
        for name, engine in engines.items():
            for share in SHARES:
                todo = mixed(constrained, lengths[name], share)
                engine.flush_cache()
                seconds, _ = asyncio.run(serve(engine, todo, options.at_once))
                times.setdefault((name, share), []).append(seconds)
    for (name, share), seconds in times.items():
        found[name]["seconds"][f"{share:.0%}"] = statistics.median(seconds)
    for engine in engines.values():
        engine.shutdown()
    return found


def report(found: dict[str, dict[str, Any]], requests: int) -> None:
    """Print a row for each engine and share, and add rates and costs to what was found."""
    print("forced runs | constrained | tokens/s | documents/s | cost | forced tokens")
    for name, one in found.items():
        one["cost"], one["tokens_per_s"] = {}, {}
        free = one["seconds"]["0%"]
        for share, seconds in one["seconds"].items():
            one["tokens_per_s"][share] = round(one["tokens"] / seconds, 1)
            one["cost"][share] = round(1 - free / seconds, 4)
            print(
                f"{name:>11} | {share:>11} | {one['tokens'] / seconds:8.0f} | "
                f"{requests / seconds:11.1f} | {one['cost'][share]:4.1%} | "
                f"{one['forced_tokens'] / one['tokens']:.0%}"
            )
    for name, one in found.items():
        print(
            f"forced runs {name}: {one['same_texts_as_first']} of {requests} texts as the first's"
        )


def profile(options: argparse.Namespace) -> None:
    """Print where the scheduler's thread spends its time on constrained requests."""
    import cProfile
    import pstats
    from unittest.mock import patch

    from radixlm.runtime.scheduler.loop import Loop

    profiler, run = cProfile.Profile(), Loop.run

    def profiled(loop: Loop) -> None:
        profiler.runcall(run, loop)

    with (
        patch.object(Loop, "run", profiled),
        rl.Engine(in_process=True, disable_forced_runs=options.forced == "off") as engine,
    ):
        constrained = tasks(options.requests, options.temperature)
        for _ in range(options.rounds):
            asyncio.run(serve(engine, constrained, options.at_once))
    pstats.Stats(profiler).sort_stats("tottime").print_stats(35)


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=64)
    parser.add_argument("--at-once", type=int, default=16, help="requests in flight")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--forced", default="on,off", help="engines with forced runs on, off")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    options = parser.parse_args()
    if options.profile:
        profile(options)
        return
    found = measure(options)
    report(found, options.requests)
    if options.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
