"""What a step of the scheduler costs besides the model's forward pass.

The real loop, scheduler, cache, sampler and messages; the model is replaced by a tensor of logits.
Choosing the tokens is told apart: it is the device's work, a CPU's here.

    python benchmarks/step.py [--json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import Any, cast

import torch

from radixlm.constrained.compiler import GrammarCompiler
from radixlm.runtime.config import CacheConfig, EngineConfig
from radixlm.runtime.engine.inputs import Inputs, Staging
from radixlm.runtime.engine.runner import Runner
from radixlm.runtime.engine.sampler import Sampler
from radixlm.runtime.ipc import SchedulerEnd
from radixlm.runtime.messages import Progress, Submit
from radixlm.runtime.request import RequestId, SamplingParams
from radixlm.runtime.scheduler.loop import Loop

VOCAB, PROMPT, STEPS = 4096, 64, 200


class TimedSampler(Sampler):
    """Knows how long it took in all."""

    seconds = 0.0

    def draw(self, *arguments: Any) -> Any:
        start = time.perf_counter()
        tokens = super().draw(*arguments)
        self.seconds += time.perf_counter() - start
        return tokens


class NoModel:
    """Answers every pass with the same logits."""

    vocab_size, context_length, num_slots, host_pool = VOCAB, 4096, 1 << 18, None
    is_asynchronous = False

    def __init__(self) -> None:
        self.sampler = TimedSampler(cpu_kernels=True)
        self.device = torch.device("cpu")
        self._staging = Staging(self.device)
        self._logits = torch.randn(1 << 10, VOCAB)

    def forward(self, rows: Any, decodes: Any = None, drawn: Any = None) -> torch.Tensor:
        Inputs.build(rows, self._staging, decodes)
        wanted = sum(len(row.tokens) - row.logits_from for row in rows)
        return self._logits[: wanted + (len(decodes.tokens) if decodes else 0)]


class NoDesk:
    """Encodes what it is told and drops it."""

    def __init__(self) -> None:
        self.inbox: list[Submit] = []

    def receive(self, timeout_ms: int) -> list[Submit]:
        messages, self.inbox = self.inbox, []
        return messages

    def send(self, message: Progress) -> None:
        from radixlm.runtime.ipc import _encoder

        _encoder.encode(message)


def measure(batch: int, sampling: SamplingParams) -> tuple[float, float]:
    """Return the microseconds of a decoding step of `batch` sequences, medians of many.

    The loop's own first, then those of choosing the tokens.
    """
    desk, model = NoDesk(), NoModel()
    config = EngineConfig(cache=CacheConfig(max_total_tokens=NoModel.num_slots))
    loop = Loop(
        config,
        cast(Runner, model),
        cast(GrammarCompiler, None),
        cast(SchedulerEnd, desk),
    )
    for index in range(batch):
        tokens = [(index * 31 + i) % VOCAB for i in range(PROMPT)]
        desk.inbox.append(
            Submit(rid=RequestId(str(index)), tokens=tokens, sampling=sampling, seed=index)
        )
    own: list[float] = []
    drawing: list[float] = []
    for _ in range(STEPS):
        start, before = time.perf_counter(), model.sampler.seconds
        loop.turn()
        drawing.append(model.sampler.seconds - before)
        own.append(time.perf_counter() - start - drawing[-1])
    return tuple(statistics.median(times[STEPS // 4 :]) * 1e6 for times in (own, drawing))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    kinds = {
        "greedy": SamplingParams(temperature=0, max_new_tokens=STEPS + 1),
        "sampled": SamplingParams(temperature=0.8, max_new_tokens=STEPS + 1),
    }
    found: dict[str, dict[str, dict[str, float]]] = {}
    for kind, sampling in kinds.items():
        found[kind] = {}
        for batch in (1, 8, 32, 256):
            own, drawing = measure(batch, sampling)
            found[kind][str(batch)] = {"loop": round(own, 1), "sample": round(drawing, 1)}
            print(
                f"{kind:8} batch {batch:4}: loop {own:7.1f} µs, choosing tokens {drawing:8.1f} µs"
            )
    if options.json:
        print(json.dumps({"step_us": found, "allowed_loop_us_at_256": 150 + 2 * 256}))


if __name__ == "__main__":
    main()
