"""What a compilation knows: of one function's names (`Frame`), and of the whole (`Session`)."""

from __future__ import annotations

import ast
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from ...ir.images import reference
from ...ir.lowering import Unsupported
from ...ir.nodes import Sampling
from ...ir.program import Assign, Program
from ..errors import CompileError
from .ownership import Ownership, own_nodes, target_names
from .scope import Scope, World
from .source import Source


class Kind(Enum):
    """What a local name holds."""

    VALUE = "a value"
    STATE = "a state"
    GROUP = "the states of a fork"
    RESULTS = "states in a list"


@dataclass(slots=True)
class Session:
    """What all functions of one compilation share.

    Attributes:
        world: every name looked up outside the functions.
        programs: the functions that are invoked; `None` while one is being compiled.
        names: the name in the program of each of them, by function and settings.
        hosts: the client's functions by their name in the program.
        host_keys: what tells them apart; the last is the function or its method's plain form.
        images: data URLs of the images that the functions name themselves, by reference.
    """

    world: World = field(default_factory=World)
    programs: dict[str, Program | None] = field(default_factory=dict[str, Program | None])
    names: dict[tuple[int, Sampling], str] = field(default_factory=dict[tuple[int, Sampling], str])
    hosts: dict[str, Callable[..., Any]] = field(default_factory=dict[str, Callable[..., Any]])
    host_keys: dict[str, tuple[Any, ...]] = field(default_factory=dict[str, tuple[Any, ...]])

    images: dict[str, str] = field(default_factory=dict[str, str])

    def image(self, url: str) -> str:
        """Return what names an image in the program: its reference, or its address."""
        if not url.startswith("data:"):
            return url
        name = reference(url)
        self.images[name] = url
        return name

    def host(self, written: str, key: tuple[Any, ...], function: Callable[..., Any]) -> str:
        """Return the name under which a program calls `function`; the same key, the same name."""
        name = written
        count = 1
        while name in self.hosts and not _same_key(self.host_keys[name], key):
            count += 1
            name = f"{written}_{count}"
        self.hosts[name] = function
        self.host_keys[name] = key
        return name


def _same_key(a: tuple[Any, ...], b: tuple[Any, ...]) -> bool:
    return len(a) == len(b) and all(
        x is y or (isinstance(x, str) and x == y) for x, y in zip(a, b, strict=True)
    )


class Names:
    """Gives out the names of one program, each once."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)
        self._count = 0

    def temporary(self) -> str:
        """A new name for a value in between."""
        self._count += 1
        return self.unique(f"_{self._count}")

    def unique(self, wanted: str) -> str:
        """`wanted`, or something like it that nobody has."""
        name, count = wanted, 1
        while name in self._taken:
            count += 1
            name = f"{wanted}_{count}"
        self._taken.add(name)
        return name


@dataclass(slots=True)
class Unit:
    """One program: the function itself and what is inlined into it."""

    session: Session
    names: Names
    file: str
    prologue: list[Assign] = field(default_factory=list[Assign])  # constants that are no scalars
    constants: dict[tuple[int, tuple[str, ...]], str] = field(
        default_factory=dict[tuple[int, tuple[str, ...]], str]
    )
    host_lines: dict[int, str] = field(default_factory=dict[int, str])
    problems: list[CompileError] = field(default_factory=list[CompileError])
    inlining: list[Callable[..., Any]] = field(default_factory=list[Callable[..., Any]])


class Frame:
    """The names of one function: the program's own, or one that is inlined into it.

    Attributes:
        state: its first argument.
        kinds: what each local holds, as far as the compilation has come.
        line: where it is inlined, if its own file is another; 0: lines are its own.
    """

    def __init__(
        self,
        source: Source,
        func: Callable[..., Any],
        *,
        rename: Names | None = None,
        line: int = 0,
    ) -> None:
        given = source.tree.args
        self.source = source
        self.scope = Scope(func)
        self.line = line
        self.arguments = [a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
        self.local = set(self.arguments) | _bound(source.tree.body)
        self.kinds: dict[str, Kind] = {}
        self._renamed: dict[str, str] = {}
        if rename is not None:
            prefix = source.tree.name
            self._renamed = {n: rename.unique(f"{prefix}_{n}") for n in sorted(self.local)}
        self.ownership = Ownership(source.tree.body, self.arguments, self.local)
        self._inner: list[dict[str, Kind]] = []  # names of comprehensions, innermost last

    def name(self, local: str) -> str:
        """The name in the program of a local of the function."""
        if any(local in names for names in self._inner):
            return local
        return self._renamed.get(local, local)

    def is_local(self, name: str) -> bool:
        """Whether a name is bound in the function, temporaries included."""
        return name in self.local or any(name in names for names in self._inner)

    def kind(self, name: str) -> Kind | None:
        """What a local holds; None for a name that is none."""
        for names in reversed(self._inner):
            if name in names:
                return names[name]
        return self.kinds.get(name, Kind.VALUE) if name in self.local else None

    def declare(self, node: ast.AST, name: str, kind: Kind) -> None:
        """Note what a local holds.

        Raises:
            Unsupported: it holds something else elsewhere.
        """
        known = self.kinds.setdefault(name, kind)
        self.local.add(name)
        if known is not kind:
            raise Unsupported(
                node,
                f"{name!r} is {known.value} in one place and {kind.value} in another",
                "use two names",
            )

    @contextmanager
    def inner(self, names: dict[str, Kind]) -> Generator[None]:
        """Names that are bound inside a comprehension only."""
        self._inner.append(names)
        try:
            yield
        finally:
            self._inner.pop()


def _bound(body: list[ast.stmt]) -> set[str]:
    """The names that statements bind, without those of comprehensions."""
    names: set[str] = set()
    inner: set[int] = set()
    for statement in body:
        for node in (statement, *own_nodes(statement)):
            if isinstance(node, ast.comprehension):
                inner.update(id(n) for n in ast.walk(node.target))
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                names.add(node.name)
    for statement in body:
        for node in (statement, *own_nodes(statement)):
            if isinstance(node, ast.Name) and id(node) not in inner:
                names.update(target_names(node))
    return names
