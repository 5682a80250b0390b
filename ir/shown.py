"""Which parameters of a program are images and nothing else.

Where a program runs elsewhere, such an argument travels as a reference and its image beside the
program: nobody can tell, since whatever the program does with it is to show it. What a program
shows besides, paths that it computes for instance, the client is asked for when the program gets
there.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec

from .expressions import Bind, Expression, Index, Name, Target
from .nodes import Image
from .program import Assign, Do, For, Invoke, Program

Place = tuple[str, str]  # a function of the program, and a name in it
MAIN = ""  # the program itself


@dataclass(frozen=True, slots=True)
class Shown:
    """What a program shows beyond the images that it names itself.

    Attributes:
        parameters: those that it only shows, one by one or as lists.
        has_holes: whether it shows what only a run knows.
    """

    parameters: frozenset[str] = frozenset()
    has_holes: bool = False


def find_shown(program: Program) -> Shown:
    """Return what a program shows. Cost: one walk over it."""
    walk = _Walk(program)
    for function, each in ((MAIN, program), *program.functions.items()):
        walk.visit(each.body, function)
    return Shown(walk.parameters(), bool(walk.shown))


@dataclass(slots=True)
class _Walk:
    """Collects what becomes of names.

    Attributes:
        shown: names that are shown, or an item of them.
        used: names of which something else is done.
        flows: names → the names that get their values, or items of these.
    """

    program: Program
    shown: set[Place] = field(default_factory=set[Place])
    used: set[Place] = field(default_factory=set[Place])
    flows: defaultdict[Place, set[Place]] = field(default_factory=lambda: defaultdict(set))

    def parameters(self) -> frozenset[str]:
        """The parameters whose values reach images, and nothing else."""
        names = [parameter.name for parameter in self.program.parameters]
        reached = {name: self._reached((MAIN, name)) for name in names}
        return frozenset(
            name
            for name, places in reached.items()
            if places & self.shown and not places & self.used
        )

    def _reached(self, start: Place) -> set[Place]:
        reached, pending = {start}, [start]
        while pending:
            new = self.flows[pending.pop()] - reached
            reached |= new
            pending += new
        return reached

    def visit(self, value: Any, function: str) -> None:
        """Walk over statements and expressions; what is not named here is a use like any other."""
        match value:
            case Do(statement=Image(), holes={"url": source}):
                self.visit(value.state, function)
                if (name := self._root(source, function)) is not None:
                    self.shown.add((function, name))
                else:
                    self.shown.add((function, ""))  # something that has no name
            case Assign(target=target, value=source):
                self._passed(source, target, function)
            case For(target=target, items=items):
                self._passed(items, target, function)
                self.visit(value.body, function)
                self.visit(value.otherwise, function)
            case Invoke():
                self._invoked(value, function)
            case Name(name=name):
                self.used.add((function, name))
            case msgspec.Struct():
                for name in value.__struct_fields__:
                    self.visit(getattr(value, name), function)
            case tuple():
                for item in cast("tuple[object, ...]", value):
                    self.visit(item, function)
            case dict():
                for item in cast("dict[str, object]", value).values():
                    self.visit(item, function)
            case _:
                pass

    def _invoked(self, step: Invoke, function: str) -> None:
        parameters = self.program.functions[step.function].parameters
        places = [parameter.name for parameter in parameters][: len(step.arguments)]
        given = [*zip(places, step.arguments, strict=False), *step.keywords.items()]
        for parameter, source in given:
            self._flow(source, function, (step.function, parameter))

    def _passed(self, source: Expression, target: Target, function: str) -> None:
        if isinstance(target, Bind):
            self._flow(source, function, (function, target.name))
        else:
            self.visit(source, function)

    def _flow(self, source: Expression, function: str, place: Place) -> None:
        name = self._root(source, function)
        if name is not None:
            self.flows[function, name].add(place)

    def _root(self, source: Expression, function: str) -> str | None:
        """The name that this is the value of, or an item; what else it is made of is used."""
        match source:
            case Name(name=name):
                return name
            case Index(value=value, index=index):
                self.visit(index, function)
                return self._root(value, function)
            case _:
                self.visit(source, function)
                return None
