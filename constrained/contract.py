"""What a grammar promises of a schema, keyword by keyword.

* *enforced*: the mask allows no document that breaks the keyword.
* *checked*: the mask allows more; `Check` finds the documents that break it once they are closed.
* *refused*: neither can be promised, and nothing is generated.

In mode "strict", the default, a schema with anything but enforced keywords is an error before the
first token. In "best_effort" checked keywords are taken, and whoever generates must look at
`Grammar.check` before the text is called valid.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from .errors import GrammarError, UnsupportedError

__all__ = ["Contract", "Failure", "Finding", "Status"]


class Status(enum.StrEnum):
    """How far a keyword is kept."""

    ENFORCED = "enforced"
    CHECKED = "checked"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Finding:
    """One keyword of a schema, at one place."""

    pointer: str  # JSON pointer of the keyword in the document
    status: Status
    reason: str = ""  # why it is not enforced
    hint: str = ""  # the nearest schema that would be

    @property
    def keyword(self) -> str:
        """The last step of the pointer."""
        return self.pointer.rpartition("/")[2].replace("~1", "/").replace("~0", "~")

    def error(self) -> GrammarError:
        """Return the error of a schema that is not taken for this keyword's sake."""
        return UnsupportedError(
            f"{self.keyword} is not enforced: {self.reason}",
            kind="json_schema",
            pointer=self.pointer,
            hint=self.hint,
        )


@dataclass(frozen=True, slots=True)
class Failure:
    """One thing wrong with a document."""

    pointer: str  # JSON pointer into the document
    keyword: str  # JSON pointer of the schema's keyword, or "" for text that is no JSON
    reason: str


@dataclass(frozen=True, slots=True)
class Contract:
    """The findings of a schema in its order; empty for the other kinds, which masks enforce."""

    findings: tuple[Finding, ...] = field(default=())

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def of(self, status: Status) -> tuple[Finding, ...]:
        """Return the findings of one status."""
        return tuple(finding for finding in self.findings if finding.status is status)

    @property
    def is_enforced(self) -> bool:
        """Whether every document that the mask allows is valid."""
        return all(finding.status is Status.ENFORCED for finding in self.findings)

    def counts(self) -> dict[str, int]:
        """Return how many keywords have each status."""
        return {status.value: len(self.of(status)) for status in Status}

    def report(self) -> str:
        """Return a line a keyword: what is not enforced first."""
        order = [Status.REFUSED, Status.CHECKED, Status.ENFORCED]
        lines = [_line(finding) for status in order for finding in self.of(status)]
        return "\n".join(lines)

    @classmethod
    def joined(cls, findings: Iterable[Finding]) -> Contract:
        """Keep the worst finding of each pointer, in order of first sight."""
        worst: dict[str, Finding] = {}
        order = list(Status)
        for finding in findings:
            known = worst.get(finding.pointer)
            if known is None or order.index(finding.status) > order.index(known.status):
                worst[finding.pointer] = finding
        return cls(tuple(worst.values()))


def _line(finding: Finding) -> str:
    parts = [f"{finding.status.value:8} {finding.pointer or '(the root)'}"]
    parts += [part for part in (finding.reason, finding.hint) if part]
    return ": ".join(parts)
