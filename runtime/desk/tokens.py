"""A sequence as its token ids, with text behind them that is not tokenised yet, and its images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from ..images import Image
from ..tokenizer import Tokenizer
from .pictures import Pictures


class Shown(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A piece of a prompt that is an image: a URL or base64."""

    image: str


Segments = Sequence[str | list[int] | Shown]


def shown(segments: Segments) -> list[str]:
    """Return what the pieces show, in order."""
    return [piece.image for piece in segments if isinstance(piece, Shown)]


@dataclass(slots=True)
class Tokens:
    """A sequence: ids, then text that will follow them."""

    ids: list[int] = field(default_factory=list[int])
    pending: str = ""
    images: list[Image] = field(default_factory=list[Image])  # whose placeholders are in `ids`
    hold: int | None = None  # the desk's key, while the cache keeps the ids

    def copy(self) -> Tokens:
        """Return another sequence that begins like this one."""
        return Tokens(list(self.ids), self.pending, list(self.images))

    def settle(self, tokenizer: Tokenizer) -> None:
        """Tokenise the pending text."""
        if self.pending:
            self.ids.extend(tokenizer.encode_literal(self.pending, opens=not self.ids))
            self.pending = ""

    def show(self, image: Image, placeholder: int, tokenizer: Tokenizer) -> None:
        """Append an image."""
        opens = not self.ids  # then there is a BOS before it, if one opens texts
        self.ids.extend(tokenizer.encode_literal(self.pending, opens=opens))
        self.pending = ""
        self.images.append(image.moved(len(self.ids)))
        self.ids += [placeholder] * image.count

    @classmethod
    def joined(
        cls, segments: Segments, seen: Sequence[Image], pictures: Pictures, tokenizer: Tokenizer
    ) -> Tokens:
        """Join pieces of a prompt: each string is tokenised on its own, ids stay as they are.

        The last string stays pending.

        Args:
            segments: the pieces.
            seen: their images, in order.
            pictures: of the desk.
            tokenizer: of the model.
        """
        made = cls()
        images = iter(seen)
        before: object = None
        for piece in segments:
            if isinstance(piece, Shown):
                placeholder = pictures.required_vision().image_token_id
                made.show(next(images), placeholder, tokenizer)
            elif isinstance(piece, str):
                if isinstance(before, str):
                    made.settle(tokenizer)
                made.pending += piece
            else:
                made.settle(tokenizer)
                made.ids += piece
            before = piece
        return made
