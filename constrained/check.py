"""Validating a closed document against its schema: what the mask left open is found here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import jsonschema
import jsonschema.exceptions
import jsonschema.validators
from jsonschema_specifications import REGISTRY

from .contract import Failure
from .formats import FORMATS, MAX_LENGTHS
from .keywords import escape
from .references import has_tuples
from .regexes import plain_spaces

__all__ = ["Check"]

_PYTHON_ONLY = re.compile(r"\\[aAZ]|\(\?[aiLmsux]+[):]|\(\?P")  # no ECMA-262


class Check:
    """The validator of one schema: immutable, any number of threads may use it.

    The keywords are the jsonschema package's, with the room's own formats (RFCs, see `formats.py`)
    and with patterns read as ECMA-262 does. Nothing is fetched.
    """

    def __init__(self, document: Any) -> None:
        newest = jsonschema.Draft201909Validator if has_tuples(document) else None
        base: Any = jsonschema.validators.validator_for(
            document, default=newest or jsonschema.Draft202012Validator
        )
        words: dict[str, Any] = {"pattern": _pattern, "patternProperties": _pattern_properties}
        if "dependencies" not in base.VALIDATORS:  # enforced in every draft, so checked in every
            words["dependencies"] = jsonschema.Draft7Validator.VALIDATORS["dependencies"]
        validator: Any = jsonschema.validators.extend(base, words)
        self._validator = validator(document, registry=REGISTRY, format_checker=_formats())

    def failures(self, text: str) -> list[Failure]:
        """Return what is wrong with a document; nothing where it is valid."""
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            return [Failure("", "", f"the text is not JSON: {error}")]
        return self.failures_of(value)

    def failures_of(self, value: Any) -> list[Failure]:
        """Return what is wrong with a parsed document."""
        try:
            return [_failure(error) for error in self._validator.iter_errors(value)]
        except RecursionError:
            return [Failure("", "", "the document nests too deep to be validated")]


def _failure(error: Any) -> Failure:
    return Failure(
        "".join(f"/{escape(str(step))}" for step in error.absolute_path),
        "".join(f"/{escape(str(step))}" for step in error.absolute_schema_path),
        error.message[:500],
    )


def _formats() -> Any:
    checker: Any = jsonschema.FormatChecker(formats=())

    def add(name: str) -> None:
        pattern = re.compile(FORMATS[name][:-1] + r"\Z")
        most = MAX_LENGTHS.get(name)

        def is_valid(value: object) -> bool:
            if not isinstance(value, str):
                return True
            return pattern.match(value) is not None and (most is None or len(value) <= most)

        checker.checks(name)(is_valid)

    for name in FORMATS:
        add(name)

    checker.checks("regex", raises=re.error)(_is_regex)
    return checker


def _is_regex(value: object) -> bool:
    """Raise `re.error` for a text that is no pattern."""
    if not isinstance(value, str):
        return True
    if _PYTHON_ONLY.search(value):
        return False
    return re.compile(value) is not None


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str] | None:
    """Return a pattern as ECMA-262 means it; None where Python cannot read it."""
    try:
        return re.compile(plain_spaces(pattern), re.ASCII)
    except re.error:  # then it is a pattern that the mask enforces
        return None


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[Any]:
    if isinstance(instance, str):
        compiled = _compiled(pattern)
        if compiled is not None and compiled.search(instance) is None:
            yield jsonschema.exceptions.ValidationError(f"{instance!r} does not match {pattern!r}")


def _pattern_properties(validator: Any, patterns: Any, instance: Any, schema: Any) -> Iterator[Any]:
    if not isinstance(instance, dict):
        return
    for pattern, inner in patterns.items():
        compiled = _compiled(pattern)
        for key, value in instance.items():
            if compiled is not None and compiled.search(key) is not None:
                yield from validator.descend(value, inner, path=key, schema_path=pattern)
