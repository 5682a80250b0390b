"""What stands to the right of `s +=`: texts and the words of the language, in any mix.

Python computes all of it before the first statement is appended. So where there are several
statements, whatever reads a variable for one of them is bound to a temporary before all of them.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import msgspec

from ...ir import program as ir
from ...ir.expressions import (
    Binary,
    Bind,
    Call,
    Compare,
    Const,
    Expression,
    Format,
    Items,
    Name,
)
from ...ir.images import is_url
from ...ir.lowering import Unsupported
from ...ir.nodes import Gen, Image, RoleBegin, RoleEnd, Select, Stmt, Text
from .. import api
from ..expr import Expr
from .effects import Effects
from .frame import Kind
from .scope import MISSING, is_plain
from .values import Callee
from .words import CONSTRAINTS, FIELDS, ROLES, TYPED, WORDS

_TEXT_FUNCTIONS = frozenset({"str", "repr", "json.dumps"})
_OF_SELECT = ("name", "choices", "choices_method")


@dataclass(frozen=True, slots=True)
class Emit:
    """One statement, and what fills it."""

    statement: Stmt
    holes: dict[str, Expression] = field(default_factory=dict[str, Expression])


@dataclass(frozen=True, slots=True)
class Either:
    """One row of statements or another."""

    test: Expression
    then: list[Piece]
    otherwise: list[Piece]


Piece = Emit | Either


class Mixes(Effects):
    """Compiles what is appended to a state."""

    _alone = False  # whether the row that is compiled is a single statement

    def append(self, state: Expression, node: ast.expr) -> None:
        """Add the steps of `state += node`."""
        decided = self.decided(node.test) if isinstance(node, ast.IfExp) else None
        if isinstance(node, ast.IfExp) and decided is not None:
            self.append(state, node.body if decided else node.orelse)
        elif isinstance(node, ast.IfExp) and self.has_word(node):
            test = self.full(node.test)
            with self.collected() as then:
                self.append(state, node.body)
            with self.collected() as otherwise:
                self.append(state, node.orelse)
            self.add(ir.If(test=test, then=tuple(then), otherwise=tuple(otherwise)))
        else:
            self.emit(state, self.row(node))

    def row(self, node: ast.expr, *, chained: bool = False, among: bool = False) -> list[Piece]:
        """The statements of one mix; `among` says that there are others beside them."""
        before, self._alone = self._alone, not among and self._is_single(node)
        try:
            return self._pieces(node, chained)
        finally:
            self._alone = before

    def emit(self, state: Expression, pieces: list[Piece]) -> None:
        """Add the steps that append pieces to a state."""
        for piece in pieces:
            if isinstance(piece, Emit):
                self.add(ir.Do(statement=piece.statement, state=state, holes=piece.holes))
                continue
            with self.collected() as then:
                self.emit(state, piece.then)
            with self.collected() as otherwise:
                self.emit(state, piece.otherwise)
            self.add(ir.If(test=piece.test, then=tuple(then), otherwise=tuple(otherwise)))

    def has_word(self, node: ast.expr) -> bool:
        """Whether a mix is more than text."""
        match node:
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return self.has_word(left) or self.has_word(right)
            case ast.IfExp(body=then, orelse=otherwise):
                return self.has_word(then) or self.has_word(otherwise)
            case ast.Call():
                return self.callee(node) in (Callee.WORD, Callee.BUILDER)
            case _:
                return False

    def _is_single(self, node: ast.expr) -> bool:
        if self.has_effect(node):
            return False
        is_word = isinstance(node, ast.Call) and self.callee(node) is Callee.WORD
        if is_word and isinstance(node, ast.Call):
            return id(self.found(node.func)) not in (
                *ROLES,
                id(api.role),
                id(api.separate_reasoning),
            )
        return not self.has_word(node)

    def _hole(self, node: ast.expr) -> Expression:
        """A value, computed now rather than when the statement is appended if that may matter."""
        value = self.full(node)
        return value if self._alone or is_calm(value) else self._kept(node, value)

    def _kept(self, node: ast.expr, value: Expression) -> Expression:
        out = self.temporary(node, Kind.VALUE)
        self.add(ir.Assign(target=Bind(name=out), value=value))
        return Name(name=out)

    # ---- pieces

    def _pieces(self, node: ast.expr, chained: bool) -> list[Piece]:
        if not self.has_word(node):
            return [self._text(node, chained)]
        match node:
            case ast.BinOp(left=left, right=right):
                first = self._pieces(left, True)
                return [*first, *self._pieces(right, True)]
            case ast.IfExp(test=test, body=then, orelse=otherwise):
                return [self._either(test, then, otherwise, chained)]
            case ast.Call() if self.callee(node) is Callee.BUILDER:
                return self._built(node, chained)
            case ast.Call():
                return self._word(node)
            case _:
                raise AssertionError(ast.dump(node))

    def _text(self, node: ast.expr, chained: bool) -> Piece:
        if self.kind_of(node) is not Kind.VALUE:
            raise Unsupported(node, "a state appended to a state", "append its text()")
        value = self._hole(node)
        if isinstance(value, Const) and isinstance(value.value, str):
            return Emit(Text(text=value.value))
        if chained and not is_text(value):
            # `gen(...) + x` is a TypeError for whatever is no text, as `"" + x` is
            value = Binary(operator="+", left=Const(value=""), right=value)
        return Emit(Text(text=""), {"text": value})

    def _either(self, test: ast.expr, then: ast.expr, otherwise: ast.expr, chained: bool) -> Piece:
        condition = self._hole(test)
        if not isinstance(condition, Name | Const):
            condition = self._kept(test, condition)
        with self.collected() as before_then:
            first = self._pieces(then, chained)
        with self.collected() as before_otherwise:
            second = self._pieces(otherwise, chained)
        if before_then or before_otherwise:
            self.add(
                ir.If(test=condition, then=tuple(before_then), otherwise=tuple(before_otherwise))
            )
        return Either(condition, first, second)

    def _built(self, node: ast.Call, chained: bool) -> list[Piece]:
        """What a plain function returns that makes expressions: its body is inlined."""
        plain = self._without(node)
        assert isinstance(plain, ast.Call)
        result = self.inline(plain)
        if result is None:
            raise Unsupported(node, f"{ast.unparse(node.func)}() returns nothing to append")
        with self.within(result[0]):
            return self._pieces(result[1], chained)

    # ---- words

    def _word(self, node: ast.Call) -> list[Piece]:
        word = WORDS[id(self.found(node.func))]
        given = self._named_arguments(node, word)
        if id(word) in ROLES or word is api.role:
            return self._turn(node, word, given)
        if word is api.video:
            raise Unsupported(node, "video()", "give frames to image()")
        if word is api.image:
            return [self._image(node, given["source"])]
        if word is api.separate_reasoning:
            return self._separated(node, given)
        if id(word) in TYPED:
            given["dtype"] = _Known(TYPED[id(word)])
            return self._generation(node, api.gen, given)
        if word in (api.gen, api.select):
            return self._generation(node, word, given)
        return [Emit(statement) for statement in self._made(node, word, {})]

    def _named_arguments(self, node: ast.Call, word: Callable[..., Any]) -> dict[str, Any]:
        """Arguments by name, in the order in which they are written."""
        signature = inspect.signature(word)
        keywords: dict[str, Any] = {}
        for keyword in node.keywords:
            if keyword.arg is not None:
                keywords[keyword.arg] = keyword.value
                continue
            spread = self.known(keyword.value)
            if not isinstance(spread, dict):
                raise Unsupported(node, "unpacking with ** in a call", "write the arguments out")
            pairs = cast("dict[str, Any]", spread).items()
            keywords.update({name: _Known(value) for name, value in pairs})
        if any(isinstance(argument, ast.Starred) for argument in node.args):
            raise Unsupported(node, "unpacking with * in a call", "write the arguments out")
        try:
            signature.bind(*node.args, **keywords)
        except TypeError as error:
            raise Unsupported(node, f"{ast.unparse(node.func)}(): {error}", "see its def") from None
        return {**dict(zip(signature.parameters, node.args, strict=False)), **keywords}

    def _turn(
        self, node: ast.Call, word: Callable[..., Any], given: Mapping[str, Any]
    ) -> list[Piece]:
        content = given.get("content")
        if not isinstance(content, ast.expr):
            raise Unsupported(node, f"{ast.unparse(node.func)}() without content", "give it text")
        if word is not api.role:
            return self.turn(ROLES[id(word)], content, chained=False)
        name = self._hole(given["name"])
        row = self._pieces(content, False)
        if isinstance(name, Const) and isinstance(name.value, str):
            return [Emit(RoleBegin(role=name.value)), *row, Emit(RoleEnd(role=name.value))]
        holes = {"role": name}
        return [Emit(RoleBegin(role=""), holes), *row, Emit(RoleEnd(role=""), holes)]

    def turn(self, role: str, content: ast.expr, *, chained: bool) -> list[Piece]:
        """A turn around some content."""
        return [
            Emit(RoleBegin(role=role)),
            *self._pieces(content, chained),
            Emit(RoleEnd(role=role)),
        ]

    def _image(self, node: ast.Call, source: ast.expr | _Known) -> Piece:
        """An image: by reference where it is known, else a hole."""
        known = source.value if isinstance(source, _Known) else self.known(source)
        if known is MISSING and isinstance(source, ast.expr):
            return Emit(Image(url=""), {"url": self._hole(source)})
        if not isinstance(known, str | Path | bytes):
            kind = type(known).__name__
            raise Unsupported(node, f"an image that may change, a {kind}", "pass it as an argument")
        if not isinstance(known, bytes) and not is_url(known):
            self.unit.session.world.note_file(Path(known))
        [statement] = self._made(node, api.image, {"source": known})
        assert isinstance(statement, Image)
        return Emit(Image(url=self.unit.session.image(statement.url)))

    def _separated(self, node: ast.Call, given: Mapping[str, Any]) -> list[Piece]:
        """The pieces of an expression whose gens are told to split off their thinking."""
        family = given["model_type"]
        model_type = family.value if isinstance(family, _Known) else self.known(family)
        if not isinstance(model_type, str):
            raise Unsupported(node, "a model_type that depends on the run", "name it here")
        bound = given.get("max_tokens")
        max_tokens = self.known(bound) if isinstance(bound, ast.expr) else bound and bound.value
        if max_tokens is not None and not isinstance(max_tokens, int):
            raise Unsupported(node, "a max_tokens that depends on the run", "write the number here")
        row = self._pieces(given["expr"], False)
        said = {"reasoning": model_type, "reasoning_tokens": max_tokens}
        separated, gens = _with_reasoning(row, said)
        named = {"expr": Expr(*gens), "model_type": model_type, "max_tokens": max_tokens}
        self._made(node, api.separate_reasoning, named)
        return separated

    def _generation(
        self, node: ast.Call, word: Callable[..., Any], given: dict[str, Any]
    ) -> list[Piece]:
        known: dict[str, Any] = {}
        holes: dict[str, Expression] = {}
        for name, argument in given.items():
            if isinstance(argument, _Known):
                known[name] = argument.value
            elif (value := self.known(argument)) is MISSING:
                holes[name] = self._hole(argument)
            else:
                known[name] = value
        if word is api.select or known.get("choices") is not None:
            return [self._select(node, known, holes)]
        choices = holes.get("choices")
        if choices is None:
            return [self._gen(node, known, holes)]
        if isinstance(choices, Items):
            return [self._select(node, known, holes)]
        if not isinstance(choices, Name):
            choices = holes["choices"] = self._kept(node, choices)
        without = {name: hole for name, hole in holes.items() if name != "choices"}
        test = Compare(left=choices, rest=(("is", Const(value=None)),))
        return [Either(test, [self._gen(node, known, without)], [self._select(node, known, holes)])]

    def _select(self, node: ast.Call, known: dict[str, Any], holes: dict[str, Expression]) -> Piece:
        """A `select`; what else a `gen` was told about sampling has no effect."""
        if "choices_method" in holes:
            raise Unsupported(node, "a choices_method that depends on the run", "name it here")
        given = {name: known[name] for name in _OF_SELECT if known.get(name) is not None}
        filled = {FIELDS[name]: hole for name, hole in holes.items() if name in _OF_SELECT}
        if "choices" in holes:
            given["choices"] = ("placeholder",)
        [statement] = self._made(node, api.select, given)
        if "choices" in holes:
            assert isinstance(statement, Select)
            statement = msgspec.structs.replace(statement, choices=())
        return Emit(statement, filled)

    def _gen(self, node: ast.Call, known: dict[str, Any], holes: dict[str, Expression]) -> Piece:
        strange = [name for name in holes if name not in FIELDS]
        if strange:
            raise Unsupported(
                node, f"{strange[0]} that depends on the run", f"give {strange[0]} a constant"
            )
        constraints = [name for name in CONSTRAINTS if name in holes or known.get(name) is not None]
        if len(constraints) > 1 and any(name in holes for name in constraints):
            raise Unsupported(
                node, f"{' and '.join(sorted(constraints))} in one gen", "decide with if"
            )
        if "stop" in holes and known.get("dtype") in (int, float, "int", "float"):
            raise Unsupported(node, "dtype with a stop that depends on the run", "write the regex")
        [statement] = self._made(node, api.gen, known)
        assert isinstance(statement, Gen)
        return Emit(statement, {FIELDS[name]: hole for name, hole in holes.items()})

    def _made(
        self, node: ast.Call, word: Callable[..., Any], arguments: dict[str, Any]
    ) -> tuple[Stmt, ...]:
        """What the word itself makes of arguments that are known: its checks and defaults hold."""
        try:
            statements: tuple[Stmt, ...] = word(**arguments).statements
        except Exception as error:
            raise Unsupported(node, f"{ast.unparse(node.func)}() fails: {error}") from None
        return statements

    def decided(self, test: ast.expr) -> bool | None:
        """Whether a test holds, if no run can change it."""
        known = self.known(test)
        return bool(known) if is_plain(known) else None

    def known(self, node: ast.expr) -> Any:
        """The value of an expression that no run can change, or `MISSING`."""
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name() | ast.Attribute():
                return self.found(node)
            case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
                values = [self.known(item) for item in items]
                if any(value is MISSING for value in values):
                    return MISSING
                return {ast.List: list, ast.Tuple: tuple, ast.Set: set}[type(node)](values)
            case ast.Dict(keys=keys, values=items):
                named = [MISSING if key is None else self.known(key) for key in keys]
                held = [self.known(item) for item in items]
                if any(value is MISSING for value in (*named, *held)):
                    return MISSING
                return dict(zip(named, held, strict=True))
            case ast.JoinedStr() | ast.BinOp() | ast.UnaryOp() if not self.has_effect(node):
                try:
                    made = self.value(node)
                except Unsupported:
                    return MISSING  # whoever needs the value meets the reason
                return made.value if isinstance(made, Const) else MISSING
            case _:
                return MISSING


def _with_reasoning(row: list[Piece], said: dict[str, Any]) -> tuple[list[Piece], list[Gen]]:
    """Pieces whose gens have some fields more, of reasoning, and those gens."""
    pieces: list[Piece] = []
    gens: list[Gen] = []
    for piece in row:
        if isinstance(piece, Either):
            then, first = _with_reasoning(piece.then, said)
            otherwise, second = _with_reasoning(piece.otherwise, said)
            pieces.append(Either(piece.test, then, otherwise))
            gens += first + second
        elif isinstance(piece.statement, Gen):
            gen = msgspec.structs.replace(piece.statement, **said)
            pieces.append(Emit(gen, piece.holes))
            gens.append(gen)
        else:
            pieces.append(piece)
    return pieces, gens


@dataclass(frozen=True, slots=True)
class _Known:
    """A value out of a dict that is unpacked with `**`."""

    value: Any


def is_calm(node: Expression) -> bool:
    """Whether a value is the same before and after statements are appended."""
    match node:
        case Const() | Name():
            return True
        case Format(parts=parts):
            return all(isinstance(p, Const) or (is_calm(p.value) and p.spec is None) for p in parts)
        case Binary(left=left, right=right):
            return is_calm(left) and is_calm(right)
        case Items(items=items):
            return all(map(is_calm, items))
        case _:
            return False


def is_text(node: Expression) -> bool:
    """Whether a value is text, or adding to it fails."""
    match node:
        case Const(value=value):
            return isinstance(value, str)
        case Format():
            return True
        case Binary(operator="+", left=left, right=right):
            return is_text(left) or is_text(right)
        case Call(function=function):
            return function in _TEXT_FUNCTIONS
        case _:
            return False
