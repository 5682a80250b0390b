"""What a step of the scheduler costs besides the model's forward pass.

The real loop, scheduler, cache, sampler, grammars and messages; the model is replaced by a tensor
of logits. Choosing the tokens is told apart: it is the device's work, a CPU's here. All of it runs
on one thread, whose CPU time counts, and of the steps' times the first decile: so what else the
machine does matters little.

    python benchmarks/step.py [--json]
    python benchmarks/step.py --profile forced --batches 16    # where the loop's time goes

The constrained write lists of records, each its own. In "masked" every token is sampled, in
"forced" a step also appends what the grammar forces, in "scored" log-probabilities and distortion
are asked for besides; tokens are those of a step, all requests together.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import statistics
import time
from dataclasses import dataclass
from typing import Any, cast

import torch

from radixlm.runtime.config import CacheConfig, EngineConfig
from radixlm.runtime.engine.distortion import Distortions
from radixlm.runtime.engine.inputs import Inputs, Staging
from radixlm.runtime.engine.runner import Runner
from radixlm.runtime.engine.sampler import Sampler
from radixlm.runtime.ipc import SchedulerEnd
from radixlm.runtime.messages import LogprobRequest, Progress, Submit
from radixlm.runtime.request import RequestId, SamplingParams
from radixlm.runtime.scheduler.forced import Forcing
from radixlm.runtime.scheduler.loop import Loop
from radixlm.runtime.tokenizer import load_tokenizer

VOCAB, PROMPT, STEPS = 4096, 64, 200  # the vocabulary is the shipped model's
BATCHES = "1,8,32,256"
RECORD = {
    "type": "object",
    "properties": {
        "order_identifier": {"type": "integer", "minimum": 0, "maximum": 9999},
        "customer_name": {"type": "string", "pattern": "^[a-z]{3,12}$"},
        "shipping_method": {"enum": ["standard_delivery", "express_delivery", "store_pickup"]},
        "short_description": {"type": "string", "minLength": 20, "maxLength": 60},
        "requires_signature": {"type": "boolean"},
    },
    "required": ["order_identifier", "customer_name", "shipping_method", "short_description"],
    "additionalProperties": False,
}


class TimedSampler(Sampler):
    """Knows how long it took in all."""

    seconds = 0.0

    def draw(self, *arguments: Any, **options: Any) -> Any:
        start = time.thread_time()
        tokens = super().draw(*arguments, **options)
        self.seconds += time.thread_time() - start
        return tokens


class TimedDistortions(Distortions):
    """Knows how long it took in all, and for how many tokens."""

    seconds, count = 0.0, 0

    def measure(self, *arguments: Any, **options: Any) -> Any:
        start = time.thread_time()
        found = super().measure(*arguments, **options)
        self.seconds += time.thread_time() - start
        self.count += len(found)
        return found


class NoModel:
    """Answers every pass with the same logits."""

    vocab_size, context_length, num_slots, host_pool = VOCAB, 4096, 1 << 18, None
    is_asynchronous = False

    def __init__(self, unlikely: list[int]) -> None:
        self.sampler = TimedSampler(cpu_kernels=True)
        self.distortions = TimedDistortions()
        self.device = torch.device("cpu")
        self._staging = Staging(self.device)
        self._logits = torch.randn(1 << 10, VOCAB)
        self._logits[:, unlikely] = -100

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


class Grammars:
    """The shipped model's tokenizer, as far as constrained requests need it."""

    def __init__(self) -> None:
        tokenizer = load_tokenizer(EngineConfig().model)
        vocabulary = tokenizer.vocabulary(VOCAB, (0,))
        self.compiler = tokenizer.grammar_compiler(vocabulary, "auto", None)
        self.forcing = Forcing(tokenizer.spelling(vocabulary))
        # Whatever ends a list, so that none does.
        self.closing = [token for token, text in enumerate(vocabulary.tokens) if b"]" in text]


@dataclass(frozen=True)
class Kind:
    """What the requests of a measurement ask for."""

    temperature: float = 0.0
    constrained: bool = False
    forces: bool = False
    scored: bool = False


