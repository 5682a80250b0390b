"""Statements of a program: immutable values, each its own wire form.

A statement acts on one *sequence* (the token ids so far) and binds variables. Today's statements
are the straight-line ones that an eagerly run function emits one by one; control flow joins them
when functions are compiled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from .reasoning import find_marks


@dataclass(frozen=True, eq=False, slots=True)
class Span:
    """Where a statement was written. All are equal: a place never changes what a node means."""

    file: str = ""
    line: int = 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Span)

    def __hash__(self) -> int:
        return 0

    def __str__(self) -> str:
        return f"{self.file.rpartition('/')[2]}:{self.line}"


NOWHERE = Span()


class Logprobs(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which log-probabilities a generation reports in its meta information."""

    start: int | None = None  # first prompt position that is scored; None: output only
    top: int | None = None  # alternatives a position
    with_text: bool = False


class Sampling(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Sampling parameters that were said; `None` leaves the value to whoever runs the program.

    Names and ranges are those of the runtime's `SamplingParams`.
    """

    max_new_tokens: int | None = None  # tokens, not characters
    min_new_tokens: int | None = None
    n: int | None = None  # samples
    stop: tuple[str, ...] | None = None
    stop_token_ids: tuple[int, ...] | None = None
    stop_regex: tuple[str, ...] | None = None  # patterns, as in `stop_patterns`
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    repetition_penalty: float | None = None
    ignore_eos: bool | None = None
    sampling_seed: int | None = None
    skip_special_tokens: bool | None = None
    spaces_between_special_tokens: bool | None = None
    report: Logprobs | None = None  # of gens that do not say `logprobs`; no backend sees it

    def over(self, defaults: Sampling) -> Sampling:
        """Return `defaults` with every field replaced that is said here."""
        said = self.said()
        return msgspec.structs.replace(defaults, **said) if said else defaults

    def said(self) -> dict[str, Any]:
        """The fields that are not `None`."""
        return {k: v for k, v in msgspec.structs.asdict(self).items() if v is not None}


class Statement(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=str.lower):
    """Root of the statements. Compared by value; `{"type": "gen", ...}` on the wire."""


class Text(Statement, frozen=True, kw_only=True):
    """Append a literal to the sequence."""

    text: str


class Image(Statement, frozen=True, kw_only=True):
    """Show the model an image here.

    `url` is a data URL, an address that the model's service fetches, or the reference of an image
    that travels beside the program (`images.reference`).
    """

    url: str


class RoleBegin(Statement, frozen=True, kw_only=True):
    """Open a turn of a conversation."""

    role: str


class RoleEnd(Statement, frozen=True, kw_only=True):
    """Close the turn that is open."""

    role: str


# Fields of `Gen` whose value is the source of a grammar of that kind.
CONSTRAINTS: tuple[
    Literal["regex", "ebnf", "gbnf", "lark", "structural_tag", "json_schema"], ...
] = ("regex", "ebnf", "gbnf", "lark", "structural_tag", "json_schema")

# Fields of `Gen` that say more of `json_schema`.
SCHEMA_OPTIONS = ("schema_mode", "property_order", "whitespace")


class Gen(Statement, frozen=True, kw_only=True):
    """Sample a continuation of the sequence so far and bind it to `out`.

    At most one of `CONSTRAINTS` is given; `json_schema` and `structural_tag` are JSON texts. With
    `reasoning`, a family of `reasoning.FAMILIES`, only the answer stays in the sequence, and only
    the answer is constrained; the thinking before it is bound to a variable of its own.
    """

    out: str | None = None
    sampling: Sampling = Sampling()
    regex: str | None = None
    ebnf: str | None = None
    json_schema: str | None = None
    logprobs: Logprobs | None = None
    reasoning: str | None = None
    gbnf: str | None = None
    lark: str | None = None
    structural_tag: str | None = None
    schema_mode: str | None = None  # of `json_schema`: "best_effort" also takes what is checked
    property_order: str | None = None  # of `json_schema`: "any" leaves it to the model
    reasoning_tokens: int | None = None  # after so many the thinking is closed
    whitespace: str | None = None  # of `json_schema`: "flexible" lets the model indent

    def constraint(self) -> dict[str, str]:
        """What constrains the text, by the names of the fields; empty for nothing."""
        given = {name: getattr(self, name) for name in (*CONSTRAINTS, *SCHEMA_OPTIONS)}
        return {name: value for name, value in given.items() if value is not None}

    def held(self) -> dict[str, Any]:
        """The sampling parameters of a runtime of ours that hold the text to its constraint.

        Thinking that nothing bounds, before an answer that nothing constrains, is left alone.
        """
        said: dict[str, Any] = self.constraint()
        if self.reasoning is None or not (said or self.reasoning_tokens is not None):
            return said
        marks = find_marks(self.reasoning)
        begin = "" if marks.is_open else marks.begin
        bound = {} if self.reasoning_tokens is None else {"max_tokens": self.reasoning_tokens}
        return {**said, "reasoning": {"begin": begin, "end": marks.end, "gap": "\n\n", **bound}}


class Select(Statement, frozen=True, kw_only=True):
    """Score every choice as a continuation, append the best and bind it to `out`."""

    choices: tuple[str, ...]
    out: str | None = None
    method: str = "token_length_normalized"  # a key of `choices.METHODS`


class Let(Statement, frozen=True, kw_only=True):
    """Bind a plain value."""

    out: str
    value: Any


class ScopeBegin(Statement, frozen=True, kw_only=True):
    """From here to the matching end, the text is also bound to `out`."""

    out: str


class ScopeEnd(Statement, frozen=True, kw_only=True):
    """End of the `ScopeBegin` that was opened last."""

    out: str


class Pin(Statement, frozen=True, kw_only=True):
    """Keep what the sequence has so far in the cache of who runs it, under a name.

    It outlives the program: for `ttl_s` seconds, or until it is unpinned. The sequence is as it
    was, and where nothing is cached nothing happens.
    """

    name: str
    ttl_s: float | None = None


Stmt = Text | Image | RoleBegin | RoleEnd | Gen | Select | Let | ScopeBegin | ScopeEnd | Pin

JoinMode = Literal["gather_variable", "concate_and_append"]
