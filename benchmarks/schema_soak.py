"""Many distinct schemas through one compiler: does its memory stay flat?

    python benchmarks/schema_soak.py [--schemas 20000] [--json]

Schemas are drawn at random and all differ; each is compiled for the shipped model's tokenizer, and
a text is begun under it, so that its automaton grows as in use. The compiler keeps the most
recently used. Memory counts from a quarter of the way on, when what it keeps is full: of this
process, and of those that compile for it.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import sys
import time
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "benchmarks")]

from processes import family  # noqa: E402

from radixlm.constrained.bitmask import allocate_bitmask  # noqa: E402
from radixlm.constrained.compiler import GrammarCompiler  # noqa: E402
from radixlm.constrained.errors import GrammarError  # noqa: E402
from radixlm.constrained.spec import GrammarSpec  # noqa: E402
from radixlm.runtime.config import ModelConfig  # noqa: E402
from radixlm.runtime.tokenizer import MAX_CACHED_GRAMMARS, load_tokenizer  # noqa: E402

WARM_UP_SHARE = 0.25
MAX_GROWTH_BYTES = 24 << 20
VOCAB = 4096  # of the shipped model
STOP_ID = 0
STEPS = 12  # tokens of a text that is begun under each schema


@dataclass
class Report:
    """What happened."""

    schemas: int = 0
    refused: int = 0
    seconds: float = 0
    warm_bytes: int = 0
    end_bytes: int = 0
    workers_warm_bytes: int = 0
    workers_end_bytes: int = 0
    resident_mb: list[int] = field(default_factory=list[int])  # at each twentieth of the way

    @property
    def growth_bytes(self) -> int:
        """Of this process, after its warm-up."""
        return self.end_bytes - self.warm_bytes

    @property
    def workers_growth_bytes(self) -> int:
        """Of the others, after the warm-up."""
        return self.workers_end_bytes - self.workers_warm_bytes

    @property
    def is_flat(self) -> bool:
        """Whether nothing has grown by more than chance."""
        return max(self.growth_bytes, self.workers_growth_bytes) <= MAX_GROWTH_BYTES


def main() -> None:
    """Soak from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--schemas", type=int, default=20_000)
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    options = parser.parse_args()
    report = soak(options.schemas)
    found = {
        **asdict(report),
        "growth_bytes": report.growth_bytes,
        "workers_growth_bytes": report.workers_growth_bytes,
        "flat": report.is_flat,
    }
    for name, value in found.items():
        print(f"{name:20} {value}")
    if options.json:
        print(json.dumps(found))
    sys.exit(not report.is_flat)


def soak(count: int, *, max_cached: int = MAX_CACHED_GRAMMARS) -> Report:
    """Compile `count` distinct schemas with a compiler that keeps so many."""
    rng = random.Random(5)
    report = Report(schemas=count)
    tokenizer = load_tokenizer(ModelConfig())
    vocabulary = tokenizer.vocabulary(VOCAB, [STOP_ID])
    mask = allocate_bitmask(1, VOCAB)
    began = time.monotonic()
    with closing(GrammarCompiler(vocabulary, max_cached=max_cached)) as compiler:
        for index in range(count):
            if index == int(count * WARM_UP_SHARE):
                report.warm_bytes, report.workers_warm_bytes = resident_bytes()
            if index % max(count // 20, 1) == 0:
                report.resident_mb.append(resident_bytes()[0] >> 20)
            source = {"title": f"schema {index}", **schema_of(rng, 3)}
            try:
                matcher = compiler.compile(GrammarSpec.json_schema(source)).matcher()
            except GrammarError:
                report.refused += 1
                continue
            for _ in range(STEPS):
                matcher.fill(mask, 0)
                allowed = [word * 32 + bit for word, bit in set_bits(mask[0].tolist(), rng)]
                if not allowed or not matcher.accept(allowed[0]) or matcher.is_finished:
                    break
        report.end_bytes, report.workers_end_bytes = resident_bytes()
    report.seconds = round(time.monotonic() - began, 1)
    return report


def set_bits(words: list[int], rng: random.Random) -> list[tuple[int, int]]:
    """Return the place of one set bit of a mask, drawn at random; nothing where there is none."""
    places = [index for index, word in enumerate(words) if word]
    if not places:
        return []
    word = rng.choice(places)
    return [(word, rng.choice([bit for bit in range(32) if words[word] >> bit & 1]))]


def schema_of(rng: random.Random, depth: int) -> dict[str, Any]:
    """Draw a schema."""
    kinds = ["string", "pattern", "integer", "enum", "boolean"] + ["object", "array"] * (depth > 0)
    match rng.choice(kinds) if depth < 3 else "object":
        case "string":
            return {"type": "string", "maxLength": rng.randint(1, 60)}
        case "pattern":
            return {
                "type": "string",
                "pattern": f"^[a-{rng.choice('fmz')}]{{1,{rng.randint(2, 20)}}}$",
            }
        case "integer":
            return {
                "type": "integer",
                "minimum": rng.randint(-50, 0),
                "maximum": rng.randint(1, 9999),
            }
        case "enum":
            return {"enum": [f"option {rng.randint(0, 999)}" for _ in range(rng.randint(1, 6))]}
        case "boolean":
            return {"type": "boolean"}
        case "array":
            return {
                "type": "array",
                "items": schema_of(rng, depth - 1),
                "maxItems": rng.randint(1, 5),
            }
        case _:
            names = [f"field_{rng.randint(0, 99)}" for _ in range(rng.randint(1, 5))]
            parts = {name: schema_of(rng, depth - 1) for name in names}
            return {"type": "object", "properties": parts, "required": sorted(parts)[:2]}


def resident_bytes() -> tuple[int, int]:
    """Return the memory in use by this process, and by those that it has started."""
    gc.collect()
    own, *others = sorted(family(os.getpid()), key=lambda one: one.pid != os.getpid())
    return own.resident_bytes, sum(one.resident_bytes for one in others)


if __name__ == "__main__":
    main()
