"""What can be wrong with a grammar.

    GrammarError(ValueError)      a user's mistake, or a limit; `kind`, `reason`, `pointer`,
    `hint` say it to programs ├── MalformedError            the source is not a regex, a grammar,
    a JSON Schema, a list of choices ├── UnsupportedError          well-formed, but a mask cannot
    enforce it, so it is refused, not dropped ├── UnsatisfiableError        no finite text matches
    it ├── BudgetError               no document that is known fits into the tokens allowed
    └── LimitError                too large, too deep, too slow, or too many at once;
    `retryable` says if again can help

Nothing else leaves this room for a bad grammar: no exception of a back end, no `RecursionError`,
no `UnicodeError`.
"""

from __future__ import annotations

__all__ = [
    "BudgetError",
    "GrammarError",
    "LimitError",
    "MalformedError",
    "UnsatisfiableError",
    "UnsupportedError",
]


class GrammarError(ValueError):
    """A grammar that cannot be used. The request that brought it fails alone.

    Attributes:
        kind: the kind of grammar: "regex", "ebnf", "json_schema", "json_object" or "choices".
        reason: what is wrong, with the value seen and what is allowed.
        pointer: the JSON pointer of the schema keyword at fault; None for other kinds.
        hint: what to write instead; "" where there is nothing to say.
        retryable: whether the same grammar may succeed later.
    """

    retryable = False

    def __init__(
        self, reason: str, *, kind: str, pointer: str | None = None, hint: str = ""
    ) -> None:
        self.kind = kind
        self.reason = reason
        self.pointer = pointer
        self.hint = hint
        where = "" if pointer is None else f" at {pointer or '(the root)'}"
        super().__init__(f"{kind}{where}: {reason}" + (f" ({hint})" if hint else ""))


class MalformedError(GrammarError):
    """The source is not well-formed for its kind."""


class UnsupportedError(GrammarError):
    """The source is well-formed, but the mask cannot enforce all of it."""


class UnsatisfiableError(GrammarError):
    """No finite text matches: generation could never end."""


class BudgetError(GrammarError):
    """The budget of tokens is below what a document takes.

    Attributes:
        budget: tokens that may be generated.
        minimum: tokens that suffice for a document.
    """

    def __init__(self, budget: int, minimum: int, *, kind: str) -> None:
        self.budget = budget
        self.minimum = minimum
        super().__init__(
            f"a complete text needs {minimum} tokens, and {budget} may be generated",
            kind=kind,
            hint=f"Give it max_new_tokens={minimum} or more, and a prompt that leaves room.",
        )


class LimitError(GrammarError):
    """A limit of size, depth, time or queue is passed."""

    def __init__(
        self,
        reason: str,
        *,
        kind: str,
        pointer: str | None = None,
        hint: str = "",
        retryable: bool = False,
    ) -> None:
        super().__init__(reason, kind=kind, pointer=pointer, hint=hint)
        self.retryable = retryable
