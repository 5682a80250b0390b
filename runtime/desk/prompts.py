"""The prompts of a request: as texts, ids or pieces, one or many, and their names."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from ..errors import InvalidRequestError
from ..images import Image
from .desk import Desk
from .pictures import place
from .tokens import Segments, Tokens

T = TypeVar("T")
Prompt = tuple[list[int], list[Image]]


def prompts_of(
    desk: Desk,
    *,
    text: str | list[str] | None = None,
    input_ids: list[int | list[int]] | None = None,
    segments: Segments | None = None,
    seen: Sequence[Sequence[Image]] = (),
) -> tuple[list[Prompt], bool]:
    """Return the prompts as ids with their images, and whether they came as a batch.

    Args:
        desk: of the model.
        text: one or many, or
        input_ids: the same as ids, or
        segments: one in pieces.
        seen: of each prompt its images; none: of no prompt.

    Raises:
        InvalidRequestError: not exactly one form is given, or it holds something else.
    """
    forms = {"text": text, "input_ids": input_ids, "segments": segments}
    given = [name for name, value in forms.items() if value is not None]
    if len(given) != 1:
        raise InvalidRequestError(
            f"give exactly one of text, input_ids and segments, not {given or 'none'}"
        )
    if segments is not None:
        images = seen[0] if seen else ()
        tokens = Tokens.joined(segments, images, desk.pictures, desk.tokenizer)
        tokens.settle(desk.tokenizer)
        return [(tokens.ids, tokens.images)], False
    if text is not None:
        texts = [text] if isinstance(text, str) else text
        prompts = [desk.tokenizer.encode(each) for each in texts]
        is_batch = not isinstance(text, str)
    else:
        ids: list[Any] = input_ids or []
        is_batch = bool(ids) and isinstance(ids[0], list)
        kind = list if is_batch else int
        if not all(isinstance(item, kind) for item in ids):
            raise InvalidRequestError("input_ids must be a list of ids, or a list of such lists")
        prompts = ids if is_batch else [ids]
    if not prompts:
        raise InvalidRequestError("the batch of prompts is empty")
    if seen and len(seen) != len(prompts):
        raise InvalidRequestError(f"image_data has {len(seen)} entries for {len(prompts)} prompts")
    vision = desk.model.vision
    if vision is None:
        return [(tokens, []) for tokens in prompts], is_batch
    each = seen or [()] * len(prompts)
    placed = [place(tokens, images, vision) for tokens, images in zip(prompts, each, strict=True)]
    return placed, is_batch


def names_of(rid: str | list[str] | None, count: int, is_batch: bool) -> list[str]:
    """Return the names of `count` requests: those that were given, made from one, or new ones."""
    if isinstance(rid, list):
        if len(rid) != count:
            raise InvalidRequestError(f"rid has {len(rid)} entries for {count} prompts")
        if len(set(rid)) != count:
            raise InvalidRequestError("Duplicate request ID detected within the batch")
        return rid
    if rid is None:
        return [uuid.uuid4().hex for _ in range(count)]
    return [f"{rid}_{index}" for index in range(count)] if is_batch else [rid]


async def gather(work: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Run all; when one fails the others are cancelled, which aborts their requests."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(coroutine) for coroutine in work]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]
