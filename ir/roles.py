"""How the turns of a conversation are written as text for one model."""

from __future__ import annotations

import msgspec


class RoleFormat(msgspec.Struct, frozen=True, kw_only=True):
    """What stands before and after the content of each role's turn.

    Attributes:
        parts: role -> (prefix, suffix).
        default_system: inserted before a first turn that is not the system's; None: nothing is.
        preamble: text before the first turn (a template's BOS, where the tokenizer adds none).
        stop: strings that end a turn, beyond the tokenizer's EOS.
    """

    parts: dict[str, tuple[str, str]]
    default_system: str | None = None
    preamble: str = ""
    stop: tuple[str, ...] = ()

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
