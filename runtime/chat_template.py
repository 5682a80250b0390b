"""A checkpoint's chat template, and the two ways in which templates read the content of turns.

Most take a string. Those of models that see take parts, `{"type": "text", "text": ...}` and
`{"type": "image"}`, and some of them write nothing of a string. Which of the two a template reads
is found by rendering one turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from .template import TemplateFailure, renderer

Messages = Sequence[Mapping[str, Any]]

# The content of the turns that templates are tried with: no template changes a plain word.
PROBE = "Alphacontent"


class ChatTemplate:
    """What writes the conversations of one tokenizer of `transformers`."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def write(
        self,
        messages: Messages,
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = False,
        is_continued: bool = False,
        variables: Mapping[str, Any] | None = None,
        image_mark: str = "",
    ) -> str:
        """Return the text of a conversation as `transformers` has the template write it.

        Args:
            messages: content is a string or parts, whichever the template takes.
            tools: that may be called.
            add_generation_prompt: whether the next turn is opened.
            is_continued: whether the last turn stays open.
            variables: further ones of the template's.
            image_mark: stands for an image where the template takes strings alone.

        Raises:
            TemplateFailure: it does not.
        """
        try:  # a checkpoint may have several, of which one is for tools
            template = self._tokenizer.get_chat_template(None, tools)
        except ValueError as error:
            raise TemplateFailure(str(error)) from error
        return renderer.render(
            template,
            {
                **self._tokenizer.special_tokens_map,
                "documents": None,
                **(variables or {}),
                "messages": [self._suited(message, image_mark) for message in messages],
                "tools": tools,
                "add_generation_prompt": add_generation_prompt,
            },
            is_continued=is_continued,
        )

    def image_marks(self, image_mark: str) -> tuple[str, str]:
        """Return what the template writes right before and behind an image in a user's turn.

        Before one that opens the turn, that is, less what it writes before a text there. Nothing
        where it does not tell.
        """
        if not self._takes_parts:
            return "", ""
        image = {"type": "image"}
        text = {"type": "text", "text": PROBE}
        try:
            both = self._tried([image, text])
            opening = self._tried([text]).partition(PROBE)[0]
        except TemplateFailure:
            return "", ""
        before, mark, rest = both.removeprefix(opening).partition(image_mark)
        behind, found, _ = rest.partition(PROBE)
        return (before, behind) if mark and found else ("", "")

    def _suited(self, message: Mapping[str, Any], image_mark: str) -> Mapping[str, Any]:
        """Return a message with its content as the template takes it."""
        content = message.get("content")
        if isinstance(content, list) and not self._takes_parts:
            return joined(message, image_mark)
        if isinstance(content, str) and content and not self._takes_strings and self._takes_parts:
            return {**message, "content": [{"type": "text", "text": content}]}
        return message

    @cached_property
    def _takes_strings(self) -> bool:
        return self._shows(PROBE)

    @cached_property
    def _takes_parts(self) -> bool:
        return self._shows([{"type": "text", "text": PROBE}])

    def _shows(self, content: str | list[dict[str, str]]) -> bool:
        """Whether a user's turn is written with this content's text, and not with its parts."""
        try:
            text = self._tried(content)
        except TemplateFailure:
            return False
        return PROBE in text and f"'{PROBE}'" not in text and f'"{PROBE}"' not in text

    def _tried(self, content: Any) -> str:
        return renderer.render(
            self._tokenizer.get_chat_template(None, None),
            {
                **self._tokenizer.special_tokens_map,
                "documents": None,
                "messages": [{"role": "user", "content": content}],
                "tools": None,
                "add_generation_prompt": False,
            },
        )


def joined(message: Mapping[str, Any], image_mark: str) -> Mapping[str, Any]:
    """Return a message whose content in parts, if it is, has become one text."""
    content = message.get("content")
    if not isinstance(content, list):
        return message
    texts = [f"{image_mark}\n" if part["type"] == "image" else part["text"] for part in content]
    return {**message, "content": "".join(texts)}
