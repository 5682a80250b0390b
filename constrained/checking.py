"""A process that validates documents: JSON in, JSON out.

Validation runs Python's `re` over patterns of strangers, and these may take for ever while they
hold the GIL. So whoever serves asks this process, and ends it when its patience ends. The process
says an empty word when it is there; it leaves when its input ends.
"""

from __future__ import annotations

import resource
import sys
from functools import lru_cache

import msgspec

from .check import Check
from .child import put, questions
from .contract import Failure
from .spec import parse_json

__all__ = ["MAX_FAILURES", "Document", "Verdict", "answer", "main"]

MAX_FAILURES = 100  # of one document
MAX_MEMORY_BYTES = 1 << 30


class Document(msgspec.Struct, frozen=True):
    """A text and the schema that it is to be valid under."""

    schema: str  # JSON text
    text: str


class Verdict(msgspec.Struct, frozen=True):
    """What is wrong with a document; nothing where it is valid."""

    failures: list[Failure]


def answer(question: bytes) -> bytes:
    """Return the verdict on a document."""
    document = msgspec.json.decode(question, type=Document)
    try:
        found = _check(document.schema).failures(document.text)[:MAX_FAILURES]
    except (MemoryError, RecursionError) as error:
        found = [Failure("", "", f"the document cannot be checked: {type(error).__name__}")]
    return msgspec.json.encode(Verdict(found))


def main() -> None:
    """Serve standard input."""
    resource.setrlimit(resource.RLIMIT_DATA, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    put(sys.stdout.buffer, b"")
    for question in questions(sys.stdin.buffer):
        put(sys.stdout.buffer, answer(question))


@lru_cache(maxsize=64)
def _check(schema: str) -> Check:
    return Check(parse_json(schema, kind="json_schema"))


if __name__ == "__main__":
    main()
