"""Images through the vision tower: what it makes of images, kept for those who show them again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor

from ..images import Image, Span
from ..models.llava import Tower
from .inputs import ImageSpan

# On the tower's device: 50 images of LLaVA-1.5-7B, of 4.7 MB each.
KEPT_BYTES = 256 << 20


class VisionEncoder:
    """A vision tower with a bounded memory; the images seen longest ago are forgotten first."""

    def __init__(self, tower: Tower, kept_bytes: int = KEPT_BYTES) -> None:
        self.vision = tower.vision
        self.computed = 0  # images that went through the tower
        self._tower = tower
        self._max_bytes = kept_bytes
        self._bytes = 0
        self._shown: dict[bytes, Image] = {}  # by digest, what rows may be asked for
        self._rows: OrderedDict[bytes, Tensor] = OrderedDict()  # by digest, [rows, hidden]

    def show(self, image: Image) -> None:
        """Keep an image's pixels until `forget`."""
        self._shown[image.digest] = image

    def forget(self, digest: bytes) -> None:
        """Let go of the pixels; the rows may stay."""
        self._shown.pop(digest, None)

    def rows(self, image_spans: Sequence[ImageSpan]) -> Tensor:
        """Return what the spans show, one after another, [E, hidden]."""
        return torch.cat(
            [
                self._encoded(span.image)[span.first : span.first + span.count]
                for span in image_spans
            ]
        )

    def _encoded(self, span: Span) -> Tensor:
        rows = self._rows.get(span.digest)
        if rows is not None:
            self._rows.move_to_end(span.digest)
            return rows
        image = self._shown[span.digest]
        # One at a time, so that what an image becomes never depends on those beside it.
        pixels = torch.frombuffer(bytearray(image.pixels), dtype=torch.float32).view(image.shape)
        rows = self._tower(pixels)
        self.computed += 1
        self._rows[image.digest] = rows
        self._bytes += rows.nbytes
        while self._bytes > self._max_bytes:
            _, oldest = self._rows.popitem(last=False)
            self._bytes -= oldest.nbytes
        return rows
