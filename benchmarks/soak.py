"""Half an hour of everything at once, and then: is all memory back?

    python benchmarks/soak.py [--minutes 30] [--json]

Clients come at random and share prefixes, are cut off, pin and unpin, and flush, on an engine whose
pool is too small for them: almost all of it is in use throughout. At the end nothing may be leased
or pinned, `free + cached` must be the pool, the process may not have grown after its warm-up,
and no client may have waited without a token moving.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src")]

from radixlm.ir import loop  # noqa: E402
from radixlm.runtime.desk.desk import Desk  # noqa: E402
from radixlm.runtime.errors import InvalidRequestError, NotFoundError  # noqa: E402
from radixlm.runtime.offline import Engine  # noqa: E402
from radixlm.runtime.request import SamplingParams  # noqa: E402

POOL = 4096  # slots; clients want several times as many
CLIENTS = 24
CONTEXT = 1024
PREFIXES = 40  # that clients share
VOCAB = 400  # ids that prompts are made of: every model has them
PIN_NAMES = 6
WATCH_S = 0.25
WARM_UP_SHARE = 0.25  # of the time, before memory counts
MAX_GROWTH_BYTES = 24 << 20
MAX_STALL_S = 10.0  # without a token, while requests are open


@dataclass
class Report:
    """What happened."""

    seconds: float = 0
    finished: int = 0
    cut_off: int = 0
    refused: int = 0  # pins left no room for them
    pins: int = 0
    unpins: int = 0
    pins_refused: int = 0
    flushes: int = 0  # that were carried out
    tokens: int = 0  # generated
    median_pool_use: float = 0
    unbalanced: int = 0  # looks at a pool that did not add up
    longest_stall_s: float = 0
    grown_bytes: int = 0  # resident memory, from warm-up to the end
    left: dict[str, int] = field(default_factory=dict[str, int])  # slots after the last client
    faults: list[str] = field(default_factory=list[str])


class Soak:
    """Clients on one desk until a time, and a watch over them."""

    def __init__(self, desk: Desk, seconds: float, seed: int) -> None:
        self.report = Report(seconds=seconds)
        self._desk, self._random = desk, random.Random(seed)
        self._prefixes = [self._words(self._random.randint(50, 500)) for _ in range(PREFIXES)]
        self._begun = time.monotonic()
        self._open = asyncio.Event()  # closed for a moment before a flush, which needs silence
        self._open.set()

    async def run(self) -> Report:
        """Run it all, then count what is left."""
        await asyncio.gather(
            self._watch(),
            self._pinner(),
            self._flusher(),
            *(self._client() for _ in range(CLIENTS)),
        )
        for pin in await self._desk.pins():
            await self._desk.unpin(pin.name)
        state = await self._desk.state()
        report = self.report
        report.left = {
            name: getattr(state, name)
            for name in ("pool", "free", "cached", "leased", "pinned", "running", "waiting")
        }
        report.tokens = state.generated_tokens
        report.faults = faults(report)
        return report

    @property
    def _elapsed_s(self) -> float:
        return time.monotonic() - self._begun

    @property
    def _is_over(self) -> bool:
        return self._elapsed_s >= self.report.seconds

    def _words(self, count: int) -> list[int]:
        return [self._random.randrange(3, VOCAB) for _ in range(count)]

    async def _client(self) -> None:
        """Ask again and again; leave one request in five before it has ended."""
        draw = self._random
        while not self._is_over:
            await self._open.wait()
            tokens = draw.choice(self._prefixes) + self._words(draw.randint(1, 60))
            sampling = SamplingParams(
                max_new_tokens=draw.randint(1, 80),
                temperature=draw.choice([0.0, 1.0]),
                ignore_eos=True,
                presence_penalty=draw.choice([0.0, 0.0, 0.5]),
            )
            leaves_after_s = draw.expovariate(2) if draw.random() < 0.2 else None
            with self._desk.submit(tokens, sampling) as stream:
                try:
                    async with asyncio.timeout(leaves_after_s):
                        await self._desk.finish(stream)
                except TimeoutError:
                    self.report.cut_off += 1
                else:
                    aborted = stream.finish is not None and stream.finish.type == "abort"
                    self.report.refused += aborted
                    self.report.finished += not aborted
            await asyncio.sleep(draw.expovariate(20))

    async def _pinner(self) -> None:
        """Pin prefixes under a few names, replace pins, let some go."""
        draw = self._random
        while not self._is_over:
            await self._open.wait()
            name = f"pin-{draw.randrange(PIN_NAMES)}"
            try:
                if draw.random() < 0.7:
                    await self._desk.pin(
                        name, draw.choice(self._prefixes), ttl_s=draw.choice([None, 2.0])
                    )
                    self.report.pins += 1
                else:
                    await self._desk.unpin(name)
                    self.report.unpins += 1
            except (InvalidRequestError, NotFoundError):  # over the quota; not there any more
                self.report.pins_refused += 1
            await asyncio.sleep(draw.expovariate(5))

    async def _flusher(self) -> None:
        """Flush while all is in use, which is refused, and then in a moment of silence."""
        while not self._is_over:
            await asyncio.sleep(self._random.uniform(5, 10))
            self.report.flushes += await self._desk.flush_cache()
            self._open.clear()
            while self._desk.open_requests and not self._is_over:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)  # the last abort is on its way
            self.report.flushes += await self._desk.flush_cache()
            self._open.set()

    async def _watch(self) -> None:
        """Look at pool, progress and memory every quarter of a second."""
        tokens, moved_at, uses, warm = -1, time.monotonic(), list[float](), 0
        while not self._is_over:
            await asyncio.sleep(WATCH_S)
            state = await self._desk.state()
            if state.generated_tokens != tokens or not self._desk.open_requests:
                tokens, moved_at = state.generated_tokens, time.monotonic()
            stalled_s = time.monotonic() - moved_at
            self.report.longest_stall_s = max(self.report.longest_stall_s, round(stalled_s, 2))
            uses.append(1 - state.free / state.pool)
            if state.free + state.cached + state.leased != state.pool:
                self.report.unbalanced += 1
            if self._elapsed_s > WARM_UP_SHARE * self.report.seconds:
                warm = warm or resident_bytes()
                self.report.grown_bytes = resident_bytes() - warm
        self.report.median_pool_use = round(statistics.median(uses), 3)


def faults(report: Report) -> list[str]:
    """Say what must not be so."""
    left = report.left
    rules = {
        "slots are still leased": left["leased"] == 0,
        "pins are still there": left["pinned"] == 0,
        "requests are still there": left["running"] == left["waiting"] == 0,
        "free and cached slots are not the pool": left["free"] + left["cached"] == left["pool"],
        "free, cached and leased slots were not the pool": report.unbalanced == 0,
        f"memory grew by more than {MAX_GROWTH_BYTES} bytes": report.grown_bytes
        <= MAX_GROWTH_BYTES,
        f"no token moved for {MAX_STALL_S} s": report.longest_stall_s <= MAX_STALL_S,
        "the pool was hardly used": report.median_pool_use >= 0.9,
        "something never happened": all(
            (report.finished, report.cut_off, report.pins, report.unpins, report.flushes)
        ),
    }
    return [name for name, holds in rules.items() if not holds]


def resident_bytes() -> int:
    """Return what this process holds of the machine's memory; Linux tells."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def soak(seconds: float, *, seed: int = 0, **settings: Any) -> Report:
    """Run on an engine of its own, with these settings, and report."""
    sizes = {"max_total_tokens": POOL, "context_length": CONTEXT}
    with Engine(in_process=True, **sizes, **settings) as engine:

        async def run() -> Report:
            return await Soak(engine.desk, seconds, seed).run()

        return loop.wait(run())


def main() -> None:
    """Soak from the command line; the exit code is 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    options = parser.parse_args()
    report = soak(60 * options.minutes)
    for name, value in asdict(report).items():
        print(f"{name:18} {value}")
    if options.json:
        print(json.dumps(asdict(report)))
    sys.exit(bool(report.faults))


if __name__ == "__main__":
    main()
