"""Tokens a second on a CPU: the engine beside `transformers`, same weights, prompts and threads.

    python benchmarks/cpu.py [--models random,shipped] [--dtypes float32,bfloat16]
        [--batches 1,8,32] [--rounds 3] [--json]

Prompts of 128 random ids, 64 tokens generated, greedy, never ended early. `random` is a checkpoint
of 163 M parameters in the shape of Llama, written to a temporary folder; `shipped` is the model
that comes with the package. The contestants take turns in one process, each with the same number
of threads, and the median of the rounds counts. Two rates are given: `whole` divides the generated
tokens by all of the time, prompts included; `decode` leaves out what a run takes that
generates a few tokens only. `transformers` runs with its dynamic cache and with its static one;
llama.cpp where `llama_cpp` and `gguf` can be imported, on a file of the same weights and dtype.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "benchmarks")]

from llama_cpp_peer import LlamaCpp, write_gguf  # noqa: E402

from radixlm.runtime.config import SHIPPED_MODEL  # noqa: E402
from radixlm.runtime.offline import Engine  # noqa: E402

PROMPT, OUT = 128, 64  # tokens
FEW = 2  # what is generated in the run that shows the cost of the prompts
IDS = 4000  # that prompts are made of: every model here has them

HAS_LLAMA_CPP = all(find_spec(name) for name in ("llama_cpp", "gguf"))

Prompts: TypeAlias = list[list[int]]
Contestant: TypeAlias = Callable[[Prompts, int], None]  # prompts, tokens to generate


def write_random_model(folder: Path) -> None:
    """Write a checkpoint with random float32 weights, which bfloat16 does not hold exactly."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=2048,
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)


def ours(engine: Engine) -> Contestant:
    """Generate with the engine, whose cache knows none of the prompts."""

    def run(prompts: Prompts, new_tokens: int) -> None:
        engine.flush_cache()
        sampling = {"temperature": 0, "max_new_tokens": new_tokens, "ignore_eos": True}
        results = engine.generate(input_ids=prompts, sampling_params=sampling)
        assert all(len(result["output_ids"]) == new_tokens for result in results)

    return run


def transformers_generate(model: Any, cache: str) -> Contestant:
    """Generate with `transformers`; all prompts have one length, so nothing is padded."""

    def run(prompts: Prompts, new_tokens: int) -> None:
        ids = torch.tensor(prompts)
        with torch.inference_mode():
            made = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=new_tokens,
                min_new_tokens=new_tokens,
                do_sample=False,
                cache_implementation=cache,
                pad_token_id=0,
            )
        assert made.shape[1] == PROMPT + new_tokens

    return run


def seconds(run: Contestant, batch: int, new_tokens: int) -> float:
    """Time a run on fresh prompts."""
    prompts: Prompts = torch.randint(3, IDS, (batch, PROMPT)).tolist()
    begun = time.perf_counter()
    run(prompts, new_tokens)
    return time.perf_counter() - begun


def measure(
    contestants: dict[str, Contestant], batch: int, rounds: int
) -> dict[str, dict[str, float]]:
    """Let the contestants take turns; return each one's tokens a second."""
    whole: dict[str, list[float]] = {name: [] for name in contestants}
    prompts: dict[str, list[float]] = {name: [] for name in contestants}
    for run in contestants.values():
        run(torch.randint(3, IDS, (batch, PROMPT)).tolist(), FEW)  # warm
    for _ in range(rounds):
        for name, run in contestants.items():
            prompts[name].append(seconds(run, batch, FEW))
            whole[name].append(seconds(run, batch, OUT))
    found: dict[str, dict[str, float]] = {}
    for name in contestants:
        all_s, prompts_s = statistics.median(whole[name]), statistics.median(prompts[name])
        found[name] = {
            "whole": round(batch * OUT / all_s, 1),
            "decode": round(batch * (OUT - FEW) / max(all_s - prompts_s, 1e-9), 1),
        }
    return found


def compare(path: Path, dtype: str, batches: list[int], rounds: int) -> list[dict[str, Any]]:
    """Measure one model in one dtype."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(path, dtype=getattr(torch, dtype))
    found: list[dict[str, Any]] = []
    settings = {"model_path": path, "tokenizer_path": SHIPPED_MODEL, "dtype": dtype}
    with (
        tempfile.TemporaryDirectory() as folder,
        Engine(in_process=True, max_total_tokens=1 << 14, **settings) as engine,
    ):
        contestants = {
            "radixlm": ours(engine),
            "transformers": transformers_generate(model, "dynamic"),
            "transformers_static": transformers_generate(model, "static"),
        }
        peer = None
        if HAS_LLAMA_CPP:
            write_gguf(model, dtype, Path(folder) / "model.gguf")
            threads = torch.get_num_threads()
            file, length = Path(folder) / "model.gguf", PROMPT + OUT
            peer = LlamaCpp(file, batch=max(batches), length=length, threads=threads)
            contestants["llama.cpp"] = peer
        for batch in batches:
            rates = measure(contestants, batch, rounds)
            line: dict[str, Any] = {"dtype": dtype, "batch": batch, "tokens_per_s": rates}
            for name in ("transformers", "llama.cpp"):
                line[f"ratio_{name}"] = ratios(rates, name)
            line["load"] = round(os.getloadavg()[0], 1)
            found.append(line)
            for name, rate in rates.items():
                print(
                    f"  {dtype:8} batch {batch:3}  {name:20} whole {rate['whole']:8.1f}  "
                    f"decode {rate['decode']:8.1f} tokens/s",
                    flush=True,
                )
            print(f"    {line['ratio_transformers']} {line['ratio_llama.cpp']} {line['load']}")
        if peer is not None:
            peer.close()
    return found


def ratios(rates: dict[str, dict[str, float]], peer: str) -> dict[str, float]:
    """Ours over a peer's best; empty without the peer."""
    theirs = [rate for name, rate in rates.items() if name.startswith(peer)]
    return {
        what: round(rates["radixlm"][what] / max(rate[what] for rate in theirs), 2)
        for what in ("whole", "decode")
        if theirs
    }


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", default="random,shipped")
    parser.add_argument("--dtypes", default="float32,bfloat16")
    parser.add_argument("--batches", default="1,8,32")
    parser.add_argument("--rounds", type=int, default=3, help="the median of so many is given")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    options = parser.parse_args()
    batches = [int(batch) for batch in options.batches.split(",")]
    found: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in options.models.split(","):
            path = SHIPPED_MODEL
            if name == "random":
                path = Path(folder)
                write_random_model(path)
            print(f"{name}, {torch.get_num_threads()} threads")
            found[name] = []
            for dtype in options.dtypes.split(","):
                found[name] += compare(path, dtype, batches, options.rounds)
    if not HAS_LLAMA_CPP:
        print("llama.cpp was left out: pip install llama-cpp-python gguf")
    if options.json:
        print(json.dumps({"cpu": found}))


if __name__ == "__main__":
    main()
