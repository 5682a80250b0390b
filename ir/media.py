"""Messages that hold images between their text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Content = str | list[dict[str, Any]]


def content_of(text: str, images: Sequence[tuple[int, str]]) -> Content:
    """The content of a turn: its text, or its parts in OpenAI's form where it has images.

    White space at the beginning is dropped, as it follows the mark of the role.

    Args:
        text: of the turn.
        images: how many characters stand before each, and its URL; in order.
    """
    if not images:
        return text.lstrip()
    parts: list[dict[str, Any]] = []
    at = 0
    for place, url in (*images, (len(text), "")):
        piece = text[at:place]
        if not parts:
            piece = piece.lstrip()
        if piece:
            parts.append({"type": "text", "text": piece})
        if url:
            parts.append({"type": "image_url", "image_url": {"url": url}})
        at = place
    return parts


def with_urls(messages: Sequence[dict[str, Any]], urls: Mapping[str, str]) -> list[dict[str, Any]]:
    """Messages whose images have other URLs: those of a table; what is not in it stays."""

    def part(each: dict[str, Any]) -> dict[str, Any]:
        if each["type"] != "image_url":
            return each
        url = each["image_url"]["url"]
        return {**each, "image_url": {"url": urls.get(url, url)}}

    def message(each: dict[str, Any]) -> dict[str, Any]:
        content: Content = each["content"]
        return each if isinstance(content, str) else {**each, "content": list(map(part, content))}

    return list(map(message, messages))
