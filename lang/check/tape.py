"""A sequence as far as it is known: how many tokens, and the text behind them.

It mirrors `Tokens` of the runtime: ids, then literal text that is tokenised as one when something
is computed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from .tokens import ANY, NONE, Counter, Pieces, Range, merged

LOOSE = 4  # tokens at the end of a text that may become others when more text follows


@dataclass(frozen=True, slots=True)
class Tape:
    """One sequence.

    Attributes:
        length: tokens that are settled.
        pending: text behind them.
        stored: tokens from its beginning whose keys and values an earlier statement has left.
        dynamic_line: where the turn that is open first had text that only a run knows; 0: nowhere.
        constant: characters of constant text since then.
        text_line: where the last text was appended.
        has_computed: whether something was generated or selected.
        messages: turns so far.
    """

    length: Range = NONE
    pending: Pieces = ()
    stored: Range = NONE
    dynamic_line: int = 0
    constant: int = 0
    text_line: int = 0
    has_computed: bool = False
    messages: int = 0
    is_in_turn: bool = False

    def append(self, pieces: Pieces, line: int) -> Tape:
        """Text is appended."""
        pieces = merged(pieces)
        if not pieces:
            return self
        tape = replace(self, pending=merged((*self.pending, *pieces)), text_line=line)
        for piece in pieces:
            if not isinstance(piece, str):
                tape = replace(tape, dynamic_line=line, constant=0)
            else:
                tape = replace(tape, constant=tape.constant + len(piece))
        return tape

    def written(self, text: str) -> Tape:
        """What the model's format puts around turns is appended."""
        return replace(self, pending=merged((*self.pending, text)))

    def begin_turn(self, role: str, counter: Counter) -> Tape:
        """A turn begins."""
        roles, tape = counter.roles, self
        if not tape.messages:
            tape = tape.written(roles.preamble)
            if role != "system" and roles.default_system is not None:
                prefix, suffix = roles.part("system")
                tape = tape.written(prefix + roles.default_system + suffix)
        tape = tape.written(roles.part(role)[0])
        return replace(
            tape,
            messages=self.messages + 1,
            is_in_turn=True,
            dynamic_line=self.dynamic_line if role == "system" else 0,
            constant=0,
        )

    def end_turn(self, role: str, counter: Counter) -> Tape:
        """A turn ends."""
        return replace(self.written(counter.roles.part(role)[1]), is_in_turn=False)

    def prompt(self, counter: Counter) -> Range:
        """All tokens, the pending text settled."""
        return self.length + counter.range(self.pending, at_start=self.length.most == 0)

    def cached(self, prompt: Range) -> Range:
        """How much of a prompt needs no computing: never its last token."""
        if self.stored.most is None:
            most = None if prompt.most is None else max(0, prompt.most - 1)
        else:
            bounds = [self.stored.most, *([] if prompt.most is None else [prompt.most - 1])]
            most = max(0, min(bounds))
        return Range(max(0, min(self.stored.least, prompt.least - 1)), most)

    def generated(self, prompt: Range, decoded: Range) -> Tape:
        """Text was generated; what stop strings cut off is not kept, so it may be nothing."""
        after = prompt + Range(0, decoded.most)
        return replace(self, length=after, pending=(), stored=after, **_COMPUTED)

    def chosen(self, options: tuple[str, ...] | None, counter: Counter) -> Tape:
        """One of the options was scored best, and is appended with the text before it."""
        pieces = [(*self.pending, option) for option in options or ()]
        at_start = self.length.most == 0
        after = ANY
        for index, way in enumerate(pieces):
            whole = self.length + counter.range(way, at_start=at_start)
            after = whole if index == 0 else after | whole
        stored = Range(max(0, after.least - 1), after.most)
        return replace(self, length=after, pending=(), stored=stored, **_COMPUTED)

    def pinned(self, prompt: Range) -> Tape:
        """What there is so far is computed, where there is a cache."""
        least, most = self.stored.least, prompt.most
        if most is not None and self.stored.most is not None:
            return replace(self, stored=Range(least, max(most, self.stored.most)))
        return replace(self, stored=Range(least, None))

    def forked(self, prompt: Range) -> Tape:
        """A branch begins with this; siblings may compute what it has in common with them."""
        return replace(self, stored=Range(max(self.stored.least, prompt.least - LOOSE), None))

    def shared(self) -> Tape:
        """Another sequence runs in the meantime, which may have text in common with this one."""
        return replace(self, stored=Range(self.stored.least, None))

    def joined(self, other: Tape, counter: Counter) -> Tape:
        """What is known where two ways meet."""
        if self == other:
            return self
        same = self.pending == other.pending
        mine, its = (self.length, other.length)
        if not same:
            mine, its = self.prompt(counter), other.prompt(counter)
        return Tape(
            length=mine | its,
            pending=self.pending if same else (),
            stored=self.stored | other.stored,
            dynamic_line=self.dynamic_line or other.dynamic_line,
            text_line=self.text_line if same else 0,
            has_computed=self.has_computed or other.has_computed,
            messages=max(self.messages, other.messages),
            is_in_turn=self.is_in_turn,
        )


_COMPUTED: dict[str, Any] = {
    "dynamic_line": 0,
    "constant": 0,
    "text_line": 0,
    "has_computed": True,
}
