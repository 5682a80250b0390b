"""Constrained documents are whole at every budget: random weights, high temperature, tight limits.

    RADIXLM_DATA=folder python benchmarks/complete.py [--generations 2000] [--schemas 400]
        [--tokenizer shipped,qwen2.5,llama-3.1] [--seed 0] [--json]
        [--whitespace flexible] [--property-order any]

Schemas are sampled from jsonschema/maskbench_sample.jsonl.xz. Of each the engine's refusal of an
empty budget states the minimum; then documents are generated at temperature 1.5, by a one-layer
model with random weights, with budgets from the minimum up: it, up to 8 tokens more, up to twice
it, up to 200 tokens more. Each must be valid by `jsonschema` under the schema as it was given,
whole, and within its budget; and one token less than the minimum must be refused. Without
RADIXLM_DATA a few schemas of our own stand in, on the shipped tokenizer.

What the guarantee costs is timed inside: `admits` and `narrowed` of every match, against the number
of tokens, and the analyses of grammars, once a schema.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import lzma
import os
import random
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "benchmarks")]

import jsonschema  # noqa: E402
import numpy as np  # noqa: E402
from maskbench import unpacked  # noqa: E402

from radixlm.constrained import analysis, closing  # noqa: E402
from radixlm.constrained.errors import GrammarError  # noqa: E402
from radixlm.runtime.errors import EngineError  # noqa: E402
from radixlm.runtime.offline import Engine  # noqa: E402

TOKENIZERS = ("shipped", "qwen2.5", "llama-3.1")
CONCURRENT = 16
MAX_MINIMUM = 600  # tokens; longer documents would take most of the time
OWN: list[Any] = [
    {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
    {"type": "array", "items": {"type": "number"}, "minItems": 2},
    {"$ref": "#/$defs/n", "$defs": {"n": {"properties": {"l": {"$ref": "#/$defs/n"}}}}},
    {"enum": ["red", "green", {"no": [1, 2]}]},
    {"type": "string", "pattern": "^[a-f0-9]{8}-[0-9]{4}$"},
    {"anyOf": [{"type": "integer", "minimum": 10}, {"type": "boolean"}, {"type": "null"}]},
]


class Clock:
    """Times calls of functions that it is put around."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}

    def around(self, owner: Any, name: str) -> None:
        """Time a method of a class from now on."""
        call: Callable[..., Any] = getattr(owner, name)
        spent = self.seconds.setdefault(name, [])

        def timed(*arguments: Any, **options: Any) -> Any:
            begun = time.perf_counter()
            try:
                return call(*arguments, **options)
            finally:
                spent.append(time.perf_counter() - begun)

        setattr(owner, name, timed)

    def percentiles(self, name: str, unit: float) -> list[float]:
        """Return p50, p90 and p99 of a function's calls."""
        found = np.quantile(self.seconds[name] or [0.0], [0.5, 0.9, 0.99]) / unit
        return [round(float(value), 3) for value in found]


