"""The content of a message in parts: texts and images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import InvalidRequestError

Parts = list[dict[str, str]]


def content_parts(where: str, parts: Sequence[Any], images: list[str]) -> str | Parts:
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
