"""Constrained decoding on real schemas and tokenizers: what is refused, what is wrong, the cost.

    RADIXLM_DATA=folder python benchmarks/maskbench.py [--tokenizer llama-3.1,qwen2.5]
        [--backend auto,llguidance,xgrammar] [--mode strict] [--limit N] [--json]
    python benchmarks/maskbench.py --keywords

Each schema of jsonschema/maskbench_sample.jsonl.xz is compiled, and each of its instances, in the
canonical form of the schema, is tokenised and fed through a matcher with a mask before every token.
An instance counts as accepted if every token was allowed, the text is complete, and the check of
what the mask leaves open (mode best_effort alone) finds nothing. The first mask is that of a
request that may generate 1,000 tokens and is sure to end within them. Times are on the clock, and
of the processor too (`cpu`), which other work on the machine does not lengthen as much. Back ends
run in a process of their own, which is ended when a schema takes longer than the time limit.

`--keywords` prints what becomes of each keyword in the official suite (tests/constrained/suite).
"""

from __future__ import annotations

import argparse
import json
import lzma
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src")]

BACKENDS, TOKENIZERS = ("auto", "llguidance", "xgrammar"), ("llama-3.1", "qwen2.5")
BUDGET = 1_000  # tokens of the request whose first mask is timed
SUITE = ROOT / "tests" / "constrained" / "suite"
DRAFTS = {
    "draft2020-12": "https://json-schema.org/draft/2020-12/schema",
    "draft7": "http://json-schema.org/draft-07/schema#",
}
LIMIT_S = 20.0  # a schema, with its instances
START_S = 120.0  # loading a tokenizer


def unpacked(folder: Path, into: Path) -> Path:
    """Return a tokenizer's folder with its files unpacked."""
    into.mkdir()
    for path in folder.iterdir():
        if path.suffix == ".xz":
            (into / path.stem).write_bytes(lzma.decompress(path.read_bytes()))
        elif path.is_file():
            shutil.copyfile(path, into / path.name)
    return into


def work(pipe: Connection, folder: str, backend: str, mode: str) -> None:
    """Answer schemas with measurements until the pipe ends: the body of a process."""
    from transformers import AutoTokenizer

    from radixlm.constrained.compiler import load_backend
    from radixlm.constrained.vocab import Vocabulary

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    stop_id = tokenizer.eos_token_id
    vocabulary = Vocabulary.from_tokenizer(tokenizer, vocab_size=len(tokenizer), stop_ids=[stop_id])
    compiler = load_backend(backend, vocabulary)
    pipe.send("ready")
    while True:
        try:
            record = pipe.recv()
        except EOFError:
            return
        pipe.send(measure(record, compiler, tokenizer, vocabulary.size, mode))


def measure(
    record: dict[str, Any], compiler: Any, tokenizer: Any, vocab_size: int, mode: Any
) -> dict[str, Any]:
    """Compile a schema and walk its instances."""
    from radixlm.constrained import GrammarError, GrammarSpec
    from radixlm.constrained.bitmask import allocate_bitmask
    from radixlm.constrained.canonical import canonical_text
    from radixlm.constrained.closing import Closing
    from radixlm.constrained.errors import BudgetError

    result: dict[str, Any] = {"refused": None, "wrong": [], "valid": 0, "invalid": 0, "mask_us": []}
    result["mask_cpu_us"] = []
    mask = allocate_bitmask(1, vocab_size)
    begun, begun_cpu = time.perf_counter(), time.thread_time()
    try:
        grammar = compiler.compile(GrammarSpec.json_schema(record["schema"], mode=mode))
    except GrammarError as error:
        result["refused"] = f"{type(error).__name__}: {error}"
        return result
    result["compile_ms"] = (time.perf_counter() - begun) * 1e3
    with suppress(BudgetError):
        Closing.of(grammar, BUDGET).fill(mask, 0)
    result["first_mask_ms"] = (time.perf_counter() - begun) * 1e3
    result["first_mask_cpu_ms"] = (time.thread_time() - begun_cpu) * 1e3
    result["is_checked"] = not grammar.contract.is_enforced
    for test in record["tests"]:
        text = canonical_text(record["schema"], test["data"])
        matcher, is_taken = grammar.matcher(), True
        for token in tokenizer.encode(text, add_special_tokens=False):
            begun, begun_cpu = time.perf_counter(), time.thread_time()
            matcher.fill(mask, 0)
            result["mask_us"].append((time.perf_counter() - begun) * 1e6)
            result["mask_cpu_us"].append((time.thread_time() - begun_cpu) * 1e6)
            if not matcher.accept(token):
                is_taken = False
                break
        is_taken = is_taken and matcher.is_accepting and not grammar.check(text)
        result["valid" if test["valid"] else "invalid"] += 1
        if is_taken != test["valid"]:
            result["wrong"].append(("valid" if test["valid"] else "invalid", text[:200]))
    return result


class Worker:
    """A process that measures, begun again when a schema takes too long."""

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=work, args=(theirs, *self._arguments), daemon=True)
        self._process.start()
        theirs.close()
        if not self._pipe.poll(START_S) or self._pipe.recv() != "ready":
            raise RuntimeError("the process that measures did not start")

    def measure(self, record: dict[str, Any]) -> dict[str, Any]:
        """Return a schema's measurements; `refused` is "time" where they took too long."""
        self._pipe.send(record)
        try:
            if self._pipe.poll(LIMIT_S):
                answer: dict[str, Any] = self._pipe.recv()
                return answer
            reason = "time"
        except EOFError:
            reason = "crash"
        self.close()
        self._start()
        return {"refused": reason, "wrong": [], "valid": 0, "invalid": 0, "mask_us": []}

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()
        self._pipe.close()


