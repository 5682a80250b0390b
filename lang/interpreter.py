"""A running program under SGLang's names: `s.stream_executor` and what it shows."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from ..ir.machine import Execution
from ..ir.strand import Strand
from .state import ProgramState, StateGroup

ProgramStateGroup = StateGroup


@dataclass(frozen=True, slots=True)
class StreamExecutor:
    """What executes a program, to be looked at. Only `error` and `sync` wait.

    Attributes:
        strand: the executor itself.
    """

    strand: Strand

    @property
    def variables(self) -> dict[str, Any]:
        """The variables that have a value."""
        return {
            name: future.result()
            for name, future in self.strand.variables.items()
            if future.done() and future.exception() is None
        }

    @property
    def variable_event(self) -> dict[str, Future[Any]]:
        """A future for every variable that a statement binds."""
        return self.strand.variables

    @property
    def text_(self) -> str:
        """The text so far."""
        execution = self._execution
        return "" if execution is None else execution.text

    @property
    def messages_(self) -> list[dict[str, Any]]:
        """The turns that have ended."""
        execution = self._execution
        return [] if execution is None else execution.messages

    @property
    def meta_info(self) -> dict[str, Any]:
        """What is known of each generation so far."""
        execution = self._execution
        return {} if execution is None else execution.meta

    @property
    def backend(self) -> Any:
        """The machine's backend; None before the program has begun."""
        execution = self._execution
        return None if execution is None else execution.backend

    @property
    def is_finished(self) -> bool:
        """Whether everything has run."""
        return self.strand.done.done()

    @property
    def error_(self) -> Exception | None:
        """What has stopped the program, if anything has yet."""
        return self.strand.error

    def error(self) -> Exception | None:
        """Wait for everything so far; return what stopped the program, if anything did."""
        self.strand.wait()
        return self.strand.error

    def sync(self) -> None:
        """Wait for everything so far."""
        self.strand.wait()

    @property
    def _execution(self) -> Execution | None:
        return self.strand.execution


__all__ = ["ProgramState", "ProgramStateGroup", "StreamExecutor"]
