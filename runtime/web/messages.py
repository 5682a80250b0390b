"""The messages of a conversation, checked, with the images in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import InvalidRequestError
from .tools import with_objects

Parts = list[dict[str, str]]


def checked_messages(messages: Any, images: list[str]) -> list[dict[str, Any]]:
    """Check messages, and reduce content in parts to its text, unless it holds images.

    Args:
        messages: as sent.
        images: to which the URLs of their images are added, in order.

    Raises:
        InvalidRequestError: what is wrong with which message.
    """
    if not isinstance(messages, list) or not messages:
        raise InvalidRequestError("messages must be a list with at least one message")
    return [_message(f"messages[{i}]", message, images) for i, message in enumerate(messages)]


def _message(where: str, message: Any, images: list[str]) -> dict[str, Any]:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise InvalidRequestError(f"{where} must be an object with a role")
    content = message.get("content")
    if isinstance(content, list):
        content = _content(where, content, images)
    elif content is not None and not isinstance(content, str):
        raise InvalidRequestError(f"{where}.content must be a string or a list of parts")
    if content is None and not message.get("tool_calls"):
        raise InvalidRequestError(f"{where} has neither content nor tool_calls")
    return {**with_objects(where, message), "content": content or ""}


def _content(where: str, parts: Sequence[Any], images: list[str]) -> str | Parts:
    """Check the parts of a message.

    Args:
        where: the message, as errors name it.
        parts: in OpenAI's form.
        images: to which the URLs of its images are added.

    Returns:
        The text of all, or where there are images what chat templates read: `{"type": "text",
        "text": ...}` and `{"type": "image"}`.

    Raises:
        InvalidRequestError: what is wrong with which part.
    """
    found: Parts = []
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else part
        if kind == "text":
            found.append({"type": "text", "text": str(part.get("text", ""))})
        elif kind == "image_url":
            images.append(_url(where, part.get("image_url")))
            found.append({"type": "image"})
        else:
            raise InvalidRequestError(f"{where}: content of type {kind!r} is not supported yet")
    if any(part["type"] == "image" for part in found):
        return found
    return "".join(part["text"] for part in found)


def _url(where: str, image: Any) -> str:
    url = image.get("url") if isinstance(image, dict) else image
    if not isinstance(url, str) or not url.startswith(("data:", "http://", "https://")):
        raise InvalidRequestError(
            f"{where}: an image_url must hold a url: a data URL, or an http(s) address"
        )
    return url