def write_model(name: str, folder: Path) -> None:
    """Write a one-layer model with random weights and a real tokenizer."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    if name == "shipped":
        folder.mkdir()
        for path in (ROOT / "runtime" / "shipped").glob("*token*"):
            shutil.copyfile(path, folder / path.name)
    else:
        unpacked(Path(os.environ["RADIXLM_DATA"]) / "tokenizers" / name, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=4096,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=True,
        initializer_range=0.3,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)


def schemas(count: int, rng: random.Random) -> list[Any]:
    """Sample schemas, or return our own without the folder of data."""
    if "RADIXLM_DATA" not in os.environ:
        return OWN
    path = Path(os.environ["RADIXLM_DATA"]) / "jsonschema" / "maskbench_sample.jsonl.xz"
    with lzma.open(path, "rt") as lines:
        found = [json.loads(line)["schema"] for line in lines]
    return rng.sample(found, min(count, len(found)))


def budgets(least: int, rng: random.Random) -> Iterator[int]:
    """Yield budgets from the minimum up, without end."""
    yield least
    while True:
        yield least + rng.randint(0, 8)
        yield least + rng.randint(0, least)
        yield least + rng.randint(0, 200)


class Run:
    """Generations on one engine, and what became of them."""

    def __init__(self, engine: Engine, rng: random.Random, layout: dict[str, str]) -> None:
        self.engine = engine
        self.rng = rng
        self.layout = layout
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._gate = asyncio.Semaphore(CONCURRENT)

    async def schema(self, schema: Any, generations: int) -> None:
        """Generate documents of one schema."""
        text = json.dumps(schema)
        least = await self._minimum(text)
        if least is None:
            return
        self.counts["schemas"] += 1
        if least > 0:
            stated = await self._minimum(text, least - 1)
            self.counts["refused_below"] += stated == least
        choose = budgets(least, self.rng)
        await asyncio.gather(
            *(self._document(schema, text, max(next(choose), 1)) for _ in range(generations))
        )

    async def _minimum(self, text: str, budget: int = 0) -> int | None:
        """Return the minimum that the refusal of a budget states."""
        try:
            async with self._gate:
                params = {"max_new_tokens": budget, "json_schema": text, **self.layout}
                await self.engine.async_generate("x", params)
        except GrammarError as error:
            found = re.search(r"a complete text needs (\d+) tokens", error.reason)
            if found is None:
                self.counts["schemas_refused"] += 1
                return None
            least = int(found[1])
            if least > MAX_MINIMUM:
                self.counts["schemas_too_long"] += 1
                return None
            return least
        self.counts["schemas_without_minimum"] += 1
        return None

    async def _document(self, schema: Any, text: str, budget: int) -> None:
        params = {
            "max_new_tokens": budget,
            "temperature": 1.5,
            "json_schema": text,
            "sampling_seed": self.rng.getrandbits(32),
            **self.layout,
        }
        try:
            async with self._gate:
                result = await self.engine.async_generate("Write:", params)
        except EngineError as error:
            self.counts["lost_to_the_back_end"] += 1
            self.wrong.append(f"{error}: {text[:200]}")
            return
        meta = result["meta_info"]
        self.counts["generations"] += 1
        self.counts["tokens"] += meta["completion_tokens"]
        self.counts["closed_by_budget"] += "closed_by_budget" in meta
        self.counts["indented"] += "\n" in result["text"]
        self.counts["within_budget"] += meta["completion_tokens"] <= budget
        try:
            jsonschema.validate(json.loads(result["text"]), schema)
        except (ValueError, jsonschema.ValidationError) as error:
            self.wrong.append(f"{error!s:.100}: {result['text'][:200]!r} under {text[:200]}")
        else:
            self.counts["valid_and_whole"] += 1


def measure(
    name: str, generations: int, count: int, seed: int, layout: dict[str, str]
) -> dict[str, Any]:
    """Generate with one tokenizer; return counts and costs."""
    rng = random.Random(seed)
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder, _restored():
        path = Path(folder) / name
        write_model(name, path)
        for owner, method in (
            (closing.Closing, "admits"),
            (closing.Closing, "narrowed"),
            (analysis.Analysis, "__init__"),
        ):
            clock.around(owner, method)
        with Engine(model_path=str(path), in_process=True, max_total_tokens=40_000) as engine:
            run = Run(engine, rng, layout)
            chosen = schemas(count, rng)
            begun = time.perf_counter()
            asyncio.run(_all(run, chosen, generations))
            elapsed = time.perf_counter() - begun
    tokens = max(run.counts["tokens"], 1)
    spent = sum(clock.seconds["admits"]) + sum(clock.seconds["narrowed"])
    return {
        "tokenizer": name,
        **run.counts,
        "cost_us_per_token": round(spent / tokens * 1e6, 1),
        "admits_us": clock.percentiles("admits", 1e-6),
        "narrowed_ms": clock.percentiles("narrowed", 1e-3),
        "narrowed_calls": len(clock.seconds["narrowed"]),
        "analysis_ms": clock.percentiles("__init__", 1e-3),
        "elapsed_s": round(elapsed, 1),
        "wrong": run.wrong,
    }


async def _all(run: Run, chosen: list[Any], generations: int) -> None:
    """Go through the schemas, a few at once, until there are enough generations."""
    each = max(1, -(-generations // len(chosen)))
    for index in range(0, len(chosen), 4):
        part = chosen[index : index + 4]
        await asyncio.gather(*(run.schema(schema, each) for schema in part))
        if run.counts["generations"] >= generations:
            return


class _restored:
    """Takes the clock off again."""

    def __enter__(self) -> None:
        self._methods = [
            (closing.Closing, "admits", closing.Closing.admits),
            (closing.Closing, "narrowed", closing.Closing.narrowed),
            (analysis.Analysis, "__init__", analysis.Analysis.__init__),
        ]

    def __exit__(self, *_: object) -> None:
        for owner, name, method in self._methods:
            setattr(owner, name, method)


def main(arguments: list[str] | None = None) -> list[dict[str, Any]]:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generations", type=int, default=2000, help="over all tokenizers")
    parser.add_argument("--schemas", type=int, default=400, help="sampled for each tokenizer")
    parser.add_argument("--tokenizer", default=None, help="names with commas between")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--whitespace", default="compact")
    parser.add_argument("--property-order", default="declared")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    named = TOKENIZERS if "RADIXLM_DATA" in os.environ else TOKENIZERS[:1]
    names = options.tokenizer.split(",") if options.tokenizer else named
    share = -(-options.generations // len(names))
    layout = {"whitespace": options.whitespace, "property_order": options.property_order}
    results = [measure(name, share, options.schemas, options.seed, layout) for name in names]
    for result in results:
        print(" · ".join(f"{key} {value}" for key, value in result.items() if key != "wrong"))
        for line in result["wrong"][:10]:
            print("  wrong:", line)
    if options.json:
        print(json.dumps({"tokenizers": results}))
    return results


if __name__ == "__main__":
    main()
