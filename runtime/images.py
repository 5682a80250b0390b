"""Images on their way to the model: their pixels, their place, and what a cache knows them by.

In a prompt an image is a run of placeholders, all of one id. The tree must not take two images for
the same one because of that, so there each position of an image has an id of its own, drawn from
a hash of the pixels: the same image meets its keys and values again, at the same place behind the
same text, and no other image does. These ids are above every vocabulary and never leave the tree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import shake_256
from itertools import groupby

import msgspec
import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.int32]

FIRST_KEY = 1 << 30  # the least id that the tree has for a position of an image
DIGEST_BYTES = 16
SURE = 5  # positions of 30 bits each, which tell images apart as the digest does


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """Where an image stands in a sequence."""

    at: int  # position of its first placeholder
    count: int  # placeholders, consecutive ones
    digest: bytes  # of the image's pixels and shape

    def is_unsure(self, length: int) -> bool:
        """Whether the first `length` positions of a sequence hold too little of the image's key."""
        return self.at < length < self.at + min(SURE, self.count)

    def key(self) -> Tokens:
        """Return the ids, [count], that stand for its positions in the tree."""
        drawn = np.frombuffer(shake_256(self.digest).digest(4 * self.count), dtype="<u4")
        return (drawn % FIRST_KEY + FIRST_KEY).astype(np.int32)


class Image(Span, frozen=True, kw_only=True):
    """An image in a sequence with its pixels, as the vision tower gets it."""

    shape: tuple[int, int, int]  # channels, height, width
    pixels: bytes  # [channels, height, width] f32, little-endian

    @classmethod
    def of(cls, pixels: NDArray[np.float32], count: int) -> Image:
        """Return an image that begins a sequence.

        Args:
            pixels: [channels, height, width] as preprocessed.
            count: how many placeholders it stands for.
        """
        channels, height, width = pixels.shape
        data = pixels.astype("<f4").tobytes()
        digest = shake_256(f"{channels} {height} {width} ".encode() + data).digest(DIGEST_BYTES)
        return cls(at=0, count=count, digest=digest, shape=(channels, height, width), pixels=data)

    def moved(self, at: int) -> Image:
        """Return the image at another position."""
        return msgspec.structs.replace(self, at=at)

    @property
    def span(self) -> Span:
        """Its place, without the pixels."""
        return Span(at=self.at, count=self.count, digest=self.digest)


def keyed(tokens: Tokens, images: Sequence[Span]) -> Tokens:
    """Return a sequence as the tree knows it: with the images' own ids for their placeholders.

    Args:
        tokens: [n]; itself returned where there are no images.
        images: each wholly within the sequence.
    """
    if not images:
        return tokens
    key = tokens.copy()
    for image in images:
        key[image.at : image.at + image.count] = image.key()
    return key


def keyed_ids(tokens: Sequence[int], images: Sequence[Span]) -> list[int]:
    """Return what `keyed` does, as a list."""
    ids: list[int] = keyed(np.array(tokens, dtype=np.int32), images).tolist()
    return ids


def readable(decode: Callable[[Sequence[int]], str]) -> Callable[[Sequence[int]], str]:
    """Return what decodes ids of the tree: a run of those of images is shown as `<image>`."""

    def text(ids: Sequence[int]) -> str:
        runs = groupby(ids, lambda token: token >= FIRST_KEY)
        return "".join("<image>" if is_image else decode(list(run)) for is_image, run in runs)

    return text
