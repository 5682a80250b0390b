"""Writing grammars in llguidance's Lark: literals, and rules under names of their own.

An *expression* is Lark text that can stand anywhere: what needs parentheses already has them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

__all__ = ["LarkRules", "alternation", "literal"]


class LarkRules:
    """A grammar under construction, but for its rule `start`."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._known: dict[str, str] = {}  # body of a rule that was added: its name
        self._count = 0

    def reserve(self, kind: str = "part") -> str:
        """Return a fresh name, to be defined later; one in capitals is a terminal's."""
        self._count += 1
        return f"{kind}_{self._count}"

    def define(self, name: str, body: str) -> str:
        """Give `name` its body, and return the name."""
        self._lines.append(f"{name}: {body}")
        return name

    def add(self, body: str, *, is_lazy: bool = False) -> str:
        """Define a rule, unless one has the same body, and return its name."""
        key = f"[lazy] {body}" if is_lazy else body
        if key not in self._known:
            name = self._known[key] = self.reserve()
            self.define(f"{name}[lazy]" if is_lazy else name, body)
        return self._known[key]

    def grammar(self, start: str) -> str:
        """Return the whole grammar, one rule a line."""
        return "\n".join([f"start: {start}", *self._lines])


def literal(text: str) -> str:
    """Return an expression for exactly `text`."""
    return json.dumps(text, ensure_ascii=False)


def alternation(options: Sequence[str]) -> str:
    """Return an expression for any of one or more expressions, without repeats."""
    unique = list(dict.fromkeys(options))
    return unique[0] if len(unique) == 1 else f"({' | '.join(unique)})"
