"""Where the references of a schema lead, without fetching anything.

`$id`, `$anchor` and the drafts' rules for them are the `referencing` package's; the drafts' own
metaschemas are at hand. What is added here is the JSON pointer of every place, for messages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urldefrag

import referencing.exceptions
import referencing.jsonschema
from jsonschema_specifications import REGISTRY

from .errors import MalformedError, UnsupportedError
from .keywords import KIND, escape

__all__ = ["Place", "has_tuples", "root_place"]

_BASE = "urn:radixlm:schema"
_OLD = ("draft-03", "draft-04", "draft-06", "draft-07")  # a $ref there hides what stands beside it


@dataclass(frozen=True, slots=True)
class Place:
    """A schema within a document, with what `$ref` means there."""

    schema: Any
    at: str  # its JSON pointer; for a metaschema its address
    document: Document
    resolver: Any  # referencing's, at this place

    def child(self, *steps: str | int) -> Place:
        """Return the schema some steps below, which is there."""
        schema, at = self.schema, self.at
        for step in steps:
            schema = schema[step]
            at += "/" + escape(str(step))
        return self.document.place(schema, at, self.resolver)

    def of(self, schema: Any, step: str) -> Place:
        """Return a schema that is not written there, but comes of the keyword `step`."""
        return Place(schema, f"{self.at}/{escape(step)}", self.document, self.resolver)

    @property
    def keywords(self) -> Mapping[str, Any]:
        """What the schema says: in drafts up to 7, a $ref says all."""
        if self.document.is_old and "$ref" in self.schema:
            return {"$ref": self.schema["$ref"]}
        keywords: Mapping[str, Any] = self.schema
        return keywords

    def target(self, keyword: str) -> Place:
        """Return where a reference leads.

        Raises:
            MalformedError: it leads nowhere in this document.
            UnsupportedError: it leads outside.
        """
        reference, at = self.schema[keyword], f"{self.at}/{keyword}"
        if not isinstance(reference, str):
            raise MalformedError(
                f"{keyword} is a string, not {reference!r:.80}", kind=KIND, pointer=at
            )
        try:
            found = self.resolver.lookup(reference)
        except (referencing.exceptions.Unresolvable, ValueError, TypeError) as error:
            if self.document.has_resource(self.resolver, reference):
                raise MalformedError(
                    f"{reference!r} leads nowhere", kind=KIND, pointer=at
                ) from error
            raise UnsupportedError(
                f"{reference!r} is outside this schema; nothing is fetched",
                kind=KIND,
                pointer=at,
                hint="Copy the schema under $defs and write #/$defs/NAME.",
            ) from error
        pointer = self.document.pointers.get(id(found.contents), reference)
        return Place(found.contents, pointer, self.document, found.resolver)


class Document:
    """A whole schema document."""

    def __init__(self, schema: Any) -> None:
        self.schema = schema
        dialect = schema.get("$schema") if isinstance(schema, Mapping) else None
        dialect = dialect if isinstance(dialect, str) else ""
        self.dialect = dialect
        self.is_old = any(draft in dialect for draft in _OLD)
        newest: Any = referencing.jsonschema.DRAFT202012
        if has_tuples(schema):
            newest = (
                referencing.jsonschema.DRAFT201909
            )  # whose form of tuples the newest cannot read
        found: Any = referencing.jsonschema.specification_with(dialect, default=newest)
        is_newest = found is referencing.jsonschema.DRAFT202012
        self._specification = newest if is_newest else found
        self.pointers = dict(_pointers(schema, ""))
        resource = self._specification.create_resource(schema)
        self._registry: Any = REGISTRY.with_resource(_BASE, resource)
        own_id = resource.id()
        if own_id:
            self._registry = self._registry.with_resource(own_id, resource)
        self._registry = self._registry.crawl()
        self.root_resolver = self._registry.resolver(own_id or _BASE)

    def place(self, schema: Any, at: str, resolver: Any) -> Place:
        """Return a place, under its own `$id` where it has one."""
        if isinstance(schema, Mapping) and ("$id" in schema or "id" in schema):
            resource = self._specification.create_resource(schema)
            resolver = resolver.in_subresource(resource)
        return Place(schema, at, self, resolver)

    def has_resource(self, resolver: Any, reference: str) -> bool:
        """Whether a reference names this document or a part of it that has an `$id`."""
        address, _ = urldefrag(reference)
        if not address:
            return True
        try:
            resolver.lookup(address)
        except referencing.exceptions.Unresolvable:
            return False
        return True

    def count(self, keyword: str) -> int:
        """Return how many schemas of the document have a keyword."""
        return sum(1 for schema in _mappings(self.schema) if keyword in schema)


def has_tuples(schema: Any) -> bool:
    """Whether a schema has `items` in the form of the drafts up to 2019-09."""
    return any(isinstance(part.get("items"), list) for part in _mappings(schema))


def root_place(schema: Any) -> Place:
    """Return the place of a whole document.

    Raises:
        MalformedError: an `$id` or an anchor in it is not well-formed.
    """
    try:
        document = Document(schema)
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        raise MalformedError(
            f"the $id and $anchor of the schema cannot be read: {error!r}", kind=KIND, pointer=""
        ) from error
    return Place(schema, "", document, document.root_resolver)


def _pointers(node: Any, at: str) -> Iterator[tuple[int, str]]:
    # Booleans are shared objects: they have no pointer of their own.
    if isinstance(node, Mapping):
        yield id(node), at
        for key, value in node.items():
            yield from _pointers(value, f"{at}/{escape(str(key))}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _pointers(value, f"{at}/{index}")


def _mappings(node: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(node, Mapping):
        yield node
        for value in node.values():
            yield from _mappings(value)
    elif isinstance(node, list):
        for value in node:
            yield from _mappings(value)
