"""What a program has said so far, for services that are sent all of it each time.

A chat model's turns reach the backend as what they are: `TurnFormat` writes them with strings of
the types `TurnBegin` and `TurnEnd`. So `s.text()` stays readable, and no text that a user or a
model writes can pass for the mark of a turn.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ...ir.errors import UnsupportedError
from ...ir.media import content_of
from ...ir.roles import RoleFormat


class TurnBegin(str):
    """The text before a turn; `role` says whose."""

    role: str

    @classmethod
    def of(cls, role: str, text: str) -> TurnBegin:
        """`text`, as the beginning of a turn of `role`."""
        mark = cls(text)
        mark.role = role
        return mark


class TurnEnd(str):
    """The text after a turn."""

    __slots__ = ()


class TurnFormat(RoleFormat, frozen=True, kw_only=True):
    """Turns that read like `PLAIN` ones and can be told from text."""

    def part(self, role: str) -> tuple[str, str]:
        """Prefix and suffix of a role, marked."""
        prefix, suffix = RoleFormat.part(self, role)
        return TurnBegin.of(role, prefix), TurnEnd(suffix)


@dataclass(slots=True)
class Turn:
    """One message of a conversation."""

    role: str
    content: str = ""
    images: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])


@dataclass(slots=True)
class Talk:
    """What a sequence holds.

    Attributes:
        text: everything, for a completion model.
        turns: the conversation, for a chat model; the last one may be open.
        is_open: whether it is.
        outside: what stands outside the turns, where a message has no place for it.
    """

    text: str = ""
    turns: list[Turn] = field(default_factory=list[Turn])
    is_open: bool = False
    outside: str = ""

    def append(self, text: str) -> None:
        """Take a literal, or a mark of a turn."""
        self.text += str(text)
        if isinstance(text, TurnBegin):
            self.turns.append(Turn(text.role))
            self.is_open = True
        elif isinstance(text, TurnEnd):
            self.is_open = False
        elif self.is_open:
            self.turns[-1].content += text
        else:
            self.outside += text

    def attach(self, url: str) -> None:
        """Take an image.

        Raises:
            UnsupportedError: no turn of the user is open.
        """
        if not self.is_open or self.turns[-1].role != "user":
            raise UnsupportedError(
                "a chat model is shown images in turns of the user, and this one stands outside",
                hint="Write s += user(image(...) + question).",
            )
        self.turns[-1].images.append((len(self.turns[-1].content), url))

    def messages(self) -> list[dict[str, Any]]:
        """The conversation, with the open turn last where something stands in it already.

        Text without any turn is one message of the user.
        """
        if not self.turns:
            return [{"role": "user", "content": self.text}]
        whole: list[dict[str, Any]] = [
            {"role": turn.role, "content": content_of(turn.content, turn.images)}
            for turn in self.turns
        ]
        return whole if self.prefix() or not self.is_open else whole[:-1]

    def prefix(self) -> str:
        """What the open turn begins with."""
        return self.turns[-1].content.lstrip() if self.is_open else ""

    def check_chat(self, *, takes_bare_text: bool) -> None:
        """See that a chat model can answer here.

        Args:
            takes_bare_text: a program without any role is sent as a message of the user.

        Raises:
            UnsupportedError: there is text outside the turns, or no turn of the assistant is open.
        """
        if takes_bare_text and not self.turns and self.outside.strip():
            return
        if self.outside.strip():
            raise UnsupportedError(
                f"a chat model takes messages only, but {_short(self.outside)} stands outside "
                "every role",
                hint="Put it into s.system(), s.user() or s.assistant().",
            )
        if not self.is_open or self.turns[-1].role != "assistant":
            where = (
                f"in a turn of {self.turns[-1].role!r}" if self.is_open else "outside every role"
            )
            raise UnsupportedError(
                f"a chat model writes turns of the assistant, and this gen stands {where}",
                hint="Write s += assistant(gen(...)).",
            )


def _short(text: str, limit: int = 40) -> str:
    text = text.strip()
    return repr(text if len(text) <= limit else text[:limit] + "…")
