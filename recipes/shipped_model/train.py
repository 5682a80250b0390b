"""Train the model on the packed corpus and write the shipped folder.

`python -m recipes.shipped_model.train --out runtime/shipped --minutes 60`
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from . import induction
from .batches import Rows, by_length, targets_of
from .corpus import FIRST, ROW
from .model import SHAPES, Llama, Shape
from .optimizer import Muon


@dataclass(frozen=True, slots=True)
class Budget:
    """How long to train and in which steps."""

    tokens: float = 1e9
    minutes: float = 25.0  # whichever ends first; the learning rate falls to its end in time
    batch_rows: int = 64  # on a GPU, rows of 2,048 tokens
    batch_tokens: int = 4096  # on a CPU
    text_share: float = 0.03  # of the tokens
    copy_share: float = 0.12  # of the tokens, on a CPU: see copies.py
    matrix_rate: float = 0.015
    embedding_rate: float = 0.02
    norm_rate: float = 0.002
    warmup: float = 0.01
    seed: int = 7


def dense_mask(documents: Tensor) -> Tensor:
    """Return the mask [rows, 1, length, length] bool: same document, not later."""
    same = documents[:, None, :, None] == documents[:, None, None, :]
    length = documents.size(1)
    return same & torch.ones(length, length, dtype=torch.bool, device=documents.device).tril()


def block_masks(rows: int, length: int, device: torch.device) -> Callable[[Tensor], object]:
    """Return a function from document numbers [rows, length] to the same mask for flex attention.

    The numbers are copied into one buffer, so that every step's mask has the same function and
    nothing is compiled again.
    """
    from torch.nn.attention.flex_attention import create_block_mask

    current = torch.zeros(rows, length, dtype=torch.int32, device=device)
    make = torch.compile(create_block_mask)

    def same_document(b: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:
        return (q >= k) & (current[b, q] == current[b, k])

    def mask(documents: Tensor) -> object:
        current.copy_(documents)
        return make(same_document, rows, None, length, length, device=device)

    return mask


def rate_at(progress: float, warmup: float) -> float:
    """Return the share of the top learning rate: up, flat, then down to zero over the last 55 %."""
    if progress < warmup:
        return progress / warmup
    return min(1.0, (1 - progress) / 0.55)


def batch_of(rows: list[Rows], shares: list[int]) -> tuple[Tensor, Tensor]:
    """Draw a batch with a fixed share of each kind of rows."""
    parts = [source.take(share) for source, share in zip(rows, shares, strict=True) if share]
    return torch.cat([tokens for tokens, _ in parts]), torch.cat([flags for _, flags in parts])


class Trainer:
    """A model, its optimizers and a log of the loss."""

    def __init__(self, model: Llama, budget: Budget, snapshots: Path | None = None) -> None:
        self.model, self.budget, self.snapshots = model, budget, snapshots
        matrices = [w for n, w in model.named_parameters() if w.ndim == 2 and "embed" not in n]
        norms = [w for w in model.parameters() if w.ndim == 1]
        groups = [
            {"params": [model.embed_tokens.weight], "rate": budget.embedding_rate},
            {"params": norms, "rate": budget.norm_rate},
        ]
        self.muon = Muon(matrices)
        self.adam = torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.95), weight_decay=0.0)
        self.log: list[dict[str, float]] = []
        self.recent: list[Tensor] = []
        self.begun = time.monotonic()
        self.tokens = self.steps = 0
        self.said = 0.0

    @property
    def progress(self) -> float:
        """How much of the budget is used, by tokens or by time, from 0 to 1."""
        elapsed = (time.monotonic() - self.begun) / 60
        return max(self.tokens / self.budget.tokens, elapsed / self.budget.minutes)

    def apply(self, loss: Tensor, tokens: int) -> None:
        """Take one step down the gradient of `loss`."""
        share = rate_at(self.progress, self.budget.warmup)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.muon.step(self.budget.matrix_rate * share)
        for group in self.adam.param_groups:
            group["lr"] = group["rate"] * share
        self.adam.step()
        self.model.zero_grad(set_to_none=True)
        self.recent.append(loss.detach())
        self.tokens += tokens
        self.steps += 1
        if self.steps % 50 == 0:
            self._note()
        if self.snapshots and self.steps % 400 == 0:
            save(self.model, self.snapshots)

    def _note(self) -> None:
        elapsed = time.monotonic() - self.begun
        mean = round(float(torch.stack(self.recent).mean()), 4)
        self.recent.clear()
        self.log.append({"tokens": self.tokens, "loss": mean, "seconds": round(elapsed, 1)})
        if elapsed - self.said > 15 or self.steps == 50:
            self.said = elapsed
            speed = self.tokens / elapsed
            print(
                f"{self.progress:6.1%}  step {self.steps}  {self.tokens:,} tokens  "
                f"loss {mean:.4f}  {speed:,.0f} tokens/s  {elapsed:.0f} s",
                flush=True,
            )


def on_gpu(trainer: Trainer, folder: Path, *, dense: bool) -> None:
    """Train on packed rows in bf16 with compiled flex attention."""
    budget, device = trainer.budget, trainer.model.norm.weight.device
    shares = {"texts": budget.text_share, "copies": budget.copy_share}
    counts = {kind: max(1, round(budget.batch_rows * share)) for kind, share in shares.items()}
    counts["dialogues"] = budget.batch_rows - sum(counts.values())
    sources = {kind: Rows(folder, kind, device, budget.seed) for kind in counts}
    forward = torch.compile(trainer.model)
    rotation = trainer.model.rotation(ROW, device)
    mask = dense_mask if dense else block_masks(budget.batch_rows, ROW, device)
    while trainer.progress < 1:
        parts = [sources[kind].take(count) for kind, count in counts.items()]
        tokens, flags = torch.cat([t for t, _ in parts]), torch.cat([f for _, f in parts])
        # One more column, so that the inputs keep 2,048: multiples of 128 are faster.
        tokens = torch.cat([tokens, tokens.new_zeros(len(tokens), 1)], 1)
        flags = torch.cat([flags, flags.new_full((len(flags), 1), FIRST)], 1)
        ids, following, weights, documents = targets_of(tokens, flags)
        with torch.autocast(device.type, torch.bfloat16):
            loss = forward(ids, following, weights, rotation, mask(documents))
        trainer.apply(loss, ids.numel())


def on_cpu(trainer: Trainer, folder: Path, tokenizer: Path) -> None:
    """Train on whole documents of similar length in f32; only learnt tokens cost logits."""
    budget = trainer.budget
    cos, sin = trainer.model.rotation(1024, torch.device("cpu"))
    shares = (budget.text_share, budget.copy_share)
    source = by_length(folder, *shares, budget.batch_tokens, 640, budget.seed, tokenizer)
    ones = torch.ones(1).expand
    while trainer.progress < 1:
        batch = next(source)
        length = batch.ids.size(1)
        rotation = (cos[:length], sin[:length])
        loss = trainer.model(
            batch.ids, batch.targets, ones(batch.ids.shape), rotation, None, batch.chosen
        )
        trainer.apply(loss, batch.ids.numel())


def first_tokens(folder: Path, shape: Shape) -> Tensor:
    """Return rows of dialogue and of random tokens, [192, 128] i64, to place the copying heads."""
    dialogues = np.load(folder / "dialogues_tokens.npy", mmap_mode="r")[:32, :256]
    random = np.random.default_rng(0).integers(3, shape.vocab_size, (128, 128))
    return torch.from_numpy(np.concatenate([dialogues.reshape(64, 128).astype(np.int64), random]))


def train(
    folder: Path,
    shape: Shape,
    budget: Budget,
    start: Path | None = None,
    *,
    tokenizer: Path,
    snapshots: Path | None = None,
    dense: bool = False,
) -> Trainer:
    """Train from random weights, or from a checkpoint's."""
    torch.manual_seed(budget.seed)
    torch.set_float32_matmul_precision("high")
    model = Llama(shape)
    if start is not None:
        loaded = {k.removeprefix("model."): v.float() for k, v in load_file(start).items()}
        model.load_state_dict(loaded)
    else:
        induction.install(model, first_tokens(folder, shape))
    has_gpu = torch.cuda.is_available()
    trainer = Trainer(model.to("cuda" if has_gpu else "cpu"), budget, snapshots)
    print(f"{sum(w.numel() for w in model.parameters()):,} parameters", flush=True)
    if has_gpu:
        on_gpu(trainer, folder, dense=dense)
    else:
        on_cpu(trainer, folder, tokenizer)
    return trainer


