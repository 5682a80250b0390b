"""The formats of the families, as data: marks around calls, and what is written between them.

The names are those that SGLang gives to its parsers. The texts are what the families' own chat
templates write; where a template asks the model for more than one form, a format has more than one
layout, the first of which is the one that a forced call is written in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from ...ir.reasoning import FAMILIES, Marks

T = TypeVar("T")


class Writing(Enum):
    """How one call is written, between the marks."""

    OBJECT = '{"name": "f", "arguments": {"a": 1}}'
    NAMED = 'f<middle>{"a": 1}'
    PYTHON = "f(a=1)"
    TAGGED = "f<middle><key>a</key><value>1</value>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One way to write calls: `opens first begin CALL end separator begin CALL end closes`.

    A reader takes any white space where these texts have some or none, and calls whose closing
    texts are missing. Without `opens` and `begin` calls stand at the very beginning of the text.

    Attributes:
        opens: the mark before all calls.
        first: what follows it, once.
        begin: the mark before each call.
        writing: how a call is written.
        arguments: the key of the arguments, for objects.
        id_begin: what the id of a call begins with where it stands for the name, as in
            `functions.f:0`; empty: names stand by themselves.
        middle: between name and arguments, for named and tagged calls.
        argument: before a key, between it and its value, and behind the value, for tagged calls.
        end: the mark behind each call.
        separator: between two calls.
        closes: behind all calls.
    """

    opens: str = ""
    first: str = ""
    begin: str = ""
    writing: Writing = Writing.OBJECT
    arguments: str = "arguments"
    id_begin: str = ""
    middle: str = ""
    argument: tuple[str, str, str] = ("", "", "")
    end: str = ""
    separator: str = ""
    closes: tuple[str, ...] = ()

    @property
    def mark(self) -> str:
        """What shows in a text that calls begin; empty: only its beginning does."""
        return (self.opens or self.begin).partition("\n")[0].strip()


@dataclass(frozen=True, slots=True)
class Format:
    """How a family writes calls.

    Attributes:
        layouts: in the order in which they are tried.
        signs: a chat template that holds all the texts of one of these is of this family.
        id_chars: letters and digits of a call's id, where templates insist; 0: OpenAI's form.
    """

    layouts: tuple[Layout, ...]
    signs: tuple[tuple[str, ...], ...] = ()
    id_chars: int = 0

    @property
    def texts(self) -> list[str]:
        """All that is written around calls."""
        return [
            text
            for layout in self.layouts
            for text in (
                layout.mark,
                layout.begin,
                layout.middle,
                *layout.argument,
                layout.end,
                *layout.closes,
            )
        ]

    @property
    def marks(self) -> frozenset[str]:
        """What shows in a text that calls may begin."""
        return frozenset(layout.mark for layout in self.layouts) - {""}


HARMONY = Format(
    (
        Layout(
            begin="<|channel|>commentary to=functions.",
            writing=Writing.NAMED,
            middle=" <|constrain|>json<|message|>",
            end="<|call|>",
            separator="<|start|>assistant",
        ),
    ),
    (("<|channel|>", "<|call|>"),),
)
"""gpt-oss: thinking, answer and calls are messages on channels; `harmony.py` reads them."""

_TAGGED = Layout(begin="<tool_call>\n", end="\n</tool_call>", separator="\n")
_HERMES = Format((_TAGGED,), (("<tool_call>", '"name"', "arguments"),))
_CALLS = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"  # noqa: RUF001  (DeepSeek's own bars)
_CALL = "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>"  # noqa: RUF001
_SEP = "<｜tool▁sep｜>"  # noqa: RUF001
_DEEPSEEK_V3 = Layout(
    opens=_CALLS[0],
    begin=f"{_CALL[0]}function{_SEP}",
    writing=Writing.NAMED,
    middle="\n```json\n",
    end=f"\n```{_CALL[1]}",
    separator="\n",
    closes=(_CALLS[1],),
)
_DEEPSEEK_V31 = Layout(
    opens=_CALLS[0],
    begin=_CALL[0],
    writing=Writing.NAMED,
    middle=_SEP,
    end=_CALL[1],
    closes=(_CALLS[1],),
)
_KIMI_K2 = Layout(
    opens="<|tool_calls_section_begin|>",
    begin="<|tool_call_begin|>",
    writing=Writing.NAMED,
    id_begin="functions.",
    middle="<|tool_call_argument_begin|>",
    end="<|tool_call_end|>",
    closes=("<|tool_calls_section_end|>",),
)
_PARAMETER = "<parameter=", ">\n", "\n</parameter>\n"
_QWEN_3_CODER = Layout(
    begin="<tool_call>\n<function=",
    writing=Writing.TAGGED,
    middle=">\n",
    argument=_PARAMETER,
    end="</function>\n</tool_call>",
    separator="\n",
)
_GLM_45 = Layout(
    begin="<tool_call>",
    writing=Writing.TAGGED,
    middle="\n",
    argument=("<arg_key>", "</arg_key>\n<arg_value>", "</arg_value>\n"),
    end="</tool_call>",
    separator="\n",
)
_LLAMA_3 = Layout(arguments="parameters", separator="; ")
_PYTHON = Layout(first="[", writing=Writing.PYTHON, separator=", ", closes=("]",))

