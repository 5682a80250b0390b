"""What a check says: findings, and the report that holds them in order."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Literal

import msgspec

Severity = Literal["error", "warning", "note"]

CODES: dict[str, Severity] = {
    "unbound-variable": "error",
    "maybe-unbound-variable": "warning",
    "shadowed-variable": "warning",
    "shadowed-argument": "warning",
    "unreachable": "warning",
    "impossible-option": "error",
    "invalid-regex": "error",
    "invalid-ebnf": "error",
    "invalid-grammar": "error",
    "invalid-schema": "error",
    "unsupported-regex": "error",
    "unsupported-grammar": "error",
    "unsupported-schema": "error",
    "empty-constraint": "error",
    "empty-options": "error",
    "equal-options": "warning",
    "prefix-options": "warning",
    "invalid-call": "error",
    "unbounded-gen": "warning",
    "unbounded-loop": "warning",
    "trailing-space": "warning",
    "split-token": "warning",
    "prefix-cache": "warning",
    "budget": "error",
    "context-overflow": "error",
    "maybe-context-overflow": "warning",
    "not-compiled": "note",
}
"""Every code that a finding may have, and how severe it is."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One fault of a program, at one place.

    Attributes:
        file: where it was written.
        line: from 1; 0 where no line is known.
        code: a key of `CODES`.
        message: what is wrong, and what the machine does about it.
        fix: what to write instead.
    """

    file: str
    line: int
    code: str
    severity: Severity
    message: str
    fix: str

    def __str__(self) -> str:
        return (
            f"{os.path.basename(self.file)}:{self.line}: {self.severity} {self.code}: "
            f"{self.message}\n    {self.fix}"
        )


def finding(file: str, line: int, code: str, message: str, fix: str) -> Finding:
    """Make a finding, as severe as `CODES` says."""
    return Finding(file=file, line=line, code=code, severity=CODES[code], message=message, fix=fix)


class Report(tuple[Finding, ...]):
    """Findings, each once, by place; prints one under the other."""

    __slots__ = ()

    @classmethod
    def of(cls, findings: Iterable[Finding]) -> Report:
        """Sort findings by place and leave repeats out."""
        unique = {(f.file, f.line, f.code, f.message): f for f in findings}
        return cls(unique[key] for key in sorted(unique))

    @property
    def errors(self) -> Report:
        """Those that no run gets past."""
        return Report(f for f in self if f.severity == "error")

    @property
    def warnings(self) -> Report:
        """Those that a run may get past."""
        return Report(f for f in self if f.severity == "warning")

    def __str__(self) -> str:
        return "\n".join(map(str, self)) or "nothing found"

    __repr__ = __str__
