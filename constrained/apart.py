"""Strings of a core schema that are followed apart from the back end.

llguidance fills a mask fast where it proves that whole classes of tokens fit, and it tries that for
text that is free or repeats one set of characters. Inside other patterns that take nearly any text
(one that may begin anywhere, or counts words) it walks the whole vocabulary, 2 ms for 128,256
tokens, and where words are counted under a `maxLength` it makes states for each pair of counts, 8
to 27 ms. Such a string is therefore given to the back end as one of any text, and its pattern and
its lengths are kept by an automaton of our own (`language.py`).

For that it must be known in which string of the schema a text stands (`whereabouts.py`). So a
string is set apart only where its key, or its place in an array, and the first character of its
value decide that: not below conjunctions, patterns of keys, and alternatives of one type.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .keywords import TYPES
from .language import Text, table_of
from .normal.form import Core
from .strings import json_text

__all__ = ["NOWHERE", "Apart", "Shape", "set_apart"]

NOWHERE = 0  # the shape of what is not followed
MAX_TEXTS = 16  # of a schema: an automaton each, at 5 to 100 ms
MAX_SHORT = 40  # characters; longer bounds are dear in their last characters alone
MAX_OPENED = 8  # references in a row
OF_STRINGS = ("pattern", "minLength", "maxLength")
BY_FIRST = {"string": '"', "object": "{", "array": "["}

_READ_ALIKE = re.compile(r"(?:[^\\(]|\((?!\?)|\(\?:|\\[^A-Za-z]|\\[dwnrtfv]|\\x|\\u|\\U)*")
_NEGATED_CLASS = re.compile(r"\[\^[^\]]*\\[wd]")
_WIDE = re.compile(r"\[\^|(?<!\\)\.|\\u|\\U|\[[^\]]* ")


@dataclass(frozen=True, slots=True)
class Shape:
    """What is followed of the values at one place of a schema. Numbers are of other shapes.

    Attributes:
        text: its strings' number among the texts; -1: they are not followed.
        members: by a key as it is written, without quotes.
        other: of the values of all other keys.
        prefix: of the first items.
        rest: of the others.
        options: of alternatives, by the first character of a value; the rest is not used then.
    """

    text: int = -1
    members: dict[bytes, int] = field(default_factory=dict[bytes, int])
    other: int = NOWHERE
    prefix: tuple[int, ...] = ()
    rest: int = NOWHERE
    options: dict[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Apart:
    """A core schema in which some strings are free, and what those must be.

    Attributes:
        core: for the back end.
        shapes: all of them; the first is of what is not followed.
        root: the number of the shape of the whole.
        texts: that strings must be.
    """

    core: Core
    shapes: tuple[Shape, ...]
    root: int
    texts: tuple[Text, ...]


def set_apart(core: Core) -> Apart | None:
    """Set the strings apart that would be dear; None where there is none.

    Cost: a walk, and some milliseconds for each different pattern that takes nearly any text.
    """
    if isinstance(core, bool) or not _has_dear(core):
        return None
    walk = _Walk(core.get("$defs", {}))
    new, root = walk.of(core)
    if not walk.texts or not isinstance(new, dict):
        return None
    definitions = {**core.get("$defs", {}), **walk.definitions}
    if definitions:
        new = {**new, "$defs": definitions}
    return Apart(new, tuple(walk.shapes), root, tuple(walk.texts))


class _Walk:
    def __init__(self, definitions: dict[str, Core]) -> None:
        self._known = definitions
        self.definitions: dict[str, Core] = {}  # those with strings set apart, under new names
        self._shape_of: dict[str, int] = {}
        self.shapes = [Shape()]
        self.texts: dict[Text, int] = {}

    def of(self, core: Core) -> tuple[Core, int]:
        """Return a schema with its dear strings free, and its shape."""
        if isinstance(core, bool):
            return core, NOWHERE
        core = {key: value for key, value in core.items() if key != "$defs"}
        if core.keys() == {"$ref"}:
            return self._reference(core)
        if core.keys() == {"anyOf"}:
            return self._alternatives(core["anyOf"])
        if core.keys() & {"$ref", "anyOf", "allOf", "enum", "const"}:
            return core, NOWHERE
        return self._leaf(core)

    def _reference(self, core: dict[str, Any]) -> tuple[Core, int]:
        name = core["$ref"].rpartition("/")[2]
        if name not in self._known:
            return core, NOWHERE
        new = f"{name}.apart"
        if name not in self._shape_of:
            if new in self._known:
                return core, NOWHERE
            # Before its parts, which may refer to it.
            number = self._shape_of[name] = self._add(Shape())
            self.definitions[new], found = self.of(self._known[name])
            self.shapes[number] = Shape(options=dict.fromkeys(BY_FIRST.values(), found))
        return {"$ref": f"{core['$ref'].rpartition('/')[0]}/{new}"}, self._shape_of[name]

    def _alternatives(self, parts: list[Core]) -> tuple[Core, int]:
        types = [self._types(part) for part in parts]
        options: dict[str, int] = {}
        made: list[Core] = []
        for index, part in enumerate(parts):
            others = set().union(*types[:index], *types[index + 1 :])
            firsts = types[index] & BY_FIRST.keys()
            if not firsts or firsts & others:
                made.append(part)
                continue
            new, shape = self.of(part)
            made.append(new)
            options.update({BY_FIRST[type_]: shape for type_ in firsts})
        return {"anyOf": made}, self._add(Shape(options=options))

    def _types(self, core: Core, opened: int = 0) -> set[str]:
        """Return the types that values of a schema may have; more, where that is not plain."""
        if core is False:
            return set()
        if core is True or opened > MAX_OPENED:
            return set(TYPES)
        if "$ref" in core:
            return self._types(self._known.get(core["$ref"].rpartition("/")[2], True), opened + 1)
        if "anyOf" in core:
            return set().union(*(self._types(part, opened + 1) for part in core["anyOf"]))
        types = core.get("type", TYPES)
        return set(types if isinstance(types, list | tuple) else [types])

    def _leaf(self, core: dict[str, Any]) -> tuple[Core, int]:
        new, types = dict(core), self._types(core)
        text, other, rest = -1, NOWHERE, NOWHERE
        members: dict[bytes, int] = {}
        prefix: tuple[int, ...] = ()
        dear = _dear(core) if "string" in types else None
        if dear is not None and (dear in self.texts or len(self.texts) < MAX_TEXTS):
            text = self.texts.setdefault(dear, len(self.texts))
            new = {key: value for key, value in new.items() if key not in OF_STRINGS}
        if "object" in types:
            patterns = core.get("patternProperties", {})
            if "properties" in core:
                made = {
                    key: (part, NOWHERE) if _matches(patterns, key) else self.of(part)
                    for key, part in core["properties"].items()
                }
                new["properties"] = {key: part for key, (part, _) in made.items()}
                members = {_written(key): shape for key, (_, shape) in made.items()}
            if "additionalProperties" in core and not patterns:
                new["additionalProperties"], other = self.of(core["additionalProperties"])
        if "array" in types:
            if "prefixItems" in core:
                items = [self.of(part) for part in core["prefixItems"]]
                new["prefixItems"] = [part for part, _ in items]
                prefix = tuple(shape for _, shape in items)
            if "items" in core:
                new["items"], rest = self.of(core["items"])
        return new, self._add(Shape(text, members, other, prefix, rest))

    def _add(self, shape: Shape) -> int:
        self.shapes.append(shape)
        return len(self.shapes) - 1


def _has_dear(core: Any) -> bool:
    """Whether a schema holds, anywhere, a string that may be set apart."""
    if isinstance(core, list):
        return any(map(_has_dear, core))
    if not isinstance(core, dict):
        return False
    is_leaf = isinstance(core.get("pattern"), str) or isinstance(core.get("maxLength"), int)
    if is_leaf and _dear(core) is not None:
        return True
    return any(map(_has_dear, core.values()))


def _dear(core: dict[str, Any]) -> Text | None:
    """Return what a leaf's strings must be if masks inside them are dear."""
    pattern, low, high = core.get("pattern"), core.get("minLength", 0), core.get("maxLength")
    if pattern is None:
        is_short = high is not None and low <= high <= MAX_SHORT
        return Text(None, low, high) if is_short else None
    if not _may_be_wide(pattern):
        return None
    text = Text(pattern, low, high)
    table = table_of(pattern, low)
    if table is None or not table.is_wide or (high is not None and table.least > high):
        return None
    return text if high is not None or table.num_live > 2 else None


def _may_be_wide(pattern: str) -> bool:
    """Whether a pattern, at first sight, takes text of any kind somewhere, and reads alike here.

    Negations of classes do not: `pattern.py` makes less of them than ECMA-262 does.
    """
    if not _READ_ALIKE.fullmatch(pattern) or _NEGATED_CLASS.search(pattern):
        return False
    is_closed = pattern[:1] == "^" and pattern[-1:] == "$" and pattern[-2:-1] != "\\"
    return not is_closed or "|" in pattern or _WIDE.search(pattern) is not None


def _matches(patterns: Iterable[str], key: str) -> bool:
    """Whether one of some patterns may match a key; a pattern that is not read may."""
    try:
        return any(re.search(pattern, key) for pattern in patterns)
    except re.error:
        return True


def _written(key: str) -> bytes:
    return json_text(key)[1:-1].encode()
