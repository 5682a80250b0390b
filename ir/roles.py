"""How the turns of a conversation are written as text for one model."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class RoleFormat(msgspec.Struct, frozen=True, kw_only=True):
    """What stands before and after the content of each role's turn.

    Attributes:
        parts: role -> (prefix, suffix).
        default_system: inserted before a first turn that is not the system's; None: nothing is.
        preamble: text before the first turn (a template's BOS, where the tokenizer adds none).
        stop: strings that end a turn, beyond the tokenizer's EOS.
        user_after_system: prefix and suffix of a user's turn that follows a first turn of the
            system, where the two share one turn of the model's; None: as any user's.
    """

    parts: dict[str, tuple[str, str]]
    default_system: str | None = None
    preamble: str = ""
    stop: tuple[str, ...] = ()
    user_after_system: tuple[str, str] | None = None

    def turn(self, role: str, before: Sequence[str]) -> tuple[str, str]:
        """Prefix and suffix of a turn, given the roles of those before it."""
        if self.user_after_system is not None and role == "user" and list(before) == ["system"]:
            return self.user_after_system
        return self.part(role)

    def part(self, role: str) -> tuple[str, str]:
        """Prefix and suffix of a role; one that the format does not know gets the user's form."""
        found = self.parts.get(role)
        if found is not None:
            return found
        prefix, suffix = self.parts["user"]
        return prefix.replace("user", role).replace("USER", role.upper()), suffix


PLAIN = RoleFormat(
    parts={
        "system": ("SYSTEM:", "\n"),
        "user": ("USER:", "\n"),
        "assistant": ("ASSISTANT:", "\n"),
    }
)
