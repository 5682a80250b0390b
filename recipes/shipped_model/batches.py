"""Batches for training: packed rows for a GPU, documents of similar length for a CPU."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .copies import alphabet, copies
from .corpus import FIRST, LEARN

CONTEXT_WEIGHT = 0.1  # loss weight, on a GPU, of tokens that the model only reads


class Rows:
    """Packed rows on a device, served in random order without end."""

    def __init__(self, folder: Path, name: str, device: torch.device, seed: int) -> None:
        self.tokens = torch.from_numpy(np.load(folder / f"{name}_tokens.npy")).to(device)
        self.flags = torch.from_numpy(np.load(folder / f"{name}_flags.npy")).to(device)
        self.random = torch.Generator().manual_seed(seed)
        self.order = torch.empty(0, dtype=torch.long)

    def take(self, count: int) -> tuple[Tensor, Tensor]:
        """Return the next rows: tokens [count, length] i16 and flags [count, length] u8."""
        while len(self.order) < count:
            more = torch.randperm(len(self.tokens), generator=self.random)
            self.order = torch.cat([self.order, more])
        chosen, self.order = self.order[:count], self.order[count:]
        chosen = chosen.to(self.tokens.device)
        return self.tokens[chosen], self.flags[chosen]


def targets_of(tokens: Tensor, flags: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return ids, next ids and their weights, and document numbers, all [rows, length - 1]."""
    ids, following = tokens[:, :-1].long(), tokens[:, 1:].long()
    after = flags[:, 1:]
    weights = torch.where((after & LEARN) > 0, 1.0, CONTEXT_WEIGHT)
    weights = torch.where((after & FIRST) > 0, 0.0, weights)
    starts = ((flags & FIRST) > 0).int()
    documents = starts.cumsum(1)[:, :-1].int()
    padding = (ids == 0) & (following == 0)
    return ids, following, torch.where(padding, 0.0, weights), documents


@dataclass(frozen=True, slots=True)
class Batch:
    """Whole documents, padded on the right: causal attention needs no mask."""

    ids: Tensor  # [batch, length] i64
    targets: Tensor  # [batch, length] i64
    chosen: Tensor  # [n] i64: flat positions whose target the model learns to write


def split(folder: Path, name: str) -> list[tuple[NDArray[np.int16], NDArray[np.uint8]]]:
    """Cut packed rows into their documents again."""
    tokens, flags = np.load(folder / f"{name}_tokens.npy"), np.load(folder / f"{name}_flags.npy")
    found = []
    for row, marks in zip(tokens, flags, strict=True):
        starts = [*np.flatnonzero(marks & FIRST), len(row)]
        for start, end in pairwise(starts):
            if (marks[start:end] & LEARN).any():
                found.append((row[start:end], marks[start:end]))
    return found


def by_length(
    folder: Path,
    text_share: float,
    copy_share: float,
    batch_tokens: int,
    longest: int,
    seed: int,
    tokenizer: Path,
) -> Iterator[Batch]:
    """Yield batches of about `batch_tokens` tokens without end.

    Documents are drawn at random; those of a pool of 40 batches are sorted, so a batch pads little.
    """
    rng = np.random.default_rng(seed)
    kinds = [split(folder, "dialogues"), split(folder, "texts")]
    sizes = [np.array([len(ids) for ids, _ in kind]).clip(max=longest) for kind in kinds]
    ratio = (
        text_share / (1 - text_share) * sizes[0].mean() / sizes[1].mean()
    )  # documents for a document
    letters = alphabet(tokenizer, np.concatenate([ids for ids, _ in kinds[0][:5000]]), rng)
    orders = [np.empty(0, int), np.empty(0, int)]
    while True:
        pool: list[tuple[NDArray[np.int16], NDArray[np.uint8]]] = []
        count = int(40 * batch_tokens * (1 - text_share - copy_share) / sizes[0].mean())
        for kind, wanted in ((0, count), (1, round(count * ratio))):
            while len(orders[kind]) < wanted:
                orders[kind] = np.concatenate([orders[kind], rng.permutation(len(kinds[kind]))])
            taken, orders[kind] = orders[kind][:wanted], orders[kind][wanted:]
            for index in taken:
                ids, marks = kinds[kind][index]
                at = (
                    0 if len(ids) <= longest or kind == 0 else int(rng.integers(len(ids) - longest))
                )
                pool.append((ids[at : at + longest], marks[at : at + longest]))
        made = copies(rng, 500, letters)
        mean = sum(len(ids) for ids, _ in made) / len(made)
        wanted = int(40 * batch_tokens * copy_share / mean)
        pool.extend(made[:wanted])
        if wanted > len(made):
            pool.extend(copies(rng, wanted - len(made), letters))
        pool.sort(key=lambda document: len(document[0]))
        batches: list[list[tuple[NDArray[np.int16], NDArray[np.uint8]]]] = [[]]
        for document in pool:
            if batches[-1] and (len(batches[-1]) + 1) * len(document[0]) > batch_tokens:
                batches.append([])
            batches[-1].append(document)
        for number in rng.permutation(len(batches)):
            yield _batch(batches[number])


def _batch(documents: list[tuple[NDArray[np.int16], NDArray[np.uint8]]]) -> Batch:
    length = max(len(ids) for ids, _ in documents)
    tokens = np.zeros((len(documents), length), np.int64)
    learnt = np.zeros((len(documents), length), bool)
    for row, (ids, marks) in enumerate(documents):
        tokens[row, : len(ids)] = ids
        learnt[row, : len(ids)] = (marks & LEARN) > 0
    following = np.zeros_like(tokens)
    following[:, :-1] = tokens[:, 1:]
    wanted = np.zeros_like(learnt)
    wanted[:, :-1] = learnt[:, 1:]
    chosen = np.flatnonzero(wanted)
    return Batch(torch.from_numpy(tokens), torch.from_numpy(following), torch.from_numpy(chosen))