FORMATS: Mapping[str, Format] = {
    "gpt-oss": HARMONY,
    "deepseekv3": Format((_DEEPSEEK_V3,), ((_CALLS[0], "```json"),)),
    "deepseekv31": Format((_DEEPSEEK_V31,), ((_CALLS[0],),)),
    "mistral": Format(
        (
            Layout(opens="[TOOL_CALLS]", first="[", separator=", ", closes=("]",)),
            Layout(begin="[TOOL_CALLS]", writing=Writing.NAMED, middle="[ARGS]"),
            Layout(begin="[TOOL_CALLS]", writing=Writing.NAMED),
        ),
        (("[TOOL_CALLS]",),),
        id_chars=9,
    ),
    "kimi_k2": Format((_KIMI_K2,), ((_KIMI_K2.opens,),)),
    "qwen3_coder": Format(
        (
            _QWEN_3_CODER,
            Layout(  # the outer mark is left out at times, or has several calls
                begin="<function=",
                writing=Writing.TAGGED,
                middle=">",
                argument=_PARAMETER,
                end="</function>",
                closes=("</tool_call>",),
            ),
        ),
        (("<function=", "<parameter="),),
    ),
    "glm45": Format((_GLM_45,), (("<arg_key>",),)),
    "hermes": _HERMES,
    "qwen": _HERMES,
    "qwen25": _HERMES,
    "phi4_mini": Format(
        (
            Layout(opens="functools", first="[", separator=", ", closes=("]",)),
            Layout(
                opens="<|tool_call|>", first="[", separator=", ", closes=("]", "<|/tool_call|>")
            ),
        ),
        (("functools",), ("<|tool_call|>",), ("<|tool|>", "<|/tool|>")),
    ),
    "pythonic": Format(
        (
            _PYTHON,
            Layout(
                opens="<|python_start|>",
                first="[",
                writing=Writing.PYTHON,
                separator=", ",
                closes=("]", "<|python_end|>"),
            ),
        ),
        (("<|python_start|>",), ("[func_name1(",)),
    ),
    "llama3": Format(
        (
            _LLAMA_3,
            Layout(opens="<|python_tag|>", arguments="parameters", separator="; "),
        ),
        (("<|python_tag|>",), ("<|start_header_id|>", '"parameters": ')),
    ),
}
"""Formats of calls by name; several names may mean one.

They are in the order in which a template is searched for their signs: Llama's pythonic templates
know the tag of its JSON ones, too.
"""

AUTO, NONE = "auto", "none"


def find_format(name: str, template: str) -> Format | None:
    """The format of a name; for `auto` the one of a chat template. None: calls are not read.

    Raises:
        ValueError: no format is named so; the message lists those that are.
    """
    if name == NONE:
        return None
    if name == AUTO:
        return next((one for one in FORMATS.values() if _shows(one.signs, template)), None)
    return _named(FORMATS, name, "tool calls", "--tool-call-parser")


def find_thinking(name: str, template: str) -> Marks | Format | None:
    """The marks of thinking, likewise; `HARMONY` has channels instead. None: it is not told apart.

    Raises:
        ValueError: no family is named so; the message lists those that are.
    """
    if name == NONE:
        return None
    if name == AUTO and _shows(HARMONY.signs, template):
        return HARMONY
    if name == AUTO:  # whether thinking is open where an answer begins, the prompt tells
        families = (FAMILIES[one] for one in ("qwen3", "kimi", "mistral"))
        return next((one for one in families if one.end in template), None)
    known: dict[str, Marks | Format] = {**FAMILIES, "gpt-oss": HARMONY}
    return _named(known, name, "thinking", "--reasoning-parser")


def _shows(signs: tuple[tuple[str, ...], ...], template: str) -> bool:
    return any(all(text in template for text in texts) for texts in signs)


def _named(known: Mapping[str, T], name: str, what: str, option: str) -> T:
    found = known.get(name)
    if found is None:
        names = ", ".join((AUTO, NONE, *sorted(known)))
        raise ValueError(f"no format of {what} is named {name!r}; {option} takes {names}")
    return found
