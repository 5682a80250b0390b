"""A process that compiles for xgrammar, so that what takes too long or too much can be ended.

llguidance counts what it does and stops by itself; xgrammar does not: a grammar of a few kilobytes
can take minutes and gigabytes over a real vocabulary. Only such grammars come here (`is_cheap`).
What travels is length-prefixed text: the tokenizer first, then EBNF one way, and xgrammar's own
serialised form the other. Nothing is pickled. The process leaves when its input ends.
"""

from __future__ import annotations

import os
import resource
import select
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import xgrammar

__all__ = ["CompileError", "CompileProcess", "is_cheap", "main"]

TIMEOUT_S = 20.0  # of one grammar; less than what a request waits for it
START_S = 60.0
MAX_MEMORY_BYTES = 4 << 30
# Numbers in the serialised grammar x tokens. Of 128,256 tokens that is 125 numbers, at 80 ms for a
# state of free text and next to nothing for one of a literal.
MAX_CHEAP_WORK = 16_000_000

DONE, FAILED = b"+", b"-"
REPEAT = 8  # the number of a repetition among xgrammar's expressions


class CompileError(Exception):
    """xgrammar cannot compile it, or not within the limits."""


def is_cheap(grammar: dict[str, Any], vocab_size: int) -> bool:
    """Whether a serialised grammar is sure to compile within seconds."""
    data, starts = grammar["grammar_expr_data"], grammar["grammar_expr_indptr"]
    work = len(data)
    for start in starts:
        if data[start] == REPEAT:  # a rule, at least so often, at most so often or -1
            work += max(data[start + 3], data[start + 4])
    return work * vocab_size <= MAX_CHEAP_WORK


class CompileProcess:
    """Compiles one grammar at a time; started when first needed, and again when it was ended."""

    def __init__(self, info: xgrammar.TokenizerInfo) -> None:
        self._info = info
        self._process: subprocess.Popen[bytes] | None = None
        self._turn = threading.Lock()

    def compile(self, ebnf: str) -> xgrammar.CompiledGrammar:
        """Compile, or end the process that tries to.

        Raises:
            CompileError: what xgrammar says, or which limit is passed.
        """
        with self._turn:
            process = self._process or self._start()
            try:
                answer = _ask(process, ebnf.encode(), TIMEOUT_S)
            except TimeoutError:
                self.close()
                raise CompileError(f"it does not compile within {TIMEOUT_S:g} s") from None
            except (EOFError, BrokenPipeError):
                self.close()
                raise CompileError(
                    f"its compiler ended, as it does beyond {MAX_MEMORY_BYTES >> 30} GiB"
                ) from None
        if answer[:1] != DONE:
            raise CompileError(answer[1:].decode())
        return xgrammar.CompiledGrammar.deserialize_json(answer[1:].decode(), self._info)

    def close(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            with process:  # closes its pipes, and waits
                pass

    def __del__(self) -> None:
        self.close()

    def _start(self) -> subprocess.Popen[bytes]:
        # The child imports this very package, installed or not.
        package = Path(sys.modules[__name__.partition(".")[0]].__path__[0]).parent
        path = os.pathsep.join([str(package), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path},
        )
        with suppress(BrokenPipeError):  # the next call says so
            _ask(self._process, self._info.serialize_json().encode(), START_S)
        return self._process


def main() -> None:
    """Serve standard input."""
    source, out = sys.stdin.buffer, sys.stdout.buffer
    info = xgrammar.TokenizerInfo.deserialize_json(_take(source).decode())
    compiler = xgrammar.GrammarCompiler(info, max_threads=1, cache_enabled=False)
    resource.setrlimit(resource.RLIMIT_DATA, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    _put(out, DONE)
    while ebnf := _take(source):
        try:
            grammar = xgrammar.Grammar.from_ebnf(ebnf.decode())
            answer = DONE + compiler.compile_grammar(grammar).serialize_json().encode()
        except (RuntimeError, ValueError, MemoryError) as error:
            answer = FAILED + (str(error) or type(error).__name__).encode()
        _put(out, answer)


def _ask(process: subprocess.Popen[bytes], question: bytes, timeout_s: float) -> bytes:
    """Send a question and read the answer.

    Raises:
        TimeoutError: it did not come in time.
        EOFError: the process has ended.
    """
    assert process.stdin is not None
    assert process.stdout is not None
    _put(process.stdin, question)
    deadline = time.monotonic() + timeout_s
    head = _read(process.stdout.fileno(), 8, deadline)
    return _read(process.stdout.fileno(), int.from_bytes(head, "big"), deadline)


def _read(file: int, count: int, deadline: float) -> bytes:
    pieces: list[bytes] = []
    while count:
        left_s = deadline - time.monotonic()
        if left_s <= 0 or not select.select([file], [], [], left_s)[0]:
            raise TimeoutError
        piece = os.read(file, min(count, 1 << 20))
        if not piece:
            raise EOFError
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)


def _put(file: BinaryIO | Any, data: bytes) -> None:
    file.write(len(data).to_bytes(8, "big") + data)
    file.flush()


def _take(file: BinaryIO) -> bytes:
    """Read the next message; empty at the end."""
    return file.read(int.from_bytes(file.read(8), "big"))


if __name__ == "__main__":
    main()
