"""What running ahead of the host is worth on an accelerator: tokens a second with it and without.

A model of random weights in the real engine; the same requests, once with each pass launched before
the tokens of the one before are read, and once without. Plain greedy requests, and requests under a
regular expression, whose masks are then filled while the device computes.

    python benchmarks/overlap.py [--json]
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

import radixlm as rl
from radixlm.runtime.config import SHIPPED_MODEL

SHAPE = {  # 1.2 billion parameters beside a small vocabulary
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 18,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "dtype": "bfloat16",
}
NEW, ROUNDS = 96, 3
KINDS: dict[str, dict[str, Any]] = {
    "plain": {"temperature": 0},
    "regex": {"temperature": 0, "regex": "[a-z ,]*"},
}


def model_folder(folder: Path) -> Path:
    """Write the model's settings beside the shipped tokenizer."""
    for file in SHIPPED_MODEL.iterdir():
        if file.suffix == ".json" and "index" not in file.name:
            shutil.copy(file, folder / file.name)
    vocab = json.loads((SHIPPED_MODEL / "config.json").read_text())["vocab_size"]
    (folder / "config.json").write_text(json.dumps({**SHAPE, "vocab_size": vocab}))
    return folder


def measure(engine: rl.Engine, batch: int, params: dict[str, Any]) -> float:
    """Return the median tokens a second of some rounds."""
    prompts = [f"Number {index} of the list is about" for index in range(batch)]
    sampling = {"max_new_tokens": NEW, "ignore_eos": True, **params}
    rates: list[float] = []
    for _ in range(ROUNDS + 1):
        start = time.perf_counter()
        found = engine.generate(prompts, sampling)
        seconds = time.perf_counter() - start
        assert isinstance(found, list)
        rates.append(sum(one["meta_info"]["completion_tokens"] for one in found) / seconds)
    return statistics.median(rates[1:])


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("There is no accelerator here: a CPU has nothing to run ahead of.", file=sys.stderr)
        return 1
    rates: dict[str, dict[str, dict[str, float]]] = {kind: {} for kind in KINDS}
    with tempfile.TemporaryDirectory() as name:
        folder = str(model_folder(Path(name)))
        for label, disabled in (("overlap", False), ("in turn", True)):
            with rl.Engine(
                model_path=folder, load_format="dummy", disable_overlap_schedule=disabled
            ) as engine:
                for kind, params in KINDS.items():
                    for batch in (8, 64, 256):
                        found = measure(engine, batch, params)
                        rates[kind].setdefault(str(batch), {})[label] = round(found, 1)
                        print(f"{label:8} {kind:6} batch {batch:4}: {found:9.1f} tokens/s")
    for of_kind in rates.values():
        for pair in of_kind.values():
            pair["gain"] = round(pair["overlap"] / pair["in turn"], 3)
    if options.json:
        print(json.dumps({"tokens_a_second": rates, "device": torch.cuda.get_device_name()}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
