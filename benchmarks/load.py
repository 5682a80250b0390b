"""How long a checkpoint takes to load, and how much memory, beside a plain read of its file.

    python benchmarks/load.py [--gigabytes 1] [--rounds 3] [--json]

A Llama-shaped checkpoint of random bfloat16 weights is written to a temporary folder (or under
`--folder`). Each measurement is a process of its own and they take turns: `read` reads the file
into fresh memory, `weights` fills a model's tensors (every check included), `float32` does so with
a cast, `runner` makes all that a scheduler needs, the weights packed for the CPU kernels included.
Memory is the process's peak beyond what it had with everything imported, over the size of the
weights in the dtype in which they are held. `cold` runs begin after the kernel was asked to drop
the file from its page cache, which it does for clean pages; below that there may be a
cache of the host's that nothing here controls.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src")]

HIDDEN, VOCAB = 2048, 32_000
LAYER = (4 + 3 * 3) * HIDDEN * HIDDEN  # parameters; the feed-forward is 3 times as wide
KINDS = ("read", "weights", "float32", "runner")


def write_checkpoint(folder: Path, gigabytes: float) -> int:
    """Write the checkpoint; return the size of its file in bytes."""
    import torch
    from safetensors.torch import save_file

    from radixlm.runtime.models.checkpoint import fill_at_random
    from radixlm.runtime.models.decoder import Decoder
    from radixlm.runtime.models.registry import find_family
    from radixlm.runtime.models.settings import Settings

    layers = max(1, round((gigabytes * 1e9 / 2 - 2 * VOCAB * HIDDEN) / LAYER))
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": VOCAB,
        "hidden_size": HIDDEN,
        "intermediate_size": 3 * HIDDEN,
        "num_hidden_layers": layers,
        "num_attention_heads": HIDDEN // 64,
        "max_position_embeddings": 4096,
        "eos_token_id": 2,
    }
    (folder / "config.json").write_text(json.dumps(config))
    family = find_family(["LlamaForCausalLM"])
    spec = family.read_spec(Settings(config, "config.json"))
    targets = family.targets(Decoder(spec, torch.bfloat16, torch.device("cpu")))
    fill_at_random(targets)
    path = folder / "model.safetensors"
    save_file({name: target.view.contiguous() for name, target in targets.items()}, path)
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return path.stat().st_size


def drop_cache(path: Path) -> None:
    """Ask the kernel to forget a file's pages."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def peak_bytes() -> int:
    """Most memory that this process has had."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))


def work(kind: str, folder: Path) -> Callable[[], int]:
    """Return what is measured, with its imports done; it returns the bytes that it holds."""
    if kind == "read":

        def read() -> int:
            with (folder / "model.safetensors").open("rb", buffering=0) as file:
                return len(file.read())

        return read
    import torch

    from radixlm.runtime.config import CacheConfig, ModelConfig
    from radixlm.runtime.engine.runner import Runner
    from radixlm.runtime.kernels.build import DECODER, load_library
    from radixlm.runtime.models.checkpoint import Checkpoint
    from radixlm.runtime.models.decoder import Decoder
    from radixlm.runtime.models.registry import find_family

    dtype = "float32" if kind == "float32" else "bfloat16"
    config = ModelConfig(model_path=str(folder), device="cpu", dtype=dtype)
    if kind == "runner":
        load_library(DECODER)  # compiled, if need be, outside of what is measured

        def load_runner() -> int:
            Runner.load(config, CacheConfig(max_total_tokens=16))
            return (folder / "model.safetensors").stat().st_size

        return load_runner

    def load_weights() -> int:
        checkpoint = Checkpoint.open(config)
        family = find_family(checkpoint.settings.names("architectures"))
        spec = family.read_spec(checkpoint.settings)
        model = Decoder(spec, getattr(torch, dtype), torch.device("cpu"))
        targets = family.targets(model)
        checkpoint.fill(targets, family.ignored)
        return sum(target.view.nbytes for target in targets.values())

    return load_weights


def measure_here(kind: str, folder: Path) -> dict[str, float]:
    """Measure in this process, which does nothing else."""
    run = work(kind, folder)
    before = peak_bytes()
    begun = time.perf_counter()
    held = run()
    seconds = time.perf_counter() - begun
    return {"seconds": seconds, "memory": (peak_bytes() - before) / held}


def measure(kind: str, folder: Path, cold: bool) -> dict[str, float]:
    """Measure in a fresh process."""
    path = folder / "model.safetensors"
    if cold:
        drop_cache(path)
    else:
        with path.open("rb", buffering=0) as file:
            while file.read(16 << 20):
                pass
    command = [sys.executable, __file__, "--measure", kind, "--folder", str(folder)]
    made = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(made.stdout.splitlines()[-1])
    return found


def compare(folder: Path, rounds: int) -> dict[str, dict[str, dict[str, float]]]:
    """Let the kinds take turns; return the median of each."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for state in ("cold", "warm"):
        runs: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
        for _ in range(rounds):
            for kind in KINDS:
                runs[kind].append(measure(kind, folder, state == "cold"))
        found[state] = {}
        # Pairs of one round, which saw the same load of the machine.
        for kind, made in runs.items():
            ratios = [
                run["seconds"] / read["seconds"]
                for run, read in zip(made, runs["read"], strict=True)
            ]
            line = {
                "seconds": round(statistics.median(run["seconds"] for run in made), 2),
                "ratio": round(statistics.median(ratios), 2),
                "memory": round(statistics.median(run["memory"] for run in made), 2),
            }
            found[state][kind] = line
            print(
                f"  {state}  {kind:8} {line['seconds']:6.2f} s  {line['ratio']:5.2f} x a read  "
                f"peak {line['memory']:.2f} x the weights",
                flush=True,
            )
    return found


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=3, help="the median of so many is given")
    parser.add_argument("--folder", type=Path, help="where the checkpoint goes and stays")
    parser.add_argument("--measure", choices=KINDS, help="one run in this process, for the script")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure_here(options.measure, options.folder)))
        return
    with tempfile.TemporaryDirectory(prefix="radixlm-load") as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        size = write_checkpoint(folder, options.gigabytes)
        print(f"{size / 1e9:.2f} GB of bfloat16, load {os.getloadavg()[0]:.1f}", flush=True)
        found: dict[str, Any] = {"bytes": size, **compare(folder, options.rounds)}
        found["load"] = round(os.getloadavg()[0], 1)
    if options.json:
        print(json.dumps({"load": found}))


if __name__ == "__main__":
    main()
