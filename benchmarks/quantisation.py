"""What weights in 8 and 4 bits cost in accuracy, and what they are worth in speed and memory.

    python benchmarks/quantisation.py [--models shipped,random] [--kinds none,int8,int4,int4-32]
        [--scale 0.2] [--dtype auto] [--device cpu] [--batches 1,8,32] [--rounds 3]
        [--passes-only] [--json]

Accuracy is that of the shipped model on its held-out sets (`recipes/shipped_model/heldout.py`),
all of them as one: the perplexity of the answers, how many of them are what greedy decoding says,
and beside the plain model: the mean and the largest difference of any logit, and how often greedy
decoding says the same, right or wrong.

Then the kinds take turns in one process. Passes are decoding passes of one thread at the given
batches behind 128 tokens, in CPU time, so that they mean something on a busy machine, too. Speed
is measured as in `benchmarks/cpu.py`, in tokens a second: 128 in, 64 out, `whole` with the prompts
and `decode` without. `random` is that script's model of 163 M parameters. Megabytes are those of
all weights as they lie in memory.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src"), str(ROOT / "benchmarks")]

from cpu import PROMPT, measure, ours, write_random_model  # noqa: E402

from radixlm.runtime.config import SHIPPED_MODEL, CacheConfig, ModelConfig  # noqa: E402
from radixlm.runtime.engine.inputs import Row  # noqa: E402
from radixlm.runtime.engine.runner import Runner  # noqa: E402
from radixlm.runtime.offline import Engine  # noqa: E402
from radixlm.runtime.tokenizer import load_tokenizer  # noqa: E402
from recipes.shipped_model.heldout import build  # noqa: E402

PASSES = 8  # of a measurement


@dataclass(frozen=True)
class Kind:
    """One way of holding weights; "none" is the plain one."""

    name: str
    dtype: str
    device: str

    @property
    def settings(self) -> dict[str, Any]:
        quantization = None if self.name == "none" else self.name
        return {"quantization": quantization, "dtype": self.dtype, "device": self.device}


@dataclass(frozen=True)
class Text:
    """A task in tokens."""

    prompt: list[int]
    answer: list[int]


def read_texts(scale: float) -> list[Text]:
    """Return the tasks of all held-out sets, which `scale` shrinks."""
    encode = load_tokenizer(ModelConfig(model_path=str(SHIPPED_MODEL))).encode
    tasks = [task for held_out in build(scale) for task in held_out.tasks]
    return [Text(encode(task.prompt), encode(task.answer)) for task in tasks]


def logits(runner: Runner, text: Text) -> Tensor:
    """Return [answer, vocab] on the host: what is said of each of the answer's tokens."""
    tokens = np.asarray(text.prompt + text.answer[:-1], dtype=np.int32)
    slots = np.arange(len(tokens), dtype=np.int32)
    return runner.forward([Row(tokens, 0, slots, len(text.prompt) - 1)]).cpu()


def greedy(runner: Runner, text: Text) -> list[int]:
    """Return as many of the likeliest tokens as the answer has."""
    tokens = list(text.prompt)
    start = 0
    while len(tokens) < len(text.prompt) + len(text.answer):
        slots = np.arange(len(tokens), dtype=np.int32)
        new = np.asarray(tokens[start:], dtype=np.int32)
        start = len(tokens)
        found = runner.forward([Row(new, start - len(new), slots, len(new) - 1)])
        tokens.append(int(found[-1].argmax()))
    return tokens[len(text.prompt) :]


def accuracy(kinds: list[Kind], texts: list[Text]) -> dict[str, dict[str, float]]:
    """Compare kinds with the first of them."""
    cache = CacheConfig(max_total_tokens=1024)
    found: dict[str, dict[str, float]] = {}
    plain: list[Tensor] = []
    answers: list[list[int]] = []
    for kind in kinds:
        config = ModelConfig(model_path=str(SHIPPED_MODEL), **kind.settings)
        runner = Runner.load(config, cache)
        made = [logits(runner, text) for text in texts]
        said = [greedy(runner, text) for text in texts]
        plain, answers = plain or made, answers or said
        wanted = torch.tensor([token for text in texts for token in text.answer])
        log_probs = torch.cat(made).log_softmax(-1).gather(1, wanted[:, None])
        difference = (torch.cat(made) - torch.cat(plain)).abs()
        right = [one == text.answer for one, text in zip(said, texts, strict=True)]
        same = [one == other for one, other in zip(said, answers, strict=True)]
        found[kind.name] = {
            "perplexity": round(float((-log_probs.mean()).exp()), 4),
            "right": round(100 * statistics.fmean(right), 1),
            "same": round(100 * statistics.fmean(same), 1),
            "mean_difference": round(float(difference.mean()), 4),
            "max_difference": round(float(difference.max()), 2),
        }
        print(f"  {kind.name:8} {found[kind.name]}", flush=True)
    return found


