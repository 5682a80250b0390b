"""What one function of a program may say: names bound before use, known functions, and so on.

`verify` bounds size and nesting before, so the walk here is a plain recursion.
"""

from __future__ import annotations

import keyword
import unicodedata
from collections.abc import Container, Iterable, Iterator, Set
from typing import Any, NoReturn, cast

from .errors import EXCEPTIONS, ProgramError
from .expressions import (
    Bind,
    Call,
    Compare,
    Comprehension,
    Const,
    Format,
    Logic,
    Method,
    Name,
    Node,
    Read,
    Target,
)
from .images import MAX_URL_CHARACTERS
from .lowering import FUNCTION_NAMES, METHOD_NAMES, TAKES_KEY
from .nodes import Gen, Image, Logprobs, Sampling, Span, Stmt
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
    Step,
    While,
    Within,
)

NAMED_READS = frozenset({"variable", "meta", "bound"})


class Scope:
    """The local names of one function, and the checks of its statements in order.

    A name counts as bound from the first place that may bind it: only what is unbound however the
    function runs is an error here.
    """

    def __init__(
        self,
        program: Program,
        path: str,
        *,
        functions: Container[str],
        hosts: Container[str],
    ) -> None:
        self._program = program
        self._path = path
        self._functions = functions
        self._hosts = hosts
        self._bound = {"s"}
        self._groups: set[str] = set()  # names that may be a group of forks
        self._has_forked = False
        self._line = 0

    def check(self) -> None:
        """Raise `ProgramError` for the first statement that cannot run."""
        self._identifier(self._program.name, self._path)
        for i, parameter in enumerate(self._program.parameters):
            path = f"{self._path}.parameters[{i}]"
            self._identifier(parameter.name, path)
            if parameter.name in self._bound:
                self._refuse(path, f"the name {parameter.name!r} twice", "Rename the parameter.")
            if parameter.default is not None:
                self._node(parameter.default, path, frozenset())
            self._bound.add(parameter.name)
        self._block(self._program.body, f"{self._path}.body", is_loop=False)

    def _refuse(self, path: str, what: str, remedy: str) -> NoReturn:
        span = Span(self._program.file or self._program.name, self._line)
        raise ProgramError(f"{path}: {what}", span=span, hint=remedy)

    def _block(self, blocks: tuple[Block, ...], path: str, *, is_loop: bool) -> None:
        for i, step in enumerate(blocks):
            self._line = step.line
            self._step(step, f"{path}[{i}]", is_loop=is_loop)

    def _step(self, step: Block, path: str, *, is_loop: bool) -> None:
        self._expressions_of(step, path)
        match step:
            case If(then=then, otherwise=otherwise):
                self._block(then, f"{path}.then", is_loop=is_loop)
                self._block(otherwise, f"{path}.otherwise", is_loop=is_loop)
            case For(body=body, otherwise=otherwise) | While(body=body, otherwise=otherwise):
                self._bind_all(step)  # a later statement may have run in the round before
                self._block(body, f"{path}.body", is_loop=True)
                self._block(otherwise, f"{path}.otherwise", is_loop=is_loop)
            case Within(body=body):
                self._block(body, f"{path}.body", is_loop=is_loop)
            case Break() | Continue() if not is_loop:
                word = type(step).__name__.lower()
                self._refuse(path, f"{word} outside of a loop", "Put it in a for or a while.")
            case _:
                self._leaf(step, path)
                self._bind(step)

    def _leaf(self, step: Block, path: str) -> None:
        match step:
            case Do(statement=statement, holes=holes):
                fields = hole_names(statement)
                for name in holes.keys() - fields:
                    kind = type(statement).__name__.lower()
                    allowed = ", ".join(sorted(fields))
                    self._refuse(path, f"{kind} has no field {name!r}", f"Use one of: {allowed}.")
                if isinstance(statement, Image) and len(statement.url) > MAX_URL_CHARACTERS:
                    self._refuse(
                        path,
                        f"an image of {len(statement.url)} characters in the program itself",
                        f"At most {MAX_URL_CHARACTERS} may stand there; send the image beside the "
                        "program, and its reference in it.",
                    )
            case Join(group=group):
                if not self._has_forked or (
                    isinstance(group, Name) and group.name not in self._groups
                ):
                    self._refuse(path, "nothing is forked here", "Join what a fork has bound.")
            case Invoke(function=function) if function not in self._functions:
                self._refuse(
                    path, f"there is no function {function!r}", "Add it to the program's functions."
                )
            case HostCall(function=function) if function not in self._hosts:
                self._refuse(
                    path, f"{function!r} is not in hosts", "Add it to the program's hosts."
                )
            case Raise(exception=name) if name not in EXCEPTIONS:
                allowed = ", ".join(sorted(EXCEPTIONS))
                self._refuse(path, f"{name!r} is no known exception", f"Use one of: {allowed}.")
            case _:
                pass

    def _bind_all(self, step: For | While) -> None:
        self._bind(step)
        pending: list[Block] = [*step.body]
        while pending:
            inner = pending.pop()
            self._bind(inner)
            pending += bodies(inner)

    def _bind(self, step: Block) -> None:
        match step:
            case Fork(out=out):
                self._has_forked = True
                self._bound.add(out)
                self._groups.add(out)
            case Assign(target=target) | For(target=target):
                names = set(names_of(target))
                self._bound |= names
                self._groups |= names  # it may be another name of a group
            case Invoke(out=target) | HostCall(out=target) if target is not None:
                self._bound |= set(names_of(target))
            case _:
                pass

    def _expressions_of(self, step: Step, path: str) -> None:
        """Check the expressions and targets of a statement, its bodies apart."""
        for field in step.__struct_fields__:
            value, at = getattr(step, field), f"{path}.{field}"
            if isinstance(value, Node):
                self._node(value, at, frozenset())
            elif field in ("arguments", "holes", "keywords"):
                self._inside(value, at, frozenset())
        if isinstance(step, Invoke | HostCall):
            self._keywords(step.keywords, f"{path}.keywords")
        if isinstance(step, Fork):
            self._identifier(step.out, f"{path}.out")

    def _inside(self, value: Any, path: str, local: Set[str]) -> None:
        """Check every node in the fields and containers of a value."""
        if isinstance(value, Node):
            self._node(value, path, local)
        elif isinstance(value, tuple):
            items = cast("tuple[object, ...]", value)
            for i, item in enumerate(items):
                self._inside(item, f"{path}[{i}]", local)
        elif isinstance(value, dict):
            pairs = cast("dict[str, object]", value)
            for key, item in pairs.items():
                self._inside(item, f"{path}[{key[:40]!r}]", local)

    def _node(self, node: Node, path: str, local: Set[str]) -> None:
        """Check an expression; `local` are names that comprehensions around it bind."""
        match node:
            case Name(name=name):
                self._identifier(name, path)
                if name not in self._bound and name not in local:
                    self._refuse(
                        path,
                        f"{name!r} is used, but nothing before binds it",
                        f"Bind it before, or make {name!r} an argument of the function.",
                    )
            case Bind(name=name):
                self._identifier(name, path)
            case Comprehension():
                self._comprehension(node, path, local)
                return
            case _:
                self._shape(node, path)
        for field in node.__struct_fields__:
            self._inside(getattr(node, field), f"{path}.{field}", local)

    def _comprehension(self, node: Comprehension, path: str, local: Set[str]) -> None:
        if not node.clauses or (node.key is None) == (node.kind == "dict"):
            self._refuse(
                path, f"no {node.kind} comprehension", "It needs a clause; a dict also a key."
            )
        local = set(local)
        for i, clause in enumerate(node.clauses):
            at = f"{path}.clauses[{i}]"
            self._node(clause.items, f"{at}.items", local)
            self._node(clause.target, f"{at}.target", local)
            local |= set(names_of(clause.target))
            self._inside(clause.conditions, f"{at}.conditions", local)
        self._node(node.item, f"{path}.item", local)
        if node.key is not None:
            self._node(node.key, f"{path}.key", local)

    def _shape(self, node: Node, path: str) -> None:
        """Check what the types of the fields leave open."""
        match node:
            case Call(function=name, keywords=keywords):
                if name not in FUNCTION_NAMES:
                    allowed = ", ".join(sorted(FUNCTION_NAMES))
                    self._refuse(path, f"{name!r} is no known function", f"Use one of: {allowed}.")
                self._keywords(keywords, path, name)
            case Method(name=name, keywords=keywords):
                if name not in METHOD_NAMES:
                    allowed = ", ".join(sorted(METHOD_NAMES))
                    self._refuse(path, f"{name!r} is no known method", f"Use one of: {allowed}.")
                self._keywords(keywords, path, name)
            case Read(what=what, name=name):
                if (name is None) == (what in NAMED_READS):
                    self._refuse(path, f"reading {what} with or without a name", "See `Read`.")
            case Compare(rest=()) | Logic(operands=() | (_,)):
                self._refuse(path, "an operator without a second operand", "Leave it out.")
            case Format(parts=parts):
                for part in parts:
                    if isinstance(part, Const) and not isinstance(part.value, str):
                        self._refuse(path, f"{part.value!r} as a literal", "Put it in a hole.")
            case _:
                pass

    def _keywords(self, keywords: Iterable[str], path: str, function: str = "") -> None:
        for name in keywords:
            self._identifier(name, path)
            if name == "key" and function in TAKES_KEY:
                self._refuse(path, f"a key for {function!r}", "Sort pairs, the key first.")

    def _identifier(self, name: str, path: str) -> None:
        plain = name.isascii() or unicodedata.normalize("NFKC", name) == name
        if not (name.isidentifier() and plain) or keyword.iskeyword(name):
            self._refuse(path, f"{name[:40]!r} is no name", "Use a name that Python allows.")


def hole_names(statement: Stmt) -> frozenset[str]:
    """Return the names that the holes of a statement may have."""
    names = set(statement.__struct_fields__)
    if isinstance(statement, Gen):
        names -= {"sampling", "logprobs"}
        names |= {f"sampling.{field}" for field in Sampling.__struct_fields__}
        names |= {f"logprobs.{field}" for field in Logprobs.__struct_fields__}
    return frozenset(names)


def names_of(target: Target) -> Iterator[str]:
    """The names that a target binds."""
    if isinstance(target, Bind):
        yield target.name
    else:
        for inner in target.targets:
            yield from names_of(inner)


def bodies(step: Block) -> tuple[Block, ...]:
    """Return the statements right inside a statement."""
    match step:
        case If(then=then, otherwise=otherwise):
            return then + otherwise
        case For(body=body, otherwise=otherwise) | While(body=body, otherwise=otherwise):
            return body + otherwise
        case Within(body=body):
            return body
        case _:
            return ()
