"""A program to look at: its statements in order, and the text that it is known to begin with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..ir.nodes import Stmt, Text
from ..ir.program import Program
from ..ir.text import to_text


@dataclass(frozen=True, slots=True)
class Node:
    """One statement of a trace.

    Attributes:
        number: its place, from 0.
        text: as the program's readable form writes it, indented where it stands inside another.
        previous: the statement before it.
    """

    number: int
    text: str
    previous: Node | None = field(default=None, repr=False)

    def print_graph_dfs(self) -> str:
        """The statements up to this one, a line each; SGLang's name for it."""
        lines: list[str] = []
        node: Node | None = self
        while node is not None:
            lines.append(f"%{node.number}: {node.text}")
            node = node.previous
        return "\n".join(reversed(lines))


@dataclass(frozen=True, slots=True)
class Trace:
    """What is known of a program without running it.

    Attributes:
        program: the compiled form.
        prefix: the statements that it begins with, given the arguments that were named.
        nodes: all statements.
    """

    program: Program
    prefix: tuple[Stmt, ...]
    nodes: Sequence[Node]

    @classmethod
    def of(cls, program: Program, prefix: tuple[Stmt, ...]) -> Trace:
        """The trace of a compiled program."""
        nodes: list[Node] = []
        for line in to_text(program).splitlines()[1:]:
            if line.strip():
                previous = nodes[-1] if nodes else None
                nodes.append(Node(len(nodes), line.removeprefix("    "), previous))
        return cls(program, prefix, nodes)

    @property
    def last_node(self) -> Node:
        """The last statement."""
        return self.nodes[-1]

    def text(self) -> str:
        """The text that the program is known to begin with, without the marks of its turns."""
        return "".join(at.text for at in self.prefix if isinstance(at, Text))

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"a trace has no {name!r}: nothing was generated. It has program, prefix, nodes, "
            "last_node and text()"
        )
