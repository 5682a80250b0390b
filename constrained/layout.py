"""How a JSON text is laid out: what may stand between its marks, and in which order keys come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .ebnf import Charset, Rules, literal, one_of, repeated

__all__ = ["COMPACT", "MAX_INDENT", "Layout", "Marks", "PropertyOrder", "Whitespace"]

Whitespace = Literal["compact", "flexible"]
PropertyOrder = Literal["declared", "any"]

MAX_INDENT = 32  # spaces and tabs in a row
INDENT: Charset = ((ord("\t"), ord("\t")), (ord(" "), ord(" ")))


@dataclass(frozen=True, slots=True)
class Layout:
    """The layout of a schema's documents.

    Attributes:
        whitespace: "compact": one space may follow a comma or a colon, and nothing else stands
            between marks. "flexible": one line break, then up to `MAX_INDENT` spaces and tabs, may
            stand before and behind every mark; so no blanks go on for ever.
        property_order: "any": what an object names comes in any order, then its other members.
        is_near: of EBNF alone: what it cannot say of orders is left out, so that more is derived.
    """

    whitespace: Whitespace = "compact"
    property_order: PropertyOrder = "declared"
    is_near: bool = False


COMPACT = Layout()


@dataclass(frozen=True, slots=True)
class Marks:
    """What stands between the parts of a JSON text, as expressions of one EBNF grammar.

    Attributes:
        blank: goes before the first part of a list or object and before the bracket that closes:
            the name of a rule and a space, or nothing.
        comma: with what may stand around it.
        colon: the same.
        following: what may follow a string, as the inside of a class of characters.
    """

    blank: str
    comma: str
    colon: str
    following: str

    @classmethod
    def of(cls, whitespace: Whitespace, rules: Rules) -> Marks:
        """Write the marks of a layout, with a rule of their own where they need one."""
        if whitespace == "compact":
            # As in most JSON that models have read: forbidding the space costs them accuracy.
            return cls("", '("," " "?)', '(":" " "?)', ",}\\]:")
        line, indent = repeated(literal("\n"), 0, 1), repeated(one_of(INDENT), 0, MAX_INDENT)
        blank = rules.add(f"({line} {indent})")
        comma, colon = (f'({blank} "{mark}" {blank})' for mark in ",:")
        return cls(f"{blank} ", comma, colon, ",}\\]: \\U00000009\\U0000000a")
