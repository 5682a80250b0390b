"""The corpus: the mixture of generators, encoded and packed into rows.

Run `python -m recipes.shipped_model.corpus --data DIR` before training. The work is cut into
shards; a shard depends on its number alone, whatever the number of processes.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from . import dialogues_calls as calls
from . import dialogues_chat as talk
from . import dialogues_countries as countries
from . import dialogues_extract as extract
from . import dialogues_skills as skills
from . import dialogues_stories as stories
from . import dialogues_tools as tools
from . import text
from .documents import Document, Task
from .draw import Draw

ROW = 2048  # tokens
LEARN, FIRST = 1, 2  # flags of a token: the model learns to write it; it starts a document
SHARD_TOKENS = 2_500_000
COPIES_A_JOB = 10_000

Packed = tuple[NDArray[np.int16], NDArray[np.uint8]]  # tokens and flags

# How often each generator runs; their documents differ in length.
MIXTURE: dict[Callable[[Draw], Document | Task], float] = {
    countries.capital: 18,
    countries.property_chat: 5,
    countries.reverse: 3.5,
    countries.follow_up: 6,
    countries.sights: 1.2,
    countries.portrait: 1.5,
    countries.several: 1.5,
    countries.country_json: 2.5,
    countries.few_shot: 1,
    tools.select_raw: 12,
    tools.program: 4,
    tools.select_chat: 6,
    extract.extraction: 17,
    extract.lists: 3,
    extract.two_sentences: 3,
    extract.question_about: 4,
    calls.single: 5,
    calls.session: 2,
    calls.whole: 1.5,
    calls.parallel: 0.4,
    calls.no_call: 1,
    calls.missing_unit: 0.5,
    stories.tell: 2.5,
    talk.small_talk: 4,
    talk.tips: 1.5,
    talk.quick_start: 1.5,
    skills.arithmetic: 6,
    skills.copying: 6,
    skills.sentiment: 3,
    skills.yes_no: 3,
    skills.rewriting: 1,
    skills.character: 0.5,
}


def add_data_argument(parser: argparse.ArgumentParser) -> None:
    """Add `--data`, which RADIXLM_DATA stands in for."""
    default = os.environ.get("RADIXLM_DATA")
    parser.add_argument(
        "--data",
        type=lambda value: (
            Path(value) / "train" if (Path(value) / "train").is_dir() else Path(value)
        ),
        default=default,
        required=default is None,
        help="folder with the training texts (or set RADIXLM_DATA)",
    )


def dialogues(seed: str, words: Sequence[str]) -> Iterator[Document]:
    """Yield training documents without end."""
    draw = Draw(seed, words=words)
    makers, weights = list(MIXTURE), list(MIXTURE.values())
    while True:
        for make in draw.rng.choices(makers, weights, k=256):
            made = make(draw)
            yield made.document() if isinstance(made, Task) else made


def texts(data: Path) -> list[Document]:
    """Return every document of the shared folder that the model may learn from."""
    passages = list(text.books(data))
    common = text.common_words(passages)
    definitions = list(text.definitions(data, common))
    smaller = [*text.instructions(data), *text.plays(data)]
    chats = list(text.small_talk(data))
    return [*passages, *definitions, *smaller, *chats, *chats]


def sample(data: Path, dialogues: int) -> list[Document]:
    """Return a sample to train the tokenizer on."""
    stream = globals()["dialogues"]("tokenizer", text.dictionary(data))
    made = [next(stream) for _ in range(dialogues)]
    found = texts(data)
    return [*made, *found[:: max(1, len(found) // 15_000)]]


def encode(
    tokenizer: Tokenizer, documents: list[Document], rng: np.random.Generator
) -> list[tuple[NDArray[np.int16], NDArray[np.uint8]]]:
    """Return ids and flags of each document.

    Half of the documents are encoded as one text, half piece by piece, because a program's prompt
    ends wherever its author stopped typing and the engine encodes what follows on its own.
    """
    whole = rng.random(len(documents)) < 0.5
    units: list[str] = []
    for document, joined in zip(documents, whole, strict=True):
        parts = [piece for piece, _ in document.pieces]
        units.extend(["".join(parts)] if joined else parts)
    encoded = iter(
        tokenizer.encode_batch_fast(units) if not whole.any() else tokenizer.encode_batch(units)
    )
    found = []
    for document, joined in zip(documents, whole, strict=True):
        ids: list[int] = []
        flags: list[int] = []
        if joined:
            unit = next(encoded)
            learnt: list[int] = []
            for piece, learn in document.pieces:
                learnt.extend([LEARN if learn else 0] * len(piece))
            ids = unit.ids
            flags = [learnt[max(end - 1, 0)] for _, end in unit.offsets]
        else:
            for _, learn in document.pieces:
                unit = next(encoded)
                ids.extend(unit.ids)
                flags.extend([LEARN if learn else 0] * len(unit.ids))
        if not ids:
            continue
        flags[0] |= FIRST
        found.append((np.array(ids[:ROW], np.int16), np.array(flags[:ROW], np.uint8)))
    return found


def pack(
    documents: list[tuple[NDArray[np.int16], NDArray[np.uint8]]],
) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """Lay documents into rows of `ROW` tokens, first fit among the open rows; id 0 pads."""
    rows: list[list[int]] = []
    room: list[int] = []
    open_rows: list[int] = []
    for index, (ids, _) in enumerate(documents):
        for row in open_rows:
            if room[row] >= len(ids):
                break
        else:
            row = len(rows)
            rows.append([])
            room.append(ROW)
            open_rows.append(row)
            if len(open_rows) > 24:
                open_rows.pop(min(range(24), key=lambda i: room[open_rows[i]]))
        rows[row].append(index)
        room[row] -= len(ids)
    tokens = np.zeros((len(rows), ROW), np.int16)
    flags = np.zeros((len(rows), ROW), np.uint8)
    for number, row_documents in enumerate(rows):
        at = 0
        for index in row_documents:
            ids, marks = documents[index]
            tokens[number, at : at + len(ids)] = ids
            flags[number, at : at + len(ids)] = marks
            at += len(ids)
        if at < ROW:
            flags[number, at] |= FIRST
    return tokens, flags


def _copies(job: tuple[int, str, NDArray[np.int16]]) -> Packed:
    from . import copies

    number, tokenizer_path, sample = job
    rng = np.random.default_rng(1_000_000 + number)
    letters = copies.alphabet(Path(tokenizer_path), sample, rng)
    return pack(copies.copies(rng, COPIES_A_JOB, letters))


def _shard(job: tuple[int, str, list[str]]) -> Packed:
    number, tokenizer_path, words = job
    tokenizer = Tokenizer.from_file(tokenizer_path)
    rng = np.random.default_rng(number)
    stream = dialogues(f"shard {number}", words)
    done: list[tuple[NDArray[np.int16], NDArray[np.uint8]]] = []
    total = 0
    while total < SHARD_TOKENS:
        part = encode(tokenizer, [next(stream) for _ in range(1000)], rng)
        done.extend(part)
        total += sum(len(ids) for ids, _ in part)
    return pack(done)


def build(
    data: Path,
    tokenizer_path: Path,
    out: Path,
    dialogue_tokens: float,
    workers: int,
    *,
    first: int = 0,
    copy_documents: int = 0,
) -> None:
    """Write the packed rows of dialogues, of sequences to copy if asked, and of texts.

    Each kind is a pair of files, `KIND_tokens.npy` and `KIND_flags.npy`, [rows, ROW] both.
    """
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    out.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    shards = max(1, round(dialogue_tokens / SHARD_TOKENS))
    words = text.dictionary(data)
    jobs = [(number, str(tokenizer_path), words) for number in range(first, first + shards)]
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        parts = []
        for part in pool.imap(_shard, jobs):
            parts.append(part)
            if len(parts) % workers == 0 or len(parts) == shards:
                print(f"{len(parts)}/{shards} shards, {time.monotonic() - start:.0f} s", flush=True)
        sample = parts[0][0][:200].ravel()
        runs = range(-(-copy_documents // COPIES_A_JOB))
        random = pool.map(_copies, [(run, str(tokenizer_path), sample) for run in runs])
    _save(out / "dialogues", parts)
    if random:
        _save(out / "copies", random)
    if (out / "texts_tokens.npy").exists():
        return  # they do not change
    tokenizer = Tokenizer.from_file(str(tokenizer_path))
    found = texts(data)
    order = np.random.default_rng(0).permutation(len(found))
    documents = encode(tokenizer, [found[i] for i in order], np.random.default_rng(1))
    _save(out / "texts", [pack(documents)])
    print(f"corpus done in {time.monotonic() - start:.0f} s", flush=True)


def _save(path: Path, parts: list[Packed]) -> None:
    tokens = np.concatenate([tokens for tokens, _ in parts])
    flags = np.concatenate([flags for _, flags in parts])
    np.save(f"{path}_tokens.npy", tokens)
    np.save(f"{path}_flags.npy", flags)
    used = float((np.cumsum(flags[:, ::-1] & LEARN, 1) > 0).mean())
    print(
        f"{path.name}: {tokens.size:,} tokens, {(flags & LEARN).mean():.0%} learnt, {used:.0%} used"
    )


def main() -> None:
    """Build the corpus from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_argument(parser)
    parser.add_argument("--tokenizer", type=Path, default=Path("runtime/shipped/tokenizer.json"))
    parser.add_argument("--out", type=Path, default=Path("build/shipped_model"))
    parser.add_argument("--dialogue-tokens", type=float, default=1.25e7)
    parser.add_argument("--first-shard", type=int, default=0, help="other data than shard 0's")
    parser.add_argument("--copy-documents", type=int, default=0, help="for a GPU: see copies.py")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    build(
        options.data,
        options.tokenizer,
        options.out,
        options.dialogue_tokens,
        options.workers,
        first=options.first_shard,
        copy_documents=options.copy_documents,
    )


if __name__ == "__main__":
    main()
