"""Structural tags: free text with constrained islands, read into parts that back ends write.

The form is xgrammar's and SGLang's: `{"type": "structural_tag", "format": {...}}`, and the older
`{"structures": [{"begin", "schema", "end"}], "triggers": [...]}`. Free text ends where its closing
mark is first met, so no mark is ever passed over.

xgrammar reads these too. It is not asked, because it lowers their schemas by a converter of its own
(`schema.py` says what that drops); here each schema goes through the contract, in mode "strict".
`tags_lark.py` and `tags_ebnf.py` write the parts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from .contract import Contract, Finding
from .errors import GrammarError, MalformedError, UnsupportedError
from .gbnf import one_line_rules
from .pattern import lower_pattern
from .plan import compile_json
from .spec import GrammarSpec, parse_json
from .special import character, pieces
from .tags_parts import (
    MAX_FREE_CHARS,
    Constant,
    Derived,
    Either,
    Free,
    Islands,
    Joined,
    Listed,
    Matching,
    Part,
    Quoted,
    Until,
    Valid,
)
from .vocab import Vocabulary

__all__ = ["KIND", "Tags", "placed", "read_tags"]

KIND: Literal["structural_tag"] = "structural_tag"

_IGNORE = re.compile(r"^\s*%ignore\b", re.MULTILINE)
FIELDS = {
    "const_string": {"value"},
    "json_schema": {"json_schema"},
    "regex": {"pattern"},
    "grammar": {"grammar"},
    "lark": {"lark"},
    "any_text": {"max_chars"},
    "sequence": {"elements"},
    "or": {"elements"},
    "tag": {"begin", "content", "end"},
    "triggered_tags": {"triggers", "tags", "at_least_one", "stop_after_first"},
    "tags_with_separator": {"tags", "separator", "at_least_one", "stop_after_first"},
}


@dataclass(frozen=True, slots=True)
class Tags:
    """A structural tag, read."""

    part: Part
    contract: Contract  # of its schemas, by pointers into the tag
    special: str | None  # the pointer of a mark with a special token; None: there is none


def read_tags(spec: GrammarSpec, vocabulary: Vocabulary) -> Tags:
    """Read a spec of kind "structural_tag".

    Args:
        spec: the tag.
        vocabulary: marks that are special tokens of it are read as these.

    Raises:
        GrammarError: it is malformed, or cannot be enforced; with a JSON pointer into the tag.
    """
    document = parse_json(spec.source, kind=KIND)
    if not isinstance(document, dict):
        raise _malformed("", "a structural tag is an object", document)
    reader = _Reader(vocabulary)
    if "structures" in document:
        part = reader.part(_modern(document), "", is_last=True)
    else:
        extra = document.keys() - {"type", "format"}
        if "format" not in document or extra:
            raise _malformed("", "give format, or structures and triggers", sorted(document))
        part = reader.part(document["format"], "/format", is_last=True)
    return Tags(part, Contract(tuple(reader.findings)), reader.special)


@dataclass(slots=True)
class _Reader:
    """One walk over a format."""

    vocabulary: Vocabulary
    findings: list[Finding] = field(default_factory=list[Finding])
    special: str | None = None

    def part(self, node: Any, at: str, *, is_last: bool) -> Part:
        """Read a format; `is_last`: nothing comes after it."""
        kind = node.get("type") if isinstance(node, dict) else None
        if kind not in FIELDS:
            raise UnsupportedError(
                f"formats of type {kind!r} are not known",
                kind=KIND,
                pointer=at,
                hint=f"There are {', '.join(FIELDS)}.",
            )
        if extra := node.keys() - FIELDS[kind] - {"type", "style"}:
            raise UnsupportedError(
                f"{kind} has no {min(extra)!r}; it has {', '.join(sorted(FIELDS[kind]))}",
                kind=KIND,
                pointer=f"{at}/{min(extra)}",
            )
        match kind:
            case "const_string":
                return Constant(self._mark(_text(node, "value", at), f"{at}/value"))
            case "json_schema":
                return self._schema(node.get("json_schema"), f"{at}/json_schema")
            case "regex":
                return _regex(_text(node, "pattern", at), f"{at}/pattern")
            case "grammar":
                return Derived(one_line_rules(_text(node, "grammar", at)), f"{at}/grammar")
            case "lark":
                return _quoted(_text(node, "lark", at), f"{at}/lark")
            case "any_text":
                return _free(node, at, is_last=is_last)
            case "sequence":
                return Joined(self._elements(node, at, is_last=is_last))
            case "or":
                return Either(self._elements(node, at, is_last=is_last))
            case "tag":
                begin = self._mark(_text(node, "begin", at), f"{at}/begin")
                return Joined((Constant(begin), self._after_begin(node, at, is_last)))
            case "triggered_tags":
                return self._triggered(node, at, is_last=is_last)
            case _:
                return self._separated(node, at)

    def _elements(self, node: dict[str, Any], at: str, *, is_last: bool) -> tuple[Part, ...]:
        elements = _list(node, "elements", at)
        count = len(elements)
        return tuple(
            self.part(
                element,
                f"{at}/elements/{index}",
                is_last=is_last and (node["type"] == "or" or index == count - 1),
            )
            for index, element in enumerate(elements)
        )

    def _after_begin(self, tag: dict[str, Any], at: str, is_last: bool) -> Part:
        """Return what follows the beginning of a tag: content and end."""
        content, ends = tag.get("content"), tag.get("end")
        ends = [ends] if isinstance(ends, str) else ends
        if not isinstance(ends, list) or not ends or not all(isinstance(e, str) for e in ends):
            raise _malformed(f"{at}/end", "end is a text, or a list of texts", tag.get("end"))
        ends = [self._mark(end, f"{at}/end") for end in ends]
        if isinstance(content, dict) and content.get("type") == "any_text" and any(ends):
            if "" in ends:
                raise _malformed(f"{at}/end", "free text with an end has no empty end", ends)
            free = self.part(content, f"{at}/content", is_last=True)
            assert isinstance(free, Free)
            _check_alike(ends, f"{at}/end")
            return Until(tuple(ends), free.max_chars)
        inner = self.part(content, f"{at}/content", is_last=is_last and ends == [""])
        return Joined((inner, Either(tuple(map(Constant, ends)))))

    def _triggered(self, node: dict[str, Any], at: str, *, is_last: bool) -> Part:
        if not is_last:
            raise UnsupportedError(
                "triggered_tags go on to the end of the text: nothing can follow them",
                kind=KIND,
                pointer=at,
                hint="Put them last, or use tags_with_separator.",
            )
        triggers = _list(node, "triggers", at)
        if not all(isinstance(trigger, str) and trigger for trigger in triggers):
            raise _malformed(f"{at}/triggers", "triggers are texts, none empty", triggers)
        marks = {trigger: self._mark(trigger, f"{at}/triggers") for trigger in triggers}
        _check_alike(list(marks.values()), f"{at}/triggers")
        after: dict[str, list[Part]] = {}
        for index, tag in enumerate(_list(node, "tags", at)):
            place = f"{at}/tags/{index}"
            begin = _text(_object(tag, place), "begin", place)
            # The shortest is met first, whatever the others are.
            trigger = min(filter(begin.startswith, triggers), key=len, default=None)
            if trigger is None:
                raise _malformed(f"{place}/begin", f"begins with one of {triggers}", begin)
            mark, whole = marks[trigger], self._mark(begin, f"{place}/begin")
            if not whole.startswith(mark):
                raise UnsupportedError(
                    f"the trigger {trigger!r} ends inside a special token of {begin!r:.80}",
                    kind=KIND,
                    pointer=f"{place}/begin",
                    hint="Give the whole special token as the trigger.",
                )
            rest = (Constant(whole[len(mark) :]), self._after_begin(tag, place, False))
            after.setdefault(mark, []).append(Joined(rest))
        first = {mark[0] for mark in after}
        every = [character(index) for index in range(len(self.vocabulary.special))]
        return Islands(
            {mark: Either(tuple(rests)) for mark, rests in after.items()},
            tuple(one for one in every if one not in first) if first & {*every} else (),
            bool(node.get("at_least_one")),
            bool(node.get("stop_after_first")),
        )

    def _separated(self, node: dict[str, Any], at: str) -> Part:
        options = tuple(
            self.part({"type": "tag", **_object(tag, at)}, f"{at}/tags/{index}", is_last=False)
            for index, tag in enumerate(_list(node, "tags", at))
        )
        return Listed(
            Either(options),
            self._mark(_text(node, "separator", at), f"{at}/separator"),
            bool(node.get("at_least_one")),
            bool(node.get("stop_after_first")),
        )

    def _mark(self, text: str, at: str) -> str:
        """Return a text with its special tokens as such."""
        written = self.vocabulary.written(text)
        if written != text:
            self.special = self.special or at
        return written

    def _schema(self, schema: Any, at: str) -> Part:
        if not isinstance(schema, dict | bool):
            raise _malformed(at, "a JSON Schema is an object or a boolean", schema)
        try:
            spec = GrammarSpec.json_schema(schema, only_named=True)
            plan = compile_json(spec, lambda plan: plan)
        except GrammarError as error:
            raise placed(error, at) from error
        self.findings += [replace(found, pointer=at + found.pointer) for found in plan.contract]
        return Valid(plan, at)


def _check_alike(marks: list[str], at: str) -> None:
    """Refuse free text that ends before a special token or before text: neither sees the other."""
    if len({pieces(mark)[0] == "" and mark != "" for mark in marks}) > 1:
        raise UnsupportedError(
            "some of these marks begin with a special token of this tokenizer, and some with text",
            kind=KIND,
            pointer=at,
            hint="Begin all of them with special tokens, or none.",
        )


def placed(error: GrammarError, at: str) -> GrammarError:
    """Return the error of a part as one of the whole tag, at the place of the part."""
    return type(error)(error.reason, kind=KIND, pointer=at + (error.pointer or ""), hint=error.hint)


def _free(node: dict[str, Any], at: str, *, is_last: bool) -> Free:
    if not is_last:
        raise UnsupportedError(
            "free text needs a mark that ends it",
            kind=KIND,
            pointer=at,
            hint="Make it the content of a tag with an end, or put it last.",
        )
    most = node.get("max_chars")
    if most is None:
        return Free(None)
    if isinstance(most, bool) or not isinstance(most, int) or not 0 <= most <= MAX_FREE_CHARS:
        raise _malformed(f"{at}/max_chars", f"an integer up to {MAX_FREE_CHARS:,}", most)
    return Free(most)


def _modern(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the format that the older form means."""
    tags: list[Any] = []
    for index, structure in enumerate(_list(document, "structures", "")):
        at = f"/structures/{index}"
        if unknown := _object(structure, at).keys() - {"begin", "schema", "end"}:
            raise _malformed(at, "begin, schema and end", min(unknown))
        content = {"type": "json_schema", "json_schema": structure.get("schema")}
        tags.append(
            {"begin": structure.get("begin"), "content": content, "end": structure.get("end")}
        )
    return {"type": "triggered_tags", "triggers": document.get("triggers"), "tags": tags}


def _quoted(lark: str, at: str) -> Quoted:
    if _IGNORE.search(lark):
        raise UnsupportedError(
            "%ignore is not held inside a tag: two lexers could begin at one place",
            kind=KIND,
            pointer=at,
            hint="Write a rule for the blanks where they may stand.",
        )
    return Quoted(lark, at)


def _regex(pattern: str, at: str) -> Matching:
    try:
        return Matching(lower_pattern(pattern))
    except GrammarError as error:
        raise placed(error, at) from error


def _text(node: Mapping[str, Any], field: str, at: str) -> str:
    value = node.get(field)
    if not isinstance(value, str):
        raise _malformed(f"{at}/{field}", f"{field} is a text", value)
    return value


def _list(node: Mapping[str, Any], field: str, at: str) -> list[Any]:
    value = node.get(field)
    if not isinstance(value, list) or not value:
        raise _malformed(f"{at}/{field}", f"{field} is a list, not empty", value)
    return value


def _object(value: Any, at: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _malformed(at, "a tag is an object", value)
    return value


def _malformed(at: str, allowed: str, value: Any) -> MalformedError:
    return MalformedError(f"{allowed}; this is {value!r:.80}", kind=KIND, pointer=at)
