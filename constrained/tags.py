"""Structural tags: free text with constrained islands, written as llguidance's Lark.

The form is xgrammar's and SGLang's: `{"type": "structural_tag", "format": {...}}`, and the older
`{"structures": [{"begin", "schema", "end"}], "triggers": [...]}`. A piece of free text is a lazy
lexeme: it ends where its closing mark is first met, so no mark is ever passed over.

xgrammar reads these too. It is not asked, because it lowers their schemas by a converter of its own
(`schema.py` says what that drops); here each schema goes through the contract, in mode "strict".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal

from .contract import Contract, Finding
from .errors import GrammarError, MalformedError, UnsupportedError
from .pattern import lower_pattern
from .plan import Plan, compile_json
from .regexes import rust_syntax
from .spec import GrammarSpec, parse_json

__all__ = ["MAX_FREE_CHARS", "lower_tags"]

KIND: Literal["structural_tag"] = "structural_tag"
MAX_FREE_CHARS = 8_000  # of bounded free text: five states of the lexer each, as it is met
ANY_TEXT = "/(?s:.*)/"

FIELDS = {
    "const_string": {"value"},
    "json_schema": {"json_schema"},
    "regex": {"pattern"},
    "any_text": {"max_chars"},
    "sequence": {"elements"},
    "or": {"elements"},
    "tag": {"begin", "content", "end"},
    "triggered_tags": {"triggers", "tags", "at_least_one", "stop_after_first"},
    "tags_with_separator": {"tags", "separator", "at_least_one", "stop_after_first"},
}


def lower_tags(spec: GrammarSpec, write_json: Callable[[Plan], str]) -> tuple[str, Contract]:
    """Return the Lark of a structural tag, rule `start`, and the contract of its schemas.

    Args:
        spec: of kind "structural_tag".
        write_json: writes a planned schema as what follows `%json`.

    Raises:
        GrammarError: it is malformed, or cannot be enforced; with a JSON pointer into the tag.
    """
    document = parse_json(spec.source, kind=KIND)
    if not isinstance(document, dict):
        raise _malformed("", "a structural tag is an object", document)
    tags = _Tags(write_json)
    if "structures" in document:
        start = tags.expression(_modern(document), "", is_last=True)
    else:
        extra = document.keys() - {"type", "format"}
        if "format" not in document or extra:
            raise _malformed("", "give format, or structures and triggers", sorted(document))
        start = tags.expression(document["format"], "/format", is_last=True)
    lark = "\n".join([f"start: {start}", *tags.rules])
    return lark, Contract(tuple(tags.findings))


class _Tags:
    """One walk over a format. Expressions are Lark's."""

    def __init__(self, write_json: Callable[[Plan], str]) -> None:
        self._write_json = write_json
        self.rules: list[str] = []
        self.findings: list[Finding] = []

    def expression(self, node: Any, at: str, *, is_last: bool) -> str:
        """Return the expression of a format; `is_last`: nothing comes after it."""
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
                return _literal(_text(node, "value", at))
            case "json_schema":
                return self._schema(node.get("json_schema"), f"{at}/json_schema")
            case "regex":
                return _regex(_text(node, "pattern", at), f"{at}/pattern")
            case "any_text":
                return self._free(node, at, is_last=is_last)
            case "sequence" | "or":
                return self._joined(kind, node, at, is_last=is_last)
            case "tag":
                return (
                    f"{_literal(_text(node, 'begin', at))} {self._after_begin(node, at, is_last)}"
                )
            case "triggered_tags":
                return self._triggered(node, at, is_last=is_last)
            case _:
                return self._separated(node, at)

    def _joined(self, kind: str, node: dict[str, Any], at: str, *, is_last: bool) -> str:
        elements = _list(node, "elements", at)
        count = len(elements)
        found = [
            self.expression(
                element,
                f"{at}/elements/{index}",
                is_last=is_last and (kind == "or" or index == count - 1),
            )
            for index, element in enumerate(elements)
        ]
        return f"({(' | ' if kind == 'or' else ' ').join(found)})"

    def _after_begin(self, tag: dict[str, Any], at: str, is_last: bool) -> str:
        """Return what follows the beginning of a tag: content and end."""
        content, ends = tag.get("content"), tag.get("end")
        ends = [ends] if isinstance(ends, str) else ends
        if not isinstance(ends, list) or not ends or not all(isinstance(e, str) for e in ends):
            raise _malformed(f"{at}/end", "end is a text, or a list of texts", tag.get("end"))
        if isinstance(content, dict) and content.get("type") == "any_text" and any(ends):
            if "" in ends:
                raise _malformed(f"{at}/end", "free text with an end has no empty end", ends)
            lowered = self.expression(content, f"{at}/content", is_last=True)
            return self._rule(f"{lowered} ({' | '.join(map(_literal, ends))})", is_lazy=True)
        lowered = self.expression(content, f"{at}/content", is_last=is_last and ends == [""])
        end = " | ".join(map(_literal, ends))
        return f"{lowered} ({end})"

    def _free(self, node: dict[str, Any], at: str, *, is_last: bool) -> str:
        if not is_last:
            raise UnsupportedError(
                "free text needs a mark that ends it",
                kind=KIND,
                pointer=at,
                hint="Make it the content of a tag with an end, or put it last.",
            )
        most = node.get("max_chars")
        if most is None:
            return ANY_TEXT
        if isinstance(most, bool) or not isinstance(most, int) or not 0 <= most <= MAX_FREE_CHARS:
            raise _malformed(f"{at}/max_chars", f"an integer up to {MAX_FREE_CHARS:,}", most)
        return f"/(?s:.{{0,{most}}})/"

    def _triggered(self, node: dict[str, Any], at: str, *, is_last: bool) -> str:
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
        after: dict[str, list[str]] = {}
        for index, tag in enumerate(_list(node, "tags", at)):
            place = f"{at}/tags/{index}"
            begin = _text(_object(tag, place), "begin", place)
            # The shortest is met first, whatever the others are.
            trigger = min(filter(begin.startswith, triggers), key=len, default=None)
            if trigger is None:
                raise _malformed(f"{place}/begin", f"begins with one of {triggers}", begin)
            rest = f"{_literal(begin[len(trigger) :])} {self._after_begin(tag, place, False)}"
            after.setdefault(trigger, []).append(rest)
        options = [
            f"{self._rule(f'{ANY_TEXT} {_literal(trigger)}', is_lazy=True)} ({' | '.join(rests)})"
            for trigger, rests in after.items()
        ]
        island = self._rule(" | ".join(options))
        if node.get("stop_after_first"):
            return island if node.get("at_least_one") else f"({island} | {ANY_TEXT})"
        return f"{island}{'+' if node.get('at_least_one') else '*'} {ANY_TEXT}"

    def _separated(self, node: dict[str, Any], at: str) -> str:
        options = [
            self.expression(
                {"type": "tag", **_object(tag, at)}, f"{at}/tags/{index}", is_last=False
            )
            for index, tag in enumerate(_list(node, "tags", at))
        ]
        tag = self._rule(" | ".join(options))
        separator = _literal(_text(node, "separator", at))
        some = tag if node.get("stop_after_first") else f"{tag} ({separator} {tag})*"
        return f"({some})" if node.get("at_least_one") else f"({some})?"

    def _schema(self, schema: Any, at: str) -> str:
        if not isinstance(schema, dict | bool):
            raise _malformed(at, "a JSON Schema is an object or a boolean", schema)
        try:
            spec = GrammarSpec.json_schema(schema, only_named=True)
            plans: list[Plan] = []

            def write(plan: Plan) -> str:
                plans.append(plan)
                return self._write_json(plan)

            text = compile_json(spec, write)
        except GrammarError as error:
            raise type(error)(
                error.reason, kind=KIND, pointer=at + (error.pointer or ""), hint=error.hint
            ) from error
        self.findings += [
            replace(found, pointer=at + found.pointer) for found in plans[-1].contract
        ]
        return self._rule(f"%json {text}")

    def _rule(self, body: str, *, is_lazy: bool = False) -> str:
        name = f"part_{len(self.rules)}"
        self.rules.append(f"{name}{'[lazy]' if is_lazy else ''}: {body}")
        return name


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


def _regex(pattern: str, at: str) -> str:
    try:
        return f"/{rust_syntax(lower_pattern(pattern))}/"
    except GrammarError as error:
        raise type(error)(error.reason, kind=KIND, pointer=at, hint=error.hint) from error


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


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
