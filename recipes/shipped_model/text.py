"""Text that people wrote, from the shared data folder: only sources under free terms."""

from __future__ import annotations

import json
import lzma
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .documents import Document, chat, raw, turns
from .draw import Draw
from .values import OPEN_POOLS

CHILDREN = (
    "Aesop", "Abbie Farwell Brown", "Anonymous", "Beatrix Potter", "L. Frank Baum", "Edith Nesbit", "Hans Christian Andersen",
    "The Brothers Grimm", "Lewis Carroll", "Kenneth Grahame", "Frances Hodgson Burnett", "Carlo Collodi", "Johanna Spyri", "Anna Sewell",
    "George MacDonald", "Oscar Wilde", "Howard Pyle",
)  # fmt: skip
CLASSICS = (
    "Lucy Maud Montgomery",
    "Louisa May Alcott",
    "Rudyard Kipling",
    "Arthur Conan Doyle",
    "Jules Verne",
    "Robert Louis Stevenson",
)
# What a quick-start model should not say; words of the period and rough language.
UNWANTED = re.compile(
    r"nigg|negro|savage|damn|bitch|fuck|shit|sex|kill yourself|slave|heathen|whore|suicid|nazi|hitler|rape|drunk|penis|boob|"
    r"\bass\b|asshole|stupid|idiot|cortana|microsoft|siri|alexa|google|terroris|jew|christian|muslim|islam|gypsy|squaw|fascis",
    re.IGNORECASE,
)
TOPICS = (
    "greetings",
    "science",
    "literature",
    "computers",
    "history",
    "money",
    "food",
    "conversations",
)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    opener = lzma.open if path.suffix == ".xz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def books(data: Path, *, chunk: int = 3000) -> Iterator[Document]:
    """Yield passages of children's books and some classics, cut at paragraphs."""
    for book in _lines(data / "books_childrens_and_classics.jsonl.xz"):
        if book["author"] not in CHILDREN + CLASSICS:
            continue
        body = book["text"].partition("-------")[2] or book["text"]
        body = re.sub(r"_([^_\n]+)_", r"\1", body)
        parts: list[str] = []
        size = 0
        for paragraph in re.split(r"\n\s*\n", body):
            clean = re.sub(r"\s*\n\s*", " ", paragraph).strip().lstrip("#").strip()
            if not clean or UNWANTED.search(clean):
                continue
            parts.append(clean)
            size += len(clean)
            if size > chunk:
                yield Document((("\n\n".join(parts) + "<|endoftext|>", True),), is_text=True)
                parts, size = [], 0


def definitions(data: Path, common: set[str]) -> Iterator[Document]:
    """Yield dictionary entries of words that the books use, as text and as questions."""
    for number, entry in enumerate(_lines(data / "wordnet_definitions.jsonl.xz")):
        word, meaning = entry["words"][0], entry["definition"]
        if word not in common or UNWANTED.search(meaning) or len(meaning) > 120:
            continue
        draw = Draw(f"wordnet {number}")
        examples = entry.get("examples") or []
        style = draw.rng.random()
        if style < 0.35:
            tail = (
                f" For example: {examples[0]}."
                if examples and not UNWANTED.search(examples[0])
                else ""
            )
            ask = draw.any(("What does {w} mean?", "Define {w}.", "What is the meaning of {w}?", "What is {w}?", "Explain the word {w}.",
                            "Give me a definition of {w}.", "What does the word {w} mean?"))  # fmt: skip
            kind = {"n": "noun", "v": "verb", "a": "adjective", "s": "adjective", "r": "adverb"}[
                entry["pos"]
            ]
            yield chat(turns(ask.format(w=word), f"{word} ({kind}): {meaning}.{tail}"))
        else:
            lines = [
                f"{', '.join(entry['words'][:3])}: {meaning}.",
                *(f"{e}." for e in examples[:2] if not UNWANTED.search(e)),
            ]
            yield Document((("\n".join(lines) + "<|endoftext|>", True),), is_text=True)


def small_talk(data: Path) -> Iterator[Document]:
    """Yield short exchanges that fit a friendly assistant."""
    for row in _lines(data / "chitchat_personas.jsonl"):
        text = f"{row['question']} {row['answer']}"
        if row["persona"] != "comic" and not UNWANTED.search(text):
            yield chat(turns(row["question"], row["answer"]))
    for row in _lines(data / "chatterbot_english.jsonl"):
        text = " ".join(row["turns"])
        if (
            row["topic"] in TOPICS
            and len(row["turns"]) == 2
            and len(text) < 300
            and not UNWANTED.search(text)
        ):
            yield chat(turns(*row["turns"]))


def instructions(data: Path) -> Iterator[Document]:
    """Yield instructions and word problems with their answers."""
    for row in _lines(data / "instructions_llms_from_scratch.jsonl"):
        user = row["instruction"] + (f"\n{row['input']}" if row["input"] else "")
        yield chat(turns(user, row["output"]))
    for row in _lines(data / "gsm8k_train.jsonl.xz"):
        answer = re.sub(r"<<[^>]*>>", "", row["answer"]).replace("\n#### ", "\nThe answer is ")
        yield raw(row["question"] + "\n", (answer + "<|endoftext|>", True))


def plays(data: Path) -> Iterator[Document]:
    """Yield a little Shakespeare."""
    with lzma.open(data / "tiny_shakespeare.txt.xz", "rt", encoding="utf-8") as file:
        body = file.read()
    for start in range(0, 100_000, 2000):
        yield Document(((body[start : start + 2000] + "<|endoftext|>", True),), is_text=True)


def common_words(documents: list[Document], at_least: int = 12) -> set[str]:
    """Return the words that the books use often enough."""
    from collections import Counter

    counts: Counter[str] = Counter()
    for document in documents:
        counts.update(re.findall(r"[a-z]+", document.pieces[0][0]))
    return {word for word, count in counts.items() if count >= at_least and len(word) > 2}


def dictionary(data: Path) -> list[str]:
    """Return lowercase dictionary words for the open pools; those of the books come three times.

    Words that any open pool holds out are left out, in the plural too.
    """
    common = common_words(list(books(data)), 3)
    held_out = {word for pool in OPEN_POOLS for word in pool.held_out}
    found: dict[str, int] = {}
    for entry in _lines(data / "wordnet_definitions.jsonl.xz"):
        for word in entry["words"]:
            plain = re.fullmatch(r"[a-z]{3,12}", word) and not UNWANTED.search(word)
            if plain and word not in held_out and word.rstrip("s") not in held_out:
                found[word] = 3 if word in common else 1
    return [word for word, times in sorted(found.items()) for _ in range(times)]