def percentiles(values: list[float]) -> dict[str, float]:
    """Return p50, p99 and p999."""
    found = np.percentile(values, [50, 99, 99.9]) if values else np.zeros(3)
    names = ("p50", "p99", "p999")
    return {name: round(float(value), 3) for name, value in zip(names, found, strict=True)}


def run(records: list[dict[str, Any]], worker: Worker, *, verbose: bool) -> dict[str, Any]:
    """Measure all schemas."""
    results = []
    for index, record in enumerate(records):
        results.append(result := worker.measure(record))
        if verbose and (result["refused"] or result["wrong"]):
            print(record["id"], result["refused"] or result["wrong"], file=sys.stderr)
        if sys.stderr.isatty():
            print(f"\r{index + 1}/{len(records)}", end="", file=sys.stderr)
    taken = [result for result in results if result["refused"] is None]
    wrong = [kind for result in taken for kind, _ in result["wrong"]]
    return {
        "schemas": len(records),
        "refused": sum(r["refused"] not in (None, "time", "crash") for r in results),
        "over_time": sum(r["refused"] in ("time", "crash") for r in results),
        "checked": sum(r["is_checked"] for r in taken),
        "valid": sum(r["valid"] for r in taken),
        "valid_rejected": wrong.count("valid"),
        "invalid": sum(r["invalid"] for r in taken),
        "invalid_accepted": wrong.count("invalid"),
        "compile_ms": percentiles([r["compile_ms"] for r in taken]),
        "first_mask_ms": percentiles([r["first_mask_ms"] for r in taken]),
        "first_mask_cpu_ms": percentiles([r["first_mask_cpu_ms"] for r in taken]),
        "mask_us": percentiles([us for r in taken for us in r["mask_us"]]),
        "mask_cpu_us": percentiles([us for r in taken for us in r["mask_cpu_us"]]),
        "masks": sum(len(r["mask_us"]) for r in taken),
    }


def table(rows: dict[str, dict[str, Any]]) -> str:
    """Return the results as a table."""
    columns = ("refused", "over_time", "checked", "valid_rejected", "invalid_accepted")
    times = ("compile_ms", "first_mask_ms", "first_mask_cpu_ms", "mask_us", "mask_cpu_us")
    lines = ["| tokenizer, back end | " + " | ".join(columns) + " | " + " | ".join(times) + " |"]
    lines.append("|---" * (len(columns) + len(times) + 1) + "|")
    for name, row in rows.items():
        cells = [str(row[column]) for column in columns]
        cells += [" / ".join(str(value) for value in row[column].values()) for column in times]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def keywords() -> str:
    """Return a table: in how many groups of the official suite a keyword is kept, and how."""
    from radixlm.constrained import Status

    found: dict[str, dict[str, Counter[str]]] = {}
    for draft, dialect in DRAFTS.items():
        with lzma.open(SUITE / f"{draft}.jsonl.xz", "rt") as lines:
            groups = [json.loads(line) for line in lines]
        for group in groups:
            schema = group["schema"]
            if isinstance(schema, dict):
                schema = {"$schema": dialect, **schema}
            for keyword, status in statuses(schema).items():
                counts = found.setdefault(keyword, {name: Counter() for name in DRAFTS})
                counts[draft][status.value] += 1
    columns = [f"{draft}: {status.value}" for draft in DRAFTS for status in Status]
    table = ["| keyword | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for keyword, drafts in sorted(found.items()):
        cells = [str(drafts[draft][status.value] or "") for draft in DRAFTS for status in Status]
        table.append(f"| `{keyword}` | " + " | ".join(cells) + " |")
    return "\n".join(table)


def statuses(schema: Any) -> dict[str, Any]:
    """Return the worst status of each keyword of a schema."""
    from radixlm.constrained import GrammarError, Status
    from radixlm.constrained.normal import normalise

    order = list(Status)
    try:
        findings = normalise(schema).contract
    except GrammarError as error:
        return {(error.pointer or "").rpartition("/")[2] or "(the schema)": Status.REFUSED}
    worst: dict[str, Any] = {}
    for finding in findings:
        known = worst.get(finding.keyword, Status.ENFORCED)
        worst[finding.keyword] = max(known, finding.status, key=order.index)
    return worst


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tokenizer", default=",".join(TOKENIZERS))
    parser.add_argument("--backend", default=",".join(BACKENDS))
    parser.add_argument("--mode", choices=("strict", "best_effort"), default="strict")
    parser.add_argument("--limit", type=int, help="every n-th schema, so that N are measured")
    parser.add_argument("--verbose", action="store_true", help="name what is refused or wrong")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--keywords", action="store_true", help="a table of the official suite")
    options = parser.parse_args()
    if options.keywords:
        print(keywords())
        return
    if "RADIXLM_DATA" not in os.environ:
        sys.exit("set RADIXLM_DATA to the folder with tokenizers/ and jsonschema/")
    data = Path(os.environ["RADIXLM_DATA"])
    with lzma.open(data / "jsonschema" / "maskbench_sample.jsonl.xz", "rt") as lines:
        records = [json.loads(line) for line in lines]
    if options.limit:
        records = records[:: max(1, len(records) // options.limit)][: options.limit]
    rows: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for name in options.tokenizer.split(","):
            folder = unpacked(data / "tokenizers" / name, Path(temporary) / name)
            for backend in options.backend.split(","):
                worker = Worker(str(folder), backend, options.mode)
                rows[f"{name}, {backend}"] = run(records, worker, verbose=options.verbose)
                worker.close()
    print(f"times: p50 / p99 / p99.9; mode {options.mode}; {len(records)} schemas")
    print(table(rows))
    if options.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
