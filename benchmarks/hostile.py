"""Hostile grammars against a live server: does each get its own answer, do the neighbours notice?

    python benchmarks/hostile.py [--rounds 6] [--quiet 8] [--only NAME] [--json]

A server with the shipped model, as `radixlm serve` starts it, has a few clients that pause between
requests: plain ones, ones with a schema that it knows, and ones with a schema that it has not met.
In turns the clients are alone, and strangers send the grammars of `hostile_grammars.py`. Each
must be answered, by a 4xx that says why or by a text. What the neighbours notice is the ratio of
their latencies in both halves of the turns. Behind each turn they are alone once more: the ratio of
both times alone is the noise, which says how much another ratio means on this machine.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "benchmarks")]

from hostile_grammars import grammars  # noqa: E402
from processes import family  # noqa: E402

from radixlm.lang.backends.server_process import Runtime  # noqa: E402

KINDS = ("plain", "known schema", "new schema")
MAX_RATIO = 1.5  # of the neighbours' p99
TOKENS = 32  # of a text, neighbours' and strangers'
PATIENCE_S = 120.0
PROMPTS = [f"Question {number}: what is the capital of the country? " for number in range(7)]


@dataclass
class Answer:
    """What became of one hostile grammar."""

    name: str
    status: int  # of HTTP; 0: none came in time
    seconds: float
    said: str  # the error, or how the text ended

    @property
    def is_own(self) -> bool:
        """Whether it is an answer to this very grammar: a 4xx with words, or a text."""
        return self.status == 200 or (400 <= self.status < 500 and bool(self.said))


@dataclass
class Report:
    """What one run found; latencies in seconds by kind of neighbour."""

    answers: list[Answer] = field(default_factory=list[Answer])
    quiet: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    hostile: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    again: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    failed: list[str] = field(default_factory=list[str])  # neighbours' requests
    memory_mb: dict[str, int] = field(default_factory=dict[str, int])  # of the server's processes
    grammars: dict[str, Any] = field(default_factory=dict[str, Any])  # as the server counts them

    def ratios(self, kinds: Iterable[str] = KINDS) -> dict[str, float]:
        """Return p50 and p99 beside strangers over those alone."""
        return ratios(self.hostile, self.quiet, list(kinds))

    def noise(self, kinds: Iterable[str] = KINDS) -> dict[str, float]:
        """Return the same of one time alone over the other."""
        return ratios(self.again, self.quiet, list(kinds))


def ratios(
    one: dict[str, list[float]], other: dict[str, list[float]], kinds: list[str]
) -> dict[str, float]:
    """Return p50 and p99 of some latencies over those of others."""
    over, under = ([value for kind in kinds for value in each[kind]] for each in (one, other))
    return {
        f"p{share}": round(percentile(over, share) / percentile(under, share), 2)
        for share in (50, 99)
    }


def percentile(values: list[float], share: float) -> float:
    """Return the value that `share` % are not above."""
    return sorted(values)[min(int(len(values) * share / 100), len(values) - 1)]


class Neighbours:
    """Clients with ordinary wishes, who pause between them."""

    def __init__(self, session: aiohttp.ClientSession, url: str, pause_s: float) -> None:
        self._session = session
        self._url = url
        self._pause_s = pause_s
        self._numbers = itertools.count()
        self.latencies: dict[str, list[float]] = {}
        self.failed: list[str] = []

    @asynccontextmanager
    async def busy(self, clients: int, into: dict[str, list[float]]) -> AsyncIterator[None]:
        """Let them ask while the block runs."""
        self.latencies = into
        tasks = [asyncio.create_task(self._ask_on(random.Random(n))) for n in range(clients)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask_on(self, rng: random.Random) -> None:
        for kind in itertools.cycle(KINDS):
            await asyncio.sleep(self._pause_s * rng.uniform(0.5, 1.5))
            await self.ask(kind)

    async def ask(self, kind: str) -> None:
        """Ask once, and note how long it took."""
        number = next(self._numbers)
        params: dict[str, Any] = {"max_new_tokens": TOKENS, "ignore_eos": kind == "plain"}
        if kind != "plain":
            params["json_schema"] = json.dumps(schema(number if kind == "new schema" else 0))
        body = {"text": PROMPTS[number % len(PROMPTS)], "sampling_params": params}
        begun = time.perf_counter()
        async with self._session.post(f"{self._url}/generate", json=body) as response:
            said = await response.text()
        self.latencies[kind].append(time.perf_counter() - begun)
        if response.status != 200:
            self.failed.append(f"{kind}: {response.status} {said[:200]}")


def schema(number: int) -> dict[str, Any]:
    """Return an ordinary schema; another for each number."""
    properties = {
        f"first_name_{number}": {"type": "string", "pattern": "^[a-z]{3,12}$"},
        "age": {"type": "integer", "minimum": 0, "maximum": 99},
    }
    return {"type": "object", "properties": properties, "required": list(properties)}


async def attack(session: aiohttp.ClientSession, url: str, name: str, params: Any) -> Answer:
    """Send one hostile grammar."""
    sampling = {"max_new_tokens": TOKENS, **params}
    body = {"text": "Anything: ", "sampling_params": sampling}
    begun = time.perf_counter()
    try:
        async with session.post(f"{url}/generate", json=body) as response:
            answer = await response.json()
    except (TimeoutError, aiohttp.ClientError) as error:
        return Answer(name, 0, time.perf_counter() - begun, repr(error))
    seconds = time.perf_counter() - begun
    if response.status == 200:
        return Answer(name, 200, seconds, answer["meta_info"]["finish_reason"]["type"])
    return Answer(name, response.status, seconds, answer["error"]["message"])


async def measure(url: str, wanted: dict[str, Any], options: argparse.Namespace) -> Report:
    """Let quiet and hostile halves take turns."""
    report = Report()
    turns = [list(wanted.items())[turn :: options.rounds] for turn in range(options.rounds)]
    timeout = aiohttp.ClientTimeout(PATIENCE_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        neighbours = Neighbours(session, url, options.pause)
        for kind in KINDS * 3:  # nobody counts the first compile, nor the first pass
            neighbours.latencies = {each: [] for each in KINDS}
            await neighbours.ask(kind)
        for turn in turns:
            async with neighbours.busy(options.clients, report.quiet):
                await asyncio.sleep(options.quiet)
            async with neighbours.busy(options.clients, report.hostile):
                report.answers += await _attacks(session, url, turn, options.strangers)
            async with neighbours.busy(options.clients, report.again):
                await asyncio.sleep(options.quiet)
        report.failed = neighbours.failed
        async with session.get(f"{url}/health") as health:
            if health.status != 200:
                report.failed.append(f"health: {health.status}")
        async with session.get(f"{url}/get_server_info") as info:
            state = (await info.json())["internal_states"][0]
        report.grammars = state.get("grammars", {})
    return report


async def _attacks(
    session: aiohttp.ClientSession, url: str, turn: list[tuple[str, Any]], at_once: int
) -> list[Answer]:
    gate = asyncio.Semaphore(at_once)

    async def one(name: str, params: Any) -> Answer:
        async with gate:
            return await attack(session, url, name, params)

    return await asyncio.gather(*(one(name, params) for name, params in turn))


def run(options: argparse.Namespace) -> Report:
    """Start a server, and measure."""
    wanted = {name: one for name, one in grammars().items() if options.only in name}
    settings = {} if options.model_path is None else {"model_path": options.model_path}
    with (  # a folder of its own: nothing is known from the run before
        tempfile.TemporaryDirectory(prefix="radixlm-hostile") as folder,
        Runtime(port=31400, cache_dir=folder, **settings) as runtime,
    ):
        report = asyncio.run(measure(runtime.url, wanted, options))
        pid = runtime.endpoint.get_server_info()["pid"]
        report.memory_mb = {
            f"{one.name} {one.pid}": one.resident_bytes >> 20 for one in family(pid)
        }
    return report


def show(report: Report) -> None:
    """Print a row for each grammar, then what the neighbours noticed."""
    for answer in report.answers:
        print(f"{answer.name:34} {answer.status:4} {answer.seconds:7.2f} s  {answer.said[:110]!r}")
    for kind in KINDS:
        for half in ("quiet", "hostile", "again"):
            values = getattr(report, half)[kind]
            times = "  ".join(f"p{p} {percentile(values, p) * 1e3:7.1f} ms" for p in (50, 99, 100))
            print(f"{kind:13} {half:8} {len(values):5} requests  {times}")
        print(f"{kind:13} ratio    {report.ratios([kind])}, noise {report.noise([kind])}")
    failed = report.failed[:3] or "none"
    print(f"all of them: {report.ratios()}, noise {report.noise()}, failed: {failed}")
    print(f"MB: {report.memory_mb}\ngrammars: {report.grammars}, load {os.getloadavg()[0]:.1f}")


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    made.add_argument("--rounds", type=int, default=6, help="turns of quiet and hostile halves")
    made.add_argument("--quiet", type=float, default=8.0, help="seconds of a quiet half")
    made.add_argument("--clients", type=int, default=3, help="neighbours at once")
    made.add_argument("--pause", type=float, default=0.1, help="seconds between their requests")
    made.add_argument("--strangers", type=int, default=2, help="hostile grammars at once")
    made.add_argument("--only", default="", help="the grammars with this in their names")
    made.add_argument("--model-path", help="in place of the shipped model")
    made.add_argument("--json", action="store_true", help="end with one line of JSON")
    return made


def main() -> None:
    """Measure from the command line; fails when a grammar has no answer of its own."""
    options = parser().parse_args()
    report = run(options)
    show(report)
    if options.json:
        found = {
            "answers": [asdict(answer) for answer in report.answers],
            "ratio": report.ratios(),
            "ratio_by_kind": {kind: report.ratios([kind]) for kind in KINDS},
            "noise": report.noise(),
            "noise_by_kind": {kind: report.noise([kind]) for kind in KINDS},
            "failed": report.failed,
            "holds": report.ratios()["p99"] <= MAX_RATIO,
        }
        print(json.dumps(found))
    sys.exit(not all(answer.is_own for answer in report.answers) or bool(report.failed))


if __name__ == "__main__":
    main()
