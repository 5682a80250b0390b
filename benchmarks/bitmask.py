"""Applying the bitmask: ours beside XGrammar's kernels and plain torch.

    python benchmarks/bitmask.py [--batches 1,8,32,256] [--vocabs 4096,128256,152064] [--json]

On CUDA where there is one, else on the CPU. Every row is constrained; one in two masks allows
nearly everything, as inside a string of JSON, the others a few tokens, as between fields. `shared`
is ours with all rows held to two rows of the mask. Times are medians of calls, each waited for; on
CUDA the wait is part of them, and what the device alone takes is given as `device`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src")]

from radixlm.constrained.bitmask import apply_bitmask, apply_bitmask_reference  # noqa: E402

BUDGET_S = 0.5  # of one figure
FEW, MOST = 0.001, 0.99  # shares of the vocabulary that a mask allows


def masks(count: int, vocab: int) -> Tensor:
    """Return [count, words] i32, which allow few tokens and most of them by turns."""
    draw = np.random.default_rng(0).random((count, -(-vocab // 32) * 32))
    allowed = draw < np.where(np.arange(count) % 2, MOST, FEW)[:, None]
    return torch.from_numpy(np.packbits(allowed, axis=1, bitorder="little").view(np.int32))


def contestants(batch: int, vocab: int, device: str) -> dict[str, Callable[[], None]]:
    """Return what is measured, each on logits of its own."""
    from xgrammar import apply_token_bitmask_inplace

    mask, two = masks(batch, vocab).to(device), masks(2, vocab).to(device)
    pairs = torch.tensor([(row, row % 2) for row in range(batch)], dtype=torch.int32).to(device)
    logits = torch.randn(batch, vocab, device=device)
    return {
        "radixlm": lambda: apply_bitmask(logits, mask),
        "shared": lambda: apply_bitmask(logits, two, pairs),
        "xgrammar": lambda: apply_token_bitmask_inplace(logits, mask, vocab_size=vocab),
        "torch": lambda: apply_bitmask_reference(logits, mask),
    }


def measure(call: Callable[[], None], device: str) -> dict[str, float]:
    """Return the microseconds of a call."""

    def timed() -> float:
        begun = time.perf_counter()
        call()
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - begun

    for _ in range(3):
        first = timed()
    rounds = max(5, min(200, int(BUDGET_S / max(first, 1e-6))))
    found = {"us": round(statistics.median(timed() for _ in range(rounds)) * 1e6, 1)}
    if device == "cuda":
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(rounds):
            call()
        end.record()
        end.synchronize()
        found["device_us"] = round(begin.elapsed_time(end) * 1e3 / rounds, 1)
    return found


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--batches", default="1,8,32,256")
    parser.add_argument("--vocabs", default="4096,128256,152064")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    lines: list[dict[str, object]] = []
    for vocab in map(int, options.vocabs.split(",")):
        for batch in map(int, options.batches.split(",")):
            line: dict[str, object] = {"vocab": vocab, "batch": batch}
            for name, call in contestants(batch, vocab, device).items():
                line[name] = measure(call, device)
            print(f"{device}: {line}", flush=True)
            lines.append(line)
    if options.json:
        print(json.dumps({"bitmask": {"device": device, "lines": lines}}))


if __name__ == "__main__":
    main()
