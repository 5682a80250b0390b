"""Thinking told apart from the answer, for models that write both into one text.

A family of models is data: the marks around its thinking, and whether its chat template has opened
the thinking already. A mark counts at the very beginning only, so that an answer may speak of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class Marks:
    """How a family of models writes its thinking.

    Attributes:
        begin: what opens it.
        end: what closes it; without it all is thinking, cut short by a limit.
        is_open: the prompt ends inside the thinking, so that `begin` may be missing.
    """

    begin: str = "<think>"
    end: str = "</think>"
    is_open: bool = False


_OPEN = Marks(is_open=True)
FAMILIES: Mapping[str, Marks] = {
    "deepseek-r1": _OPEN,
    "deepseek-v3": Marks(),
    "glm45": Marks(),
    "interns1": Marks(),
    "kimi": Marks("◁think▷", "◁/think▷"),
    "kimi_k2": Marks(),
    "minimax": _OPEN,
    "mistral": Marks("[THINK]", "[/THINK]"),
    "qwen3": Marks(),
    "qwen3-thinking": _OPEN,
    "step3": _OPEN,
}
"""Marks by the names that SGLang gives to the families."""


def find_marks(model_type: str) -> Marks:
    """The marks of a family.

    Raises:
        ValueError: it is not known; the message lists those that are.
    """
    marks = FAMILIES.get(model_type)
    if marks is None:
        raise ValueError(
            f"no family of reasoning models is named {model_type!r}; "
            f"known: {', '.join(sorted(FAMILIES))}"
        )
    return marks


def reasoning_name(out: str) -> str:
    """The variable that holds the thinking before the text of the variable `out`."""
    return f"{out}_reasoning_content"


class _At(Enum):
    START = "nothing but white space, or a part of the first mark"
    THINKING = "inside the thinking"
    ANSWER = "after it"
    PLAIN = "a text without thinking"


class ReasoningParser:
    """Splits a text, whole or as it comes; the names of the methods are SGLang's.

    White space around the thinking and the answer is dropped; a text without thinking stays as it
    is. The pieces of a stream join to exactly what the whole text is split into.

    Args:
        model_type: a key of `FAMILIES`, or marks of one's own.
        stream_reasoning: let thinking out as it comes, else only when it has ended.
        force_reasoning: whether the text begins inside the thinking; by default the family says.

    Raises:
        ValueError: an unknown family.
    """

    def __init__(
        self,
        model_type: str | Marks,
        stream_reasoning: bool = True,
        force_reasoning: bool | None = None,
    ) -> None:
        self.marks = find_marks(model_type) if isinstance(model_type, str) else model_type
        self._is_open = self.marks.is_open if force_reasoning is None else force_reasoning
        self._streams = stream_reasoning
        self._at: _At
        self._buffer: str
        self._begun: bool  # whether some of the present part was let out
        self._kept: str  # thinking that waits for its end
        self._begin_again()

    def parse_non_stream(self, full_text: str) -> tuple[str, str]:
        """Return the thinking and the answer of a whole text."""
        self._begin_again()
        pieces = self.parse_stream_chunk(full_text), self.finish()
        return "".join(thought for thought, _ in pieces), "".join(said for _, said in pieces)

    def parse_stream_chunk(self, chunk: str) -> tuple[str, str]:
        """Take a piece of text; return the thinking and the answer that are sure by now."""
        self._buffer += chunk
        if self._at is _At.START and not self._decide():
            return "", ""
        if self._at is _At.PLAIN:
            said, self._buffer = self._buffer, ""
            return "", said
        thought = self._think() if self._at is _At.THINKING else ""
        return thought, self._let_out(len(self._buffer)) if self._at is _At.ANSWER else ""

    def finish(self) -> tuple[str, str]:
        """Return the thinking and the answer that were held back; the text has ended."""
        if self._at is _At.START:
            self._at = _At.THINKING if self._is_open else _At.PLAIN
        thought = said = ""
        if self._at is _At.PLAIN:
            said = self._buffer
        elif self._at is _At.THINKING:
            thought = self._kept + self._let_out(len(self._buffer))
        self._begin_again()
        return thought, said

    def _begin_again(self) -> None:
        self._at = _At.START
        self._buffer = ""
        self._kept = ""
        self._begun = False

    def _decide(self) -> bool:
        """See how the text begins, if that can be told yet."""
        body, begin = self._buffer.lstrip(), self.marks.begin
        if body.startswith(begin):
            self._at, self._buffer = _At.THINKING, body[len(begin) :]
        elif begin.startswith(body):
            return False
        else:
            self._at = _At.THINKING if self._is_open else _At.PLAIN
        return True

    def _think(self) -> str:
        end = self.marks.end
        place = self._buffer.find(end)
        if place < 0:
            lengths = range(min(len(end) - 1, len(self._buffer)), 0, -1)
            held = next((n for n in lengths if self._buffer.endswith(end[:n])), 0)
            thought = self._let_out(len(self._buffer) - held)
            if self._streams:
                return thought
            self._kept += thought
            return ""
        thought = self._kept + self._let_out(place)
        self._buffer = self._buffer.partition(end)[2]
        self._at, self._kept, self._begun = _At.ANSWER, "", False
        return thought

    def _let_out(self, length: int) -> str:
        """Let out the buffer's first characters, but no white space that may be the last."""
        text = self._buffer[:length].rstrip()
        self._buffer = self._buffer[len(text) :]
        shown = text if self._begun else text.lstrip()
        self._begun = self._begun or bool(shown)
        return shown
