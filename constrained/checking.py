"""A process that validates documents: lines of JSON in, lines of JSON out.

Validation runs Python's `re` over patterns of strangers, and these may take for ever while they
hold the GIL. So whoever serves asks this process, and ends it when its patience ends. The process
says "ready" first; it leaves when its input ends.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterable
from functools import lru_cache

import msgspec

from .check import Check
from .contract import Failure
from .spec import parse_json

__all__ = ["MAX_FAILURES", "Document", "Verdict", "answers", "main"]

MAX_FAILURES = 100  # of one document
MAX_MEMORY_BYTES = 1 << 30


class Document(msgspec.Struct, frozen=True):
    """A text and the schema that it is to be valid under."""

    schema: str  # JSON text
    text: str


class Verdict(msgspec.Struct, frozen=True):
    """What is wrong with a document; nothing where it is valid."""

    failures: list[Failure]


def answers(lines: Iterable[bytes]) -> Iterable[bytes]:
    """Yield the verdict on each document."""
    for line in lines:
        document = msgspec.json.decode(line, type=Document)
        try:
            found = _check(document.schema).failures(document.text)[:MAX_FAILURES]
        except (MemoryError, RecursionError) as error:
            found = [Failure("", "", f"the document cannot be checked: {type(error).__name__}")]
        yield msgspec.json.encode(Verdict(found)) + b"\n"


def main() -> None:
    """Serve standard input."""
    resource.setrlimit(resource.RLIMIT_DATA, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    out = sys.stdout.buffer
    out.write(b"ready\n")
    out.flush()
    for answer in answers(sys.stdin.buffer):
        out.write(answer)
        out.flush()


@lru_cache(maxsize=64)
def _check(schema: str) -> Check:
    return Check(parse_json(schema, kind="json_schema"))


if __name__ == "__main__":
    main()