def speed(
    path: Path, kinds: list[Kind], batches: list[int], rounds: int
) -> dict[str, dict[str, Any]]:
    """Let the kinds take turns."""
    found: dict[str, dict[str, Any]] = {}
    settings = {"model_path": str(path), "tokenizer_path": str(SHIPPED_MODEL)}
    with ExitStack() as stack:
        engines: dict[str, Engine] = {}
        for kind in kinds:
            found[kind.name] = {"tokens_per_s": {}}
            engine = Engine(in_process=True, max_total_tokens=1 << 13, **settings, **kind.settings)
            engines[kind.name] = stack.enter_context(engine)
        for batch in batches:
            contestants = {name: ours(engine) for name, engine in engines.items()}
            for name, rates in measure(contestants, batch, rounds).items():
                found[name]["tokens_per_s"][batch] = rates
                print(
                    f"  {name:8} batch {batch:3}  whole {rates['whole']:8.1f}  "
                    f"decode {rates['decode']:8.1f} tokens/s",
                    flush=True,
                )
            print(f"    load {os.getloadavg()[0]:.1f}", flush=True)
    return found


def passes(
    path: Path, kinds: list[Kind], batches: list[int], rounds: int
) -> dict[str, dict[str, Any]]:
    """Measure decoding passes of one thread in its own CPU time, the kinds taking turns."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    runners = {
        kind.name: Runner.load(
            ModelConfig(model_path=str(path), **kind.settings),
            CacheConfig(max_total_tokens=1 << 13),
        )
        for kind in kinds
    }
    torch.set_num_threads(threads)
    found: dict[str, dict[str, Any]] = {
        name: {"megabytes": round(runner.weight_bytes / 1e6, 1), "pass_ms": {}}
        for name, runner in runners.items()
    }
    for batch in batches:
        rows = [
            Row(np.array([5 + i], np.int32), PROMPT, np.arange(PROMPT + 1, dtype=np.int32), 0)
            for i in range(batch)
        ]
        times: dict[str, list[float]] = {name: [] for name in runners}
        for _ in range(rounds):
            for name, runner in runners.items():
                begun = time.process_time()
                for _ in range(PASSES):
                    runner.forward(rows)
                times[name].append((time.process_time() - begun) / PASSES)
        for name, seconds in times.items():
            found[name]["pass_ms"][batch] = round(1000 * statistics.median(seconds), 2)
    for name, line in found.items():
        print(f"  {name:8} {line}", flush=True)
    return found


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", default="shipped,random")
    parser.add_argument("--kinds", default="none,int8,int4,int4-32", help="the plain one first")
    parser.add_argument("--scale", type=float, default=0.2, help="shrinks the held-out sets")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batches", default="1,8,32", help="none: accuracy alone")
    parser.add_argument("--rounds", type=int, default=3, help="the median of so many is given")
    parser.add_argument("--passes-only", action="store_true", help="no rates: for a busy machine")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    options = parser.parse_args()
    kinds = [Kind(name, options.dtype, options.device) for name in options.kinds.split(",")]
    batches = [int(batch) for batch in options.batches.split(",") if batch != "none"]
    texts = read_texts(options.scale)
    print(f"the shipped model on {len(texts)} held-out tasks")
    found: dict[str, Any] = {"tasks": len(texts), "accuracy": accuracy(kinds, texts)}
    found |= {"passes": {}, "speed": {}}
    with tempfile.TemporaryDirectory() as folder:
        for model in options.models.split(",") if batches else ():
            path = SHIPPED_MODEL
            if model == "random":
                path = Path(folder)
                write_random_model(path)
            print(f"{model}, {torch.get_num_threads()} threads", flush=True)
            found["passes"][model] = passes(path, kinds, batches, options.rounds)
            if not options.passes_only:
                found["speed"][model] = speed(path, kinds, batches, options.rounds)
    if options.json:
        print(json.dumps({"quantisation": found}))


if __name__ == "__main__":
    main()
