"""A program as a mermaid flowchart: what follows what, and which variable flows where.

A solid arrow is control flow; a dotted one, with the variable's name, leads from the statement that
binds a variable to one that reads it, in document order and around loops.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec

from .expressions import Const, Name, Read
from .nodes import Gen, Let, RoleBegin, Select
from .program import (
    Assign,
    Block,
    Break,
    Continue,
    Do,
    For,
    Fork,
    HostCall,
    If,
    Invoke,
    Join,
    Program,
    Raise,
    Return,
    Store,
    While,
    Within,
)
from .scopes import names_of
from .text import line_of

LABEL_CHARACTERS = 80  # a longer label is cut

_SHAPES: dict[type[Block], tuple[str, str]] = {
    If: ("{", "}"),
    For: ("{{", "}}"),
    While: ("{", "}"),
    Fork: ("[[", "]]"),
    Join: ("[[", "]]"),
    Invoke: ("[[", "]]"),
    HostCall: ("[/", "/]"),
    Return: ("([", "])"),
    Raise: ("([", "])"),
}
_SPECIAL = re.compile(r"[^\w .,=+*/!?()'-]", re.ASCII)

Exits = list[tuple[str, str]]  # nodes that lead on, each with the label of its arrow
Defined = Mapping[str, frozenset[str]]  # the nodes that may have bound a variable


def to_mermaid(program: Program) -> str:
    """Return a flowchart of a program, and of each that it invokes in a box of its own."""
    chart = _Chart()
    chart.function(program)
    for key, function in program.functions.items():
        box = f"f{len(chart.lines)}"
        chart.lines.append(f"subgraph {box}[{_label(key)}]")
        chart.function(function)
        chart.lines.append("end")
    lines = [*chart.lines, *chart.arrows]  # an arrow inside a box would pull its ends into it
    return "\n".join(["flowchart TD", *(f"    {line}" for line in lines)]) + "\n"


@dataclass(slots=True)
class _Loop:
    """Where `break` leaves the loop that is being drawn, and `continue` goes on with it."""

    head: str
    breaks: Exits = field(default_factory=list[tuple[str, str]])
    defined: list[Defined] = field(default_factory=list[Defined])  # at each break and continue


class _Chart:
    """The lines of a chart; a method that draws statements returns what leads on from them."""

    def __init__(self) -> None:
        self.lines: list[str] = []  # nodes and boxes
        self.arrows: dict[str, None] = {}  # a set that keeps its order
        self._count = 0
        self._reads: list[tuple[str, str]] = []  # (node, variable), in document order
        self._defined: dict[str, frozenset[str]] = {}
        self._loops: list[_Loop] = []

    def function(self, program: Program) -> None:
        """Draw one program, from a node that binds its parameters."""
        names = ", ".join(["s", *(parameter.name for parameter in program.parameters)])
        self._defined = {}
        start = self._node(f"{program.name}({names})", ("([", "])"), [])
        for parameter in program.parameters:
            self._defined[parameter.name] = frozenset({start})
        self._body(program.body, [(start, "")])

    def _node(self, label: str, shape: tuple[str, str], before: Exits) -> str:
        node = f"n{self._count}"
        self._count += 1
        self.lines.append(f"{node}{shape[0]}{_label(label)}{shape[1]}")
        for source, word in before:
            self._arrow(source, node, word)
        return node

    def _reader(self, step: Block, label: str, shape: tuple[str, str], before: Exits) -> str:
        node = self._node(label, shape, before)
        for name in reads(step):
            self._reads.append((node, name))
            self._read(node, name)
        return node

    def _arrow(self, source: str, target: str, word: str) -> None:
        self.arrows[f"{source} -->|{word}| {target}" if word else f"{source} --> {target}"] = None

    def _read(self, node: str, name: str) -> None:
        for source in sorted(self._defined.get(name, ())):
            self.arrows[f"{source} -.->|{_label(name)}| {node}"] = None

    def _body(self, blocks: tuple[Block, ...], before: Exits) -> Exits:
        for block in blocks:
            before = self._step(block, before)
        return before

    def _step(self, step: Block, before: Exits) -> Exits:
        shape = _SHAPES.get(type(step), ("[", "]"))
        if isinstance(step, Do) and isinstance(step.statement, Gen | Select):
            shape = ("(", ")")
        if isinstance(step, Within):
            return self._within(step, before)
        node = self._reader(step, line_of(step), shape, before)
        match step:
            case If():
                return self._branches(step, node)
            case For() | While():
                return self._loop(step, node)
            case Break() | Continue():
                self._jump(step, node)
                return []
            case Return() | Raise():
                return []
            case _:
                self._bind(step, node)
                return [(node, "")]

    def _within(self, step: Within, before: Exits) -> Exits:
        box = f"b{len(self.lines)}"
        self.lines.append(f"subgraph {box}[{_label(line_of(step).removeprefix('with '))}]")
        begin = "begin" if isinstance(step.begin, RoleBegin) else "scope"
        node = self._reader(step, begin, ("((", "))"), before)
        after = self._body(step.body, [(node, "")])
        self.lines.append("end")
        if not isinstance(step.begin, RoleBegin):
            self._defined[step.begin.out] = frozenset({node})
        return after

    def _branches(self, step: If, node: str) -> Exits:
        before = dict(self._defined)
        after = self._body(step.then, [(node, "yes")])
        then, self._defined = self._defined, before
        after = after + self._body(step.otherwise, [(node, "no")])
        self._defined = _either(then, self._defined)
        return after

    def _loop(self, step: For | While, node: str) -> Exits:
        loop = _Loop(node)
        self._loops.append(loop)
        first = len(self._reads) - len(list(reads(step)))  # the head reads again each round
        before = dict(self._defined)
        self._bind(step, node)
        again = "each" if isinstance(step, For) else "yes"
        for source, word in self._body(step.body, [(node, again)]):
            self._arrow(source, node, word)
        self._loops.pop()
        self._defined = _either(self._defined, *loop.defined)
        for reader, name in self._reads[first:]:
            if self._defined.get(name) != before.get(name):
                self._read(reader, name)
        self._defined = _either(before, self._defined)
        done = "done" if isinstance(step, For) else "no"
        return loop.breaks + self._body(step.otherwise, [(node, done)])

    def _jump(self, step: Break | Continue, node: str) -> None:
        if not self._loops:
            return
        loop = self._loops[-1]
        loop.defined.append(dict(self._defined))
        if isinstance(step, Break):
            loop.breaks.append((node, ""))
        else:
            self._arrow(node, loop.head, "")

    def _bind(self, step: Block, node: str) -> None:
        for name in binds(step):
            self._defined[name] = frozenset({node})


def binds(step: Block) -> Iterator[str]:
    """The variables, of the program and of its states, that a statement itself binds."""
    match step:
        case Do(statement=Gen(out=str(out)) | Select(out=str(out)) | Let(out=out)):
            yield out
        case Fork(out=out):
            yield out
        case Store(container=Name(), index=Const(value=str(name))):
            yield name
        case Assign(target=target) | For(target=target):
            yield from names_of(target)
        case Invoke(out=target) | HostCall(out=target) if target is not None:
            yield from names_of(target)
        case _:
            pass


def reads(step: Block) -> Iterator[str]:
    """The variables that a statement's own expressions read, those of its bodies apart."""
    for name in step.__struct_fields__:
        if name not in ("then", "otherwise", "body", "statement", "begin"):
            yield from _names_in(getattr(step, name))


def _names_in(value: Any) -> Iterator[str]:
    match value:
        case Read(state=state, name=Const(value=str(name))):
            yield name
            yield from _names_in(state)
        case Name(name=name):
            yield name
        case msgspec.Struct():
            for name in value.__struct_fields__:
                yield from _names_in(getattr(value, name))
        case tuple():
            items = cast("tuple[object, ...]", value)
            for item in items:
                yield from _names_in(item)
        case dict():
            pairs = cast("dict[str, object]", value)
            for item in pairs.values():
                yield from _names_in(item)
        case _:
            pass


def _either(*ways: Defined) -> dict[str, frozenset[str]]:
    """What may have bound each variable where several ways meet."""
    names = {name for way in ways for name in way}
    return {name: frozenset().union(*(way.get(name, ()) for way in ways)) for name in names}


def _label(text: str) -> str:
    """Quote a label: mermaid writes HTML entities `#35;`, and a quote is one."""
    if len(text) > LABEL_CHARACTERS:
        text = text[: LABEL_CHARACTERS - 1] + "…"
    return '"' + _SPECIAL.sub(lambda match: f"#{ord(match[0])};", text) + '"'
