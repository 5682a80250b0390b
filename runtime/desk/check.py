"""Checking whole documents against what the masks of their schemas leave open."""

from __future__ import annotations

import asyncio
from functools import lru_cache

from ...constrained.check import Check
from ...constrained.contract import Failure
from ...constrained.spec import parse_json
from ..request import SamplingParams


async def check_document(sampling: SamplingParams, text: str) -> list[Failure]:
    """Return what is wrong with a text under its request's schema."""
    spec = sampling.grammar()
    assert spec is not None
    return await asyncio.to_thread(_failures, spec.source, text)


def _failures(schema: str, text: str) -> list[Failure]:
    return _check(schema).failures(text)


@lru_cache(maxsize=64)
def _check(schema: str) -> Check:
    return Check(parse_json(schema, kind="json_schema"))