def save(model: Llama, folder: Path) -> None:
    """Write the weights in bf16 with config.json and generation_config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        f"model.{name}": w.detach().to("cpu", torch.bfloat16).contiguous()
        for name, w in model.state_dict().items()
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    (folder / "config.json").write_text(json.dumps(model.shape.config(), indent=2) + "\n")
    generation = {"do_sample": False, "eos_token_id": [2, 0], "pad_token_id": 0}
    (folder / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")
    size = (folder / "model.safetensors").stat().st_size
    print(f"model.safetensors: {size:,} bytes")
    if size > 16_000_000:
        raise ValueError(f"model.safetensors has {size:,} bytes; at most 16,000,000 are allowed")


def main() -> None:
    """Train from the command line."""
    usual = Budget()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=Path, default=Path("build/shipped_model"))
    parser.add_argument("--out", type=Path, default=Path("runtime/shipped"))
    parser.add_argument("--tokenizer", type=Path, default=Path("runtime/shipped/tokenizer.json"))
    parser.add_argument("--shape", choices=SHAPES, default="small")
    parser.add_argument("--tokens", type=float, default=usual.tokens)
    parser.add_argument("--minutes", type=float, default=usual.minutes)
    parser.add_argument("--batch-rows", type=int, default=usual.batch_rows)
    parser.add_argument("--batch-tokens", type=int, default=usual.batch_tokens)
    parser.add_argument("--text-share", type=float, default=usual.text_share)
    parser.add_argument("--copy-share", type=float, default=usual.copy_share)
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument("--start", type=Path, help="a model.safetensors to go on from")
    parser.add_argument("--rate", type=float, default=1.0, help="scales the learning rates")
    parser.add_argument("--dense", action="store_true", help="do without flex attention on a GPU")
    parser.add_argument("--log", type=Path, help="write the loss curve here")
    options = parser.parse_args()
    budget = Budget(
        tokens=options.tokens,
        minutes=options.minutes,
        batch_rows=options.batch_rows,
        batch_tokens=options.batch_tokens,
        text_share=options.text_share,
        copy_share=options.copy_share,
        seed=options.seed,
        matrix_rate=usual.matrix_rate * options.rate,
        embedding_rate=usual.embedding_rate * options.rate,
        norm_rate=usual.norm_rate * options.rate,
    )
    trainer = train(
        options.rows,
        SHAPES[options.shape],
        budget,
        options.start,
        tokenizer=options.tokenizer,
        snapshots=options.out,
        dense=options.dense,
    )
    save(trainer.model, options.out)
    if options.log:
        options.log.write_text("\n".join(json.dumps(row) for row in trainer.log) + "\n")


if __name__ == "__main__":
    main()
