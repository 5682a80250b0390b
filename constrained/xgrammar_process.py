"""A process that compiles for xgrammar, so that what takes too long or too much can be ended.

llguidance counts what it does and stops by itself; xgrammar does not: a grammar of a few kilobytes
can take minutes and gigabytes over a real vocabulary. Only such grammars come here (`is_cheap`).
What travels is text: the tokenizer first, then EBNF one way, and xgrammar's own serialised form
the other. The process leaves when its input ends.
"""

from __future__ import annotations

import resource
import sys
import threading
from typing import Any

import xgrammar

from .child import Child, put, questions

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
        self._child: Child | None = None
        self._turn = threading.Lock()

    def compile(self, ebnf: str) -> xgrammar.CompiledGrammar:
        """Compile, or end the process that tries to.

        Raises:
            CompileError: what xgrammar says, or which limit is passed.
        """
        with self._turn:
            try:
                child = self._child or self._start()
                answer = child.ask(ebnf.encode(), TIMEOUT_S)
            except TimeoutError:
                self.close()
                raise CompileError(f"it does not compile within {TIMEOUT_S:g} s") from None
            except EOFError:
                self.close()
                raise CompileError(
                    f"its compiler ended, as it does beyond {MAX_MEMORY_BYTES >> 30} GiB"
                ) from None
        if answer[:1] != DONE:
            raise CompileError(answer[1:].decode())
        return xgrammar.CompiledGrammar.deserialize_json(answer[1:].decode(), self._info)

    def close(self) -> None:
        """End the process, if there is one."""
        child, self._child = self._child, None
        if child is not None:
            child.end()

    def __del__(self) -> None:
        self.close()

    def _start(self) -> Child:
        self._child = Child.of_module(__name__)
        self._child.ask(self._info.serialize_json().encode(), START_S)
        return self._child


def main() -> None:
    """Serve standard input."""
    asked, out = questions(sys.stdin.buffer), sys.stdout.buffer
    info = xgrammar.TokenizerInfo.deserialize_json(next(asked).decode())
    compiler = xgrammar.GrammarCompiler(info, max_threads=1, cache_enabled=False)
    resource.setrlimit(resource.RLIMIT_DATA, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    put(out, DONE)
    for ebnf in asked:
        try:
            grammar = xgrammar.Grammar.from_ebnf(ebnf.decode())
            answer = DONE + compiler.compile_grammar(grammar).serialize_json().encode()
        except (RuntimeError, ValueError, MemoryError) as error:
            answer = FAILED + (str(error) or type(error).__name__).encode()
        put(out, answer)


if __name__ == "__main__":
    main()