KINDS = {
    "greedy": Kind(),
    "sampled": Kind(temperature=0.8),
    "masked": Kind(constrained=True),
    "forced": Kind(constrained=True, forces=True),
    "scored": Kind(constrained=True, forces=True, scored=True),
}


@dataclass(frozen=True)
class Step:
    """Of many steps: microseconds of the loop and of choosing tokens; mean of tokens generated.

    Attributes:
        distortion: microseconds a token of what a constraint did to the model's distribution.
    """

    loop: float
    sample: float
    tokens: float
    distortion: float = 0.0


def measure(kind: Kind, batch: int, grammars: Grammars, profiler: cProfile.Profile | None) -> Step:
    """Let so many sequences decode."""
    desk, model = NoDesk(), NoModel(grammars.closing)
    loop = Loop(
        EngineConfig(cache=CacheConfig(max_total_tokens=NoModel.num_slots)),
        cast(Runner, model),
        grammars.compiler,
        cast(SchedulerEnd, desk),
        grammars.forcing if kind.forces else None,
    )
    sampling = SamplingParams(
        temperature=kind.temperature,
        max_new_tokens=2 * STEPS if not kind.constrained else model.context_length - PROMPT,
        json_schema=json.dumps({"type": "array", "items": RECORD}) if kind.constrained else None,
    )
    for index in range(batch):
        tokens = [(index * 31 + i) % VOCAB for i in range(PROMPT)]
        desk.inbox.append(
            Submit(
                rid=RequestId(str(index)),
                tokens=tokens,
                sampling=sampling,
                seed=index,
                logprobs=LogprobRequest(start=-1) if kind.scored else None,
            )
        )
    while not loop.scheduler.running:  # the grammar is compiled
        loop.turn()
    steps: list[Step] = []
    for index in range(STEPS):
        if index == STEPS // 4 and profiler is not None:
            profiler.enable()
        start, before, count = time.thread_time(), model.sampler.seconds, loop._reader.generated
        loop.turn()
        sample = model.sampler.seconds - before
        own = time.thread_time() - start - sample
        steps.append(Step(own * 1e6, sample * 1e6, loop._reader.generated - count))
    if profiler is not None:
        profiler.disable()
    assert len(loop.scheduler.running) == batch, "all go on"
    late = steps[STEPS // 4 :]
    return Step(
        statistics.quantiles((step.loop for step in late), n=10)[0],
        statistics.quantiles((step.sample for step in late), n=10)[0],
        statistics.mean(step.tokens for step in late),
        model.distortions.seconds / max(model.distortions.count, 1) * 1e6,
    )


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--batches", default=BATCHES)
    parser.add_argument("--profile", metavar="KIND", help="show where the loop's time goes instead")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    options = parser.parse_args()
    torch.set_num_threads(1)
    grammars = Grammars()
    batches = [int(batch) for batch in options.batches.split(",")]
    if options.profile:
        profiler = cProfile.Profile()
        for batch in batches:
            measure(KINDS[options.profile], batch, grammars, profiler)
        pstats.Stats(profiler).sort_stats("tottime").print_stats(40)
        return
    found: dict[str, dict[str, dict[str, float]]] = {}
    for kind in options.kinds.split(","):
        found[kind] = {}
        for batch in batches:
            step = measure(KINDS[kind], batch, grammars, None)
            found[kind][str(batch)] = {
                "loop": round(step.loop, 1),
                "sample": round(step.sample, 1),
                "tokens": round(step.tokens, 1),
                "distortion_a_token": round(step.distortion, 2),
            }
            print(
                f"{kind:8} batch {batch:4}: loop {step.loop:7.1f} µs, choosing tokens "
                f"{step.sample:8.1f} µs, {step.tokens:6.1f} tokens"
                + (f", distortion {step.distortion:5.2f} µs a token" if step.distortion else "")
            )
    if options.json:
        print(json.dumps({"step_us": found, "allowed_loop_us_at_256": 150 + 2 * 256}))


if __name__ == "__main__":
    main()
