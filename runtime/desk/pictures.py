"""From what clients send as an image to what a vision tower gets.

Decoding and preprocessing are work of milliseconds, done on threads beside the event loop, by the
checkpoint's own image processor of `transformers`, which needs Pillow.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import threading
from collections.abc import Sequence
from contextlib import suppress
from io import BytesIO
from typing import Any

import numpy as np

from ..errors import InvalidRequestError
from ..images import Image
from ..messages import VisionSpec
from ..tokenizer import Tokenizer
from .fetch import Fetcher

MAX_IMAGES = 64  # of one prompt
MAX_IMAGE_BYTES = 20 << 20  # of a file
MAX_PIXELS = 40_000_000  # of a decoded image; some 120 MB
MAX_FETCHES = 16  # at once, of all requests
MAX_DECODING = 2  # likewise
FORMATS = ("PNG", "JPEG", "GIF", "WEBP")


class Pictures:
    """Prepares images for one model.

    Attributes:
        vision: what images are to the model; None: it takes text alone.
        mark: the placeholder of an image, as it is written in a prompt.
        around: what the chat template writes before and behind one in a user's turn.
    """

    def __init__(self, folder: str, fetcher: Fetcher | None = None) -> None:
        self.vision: VisionSpec | None = None
        self.mark = ""
        self.around = ("", "")
        self._folder = folder
        self._fetcher = fetcher or Fetcher()
        self._processor: Any = None
        self._loading = threading.Lock()
        self._warming: asyncio.Task[None] | None = None  # held, so that it is not collected
        self._fetches = asyncio.Semaphore(MAX_FETCHES)
        self._turns = asyncio.Semaphore(MAX_DECODING)

    def open(self, vision: VisionSpec | None, tokenizer: Tokenizer) -> None:
        """Learn what the model is, once that is known; on the event loop.

        If it sees, the image processor is loaded ahead: it imports seconds' worth of modules.
        """
        self.vision = vision
        if vision is not None:
            self._warming = asyncio.create_task(asyncio.to_thread(self._warm))
            self.mark = tokenizer.decode([vision.image_token_id], skip_special_tokens=False)
            self.around = tokenizer.image_marks(self.mark)

    async def load(self, url: str) -> Image:
        """Return an image that a client has sent.

        Args:
            url: an http(s) address, a data URL, or the base64 of a file.

        Raises:
            InvalidRequestError: the model sees no images, or this is none that may be had.
        """
        vision = self.required_vision()
        if url.startswith(("http://", "https://")):
            async with self._fetches:
                data = await self._fetcher.fetch(url, MAX_IMAGE_BYTES)
        else:
            data = _decoded(url)
        if len(data) > MAX_IMAGE_BYTES:
            raise InvalidRequestError(
                f"an image has {len(data)} bytes; at most {MAX_IMAGE_BYTES} are taken"
            )
        async with self._turns:
            return await asyncio.to_thread(self._prepare, data, vision)

    async def load_all(self, urls: Sequence[str]) -> list[Image]:
        """Return the images of one prompt; see `load`."""
        if len(urls) > MAX_IMAGES:
            raise InvalidRequestError(f"{len(urls)} images in a prompt; at most {MAX_IMAGES}")
        try:
            async with asyncio.TaskGroup() as group:
                loading = [group.create_task(self.load(url)) for url in urls]
        except BaseExceptionGroup as failures:  # the others are cancelled
            raise failures.exceptions[0] from None
        return [task.result() for task in loading]

    def required_vision(self) -> VisionSpec:
        """Return what images are to the model.

        Raises:
            InvalidRequestError: it sees none.
        """
        if self.vision is None:
            raise InvalidRequestError(
                f"the model {self._folder} takes text alone, and the request holds an image; "
                "serve a model with vision (LLaVA), or leave the image out"
            )
        return self.vision

    def _prepare(self, data: bytes, vision: VisionSpec) -> Image:
        picture = _opened(data)
        values = self._loaded()(images=picture, return_tensors="np")["pixel_values"]
        pixels = np.asarray(values[0], dtype=np.float32)
        if pixels.shape != vision.shape:
            raise InvalidRequestError(
                f"the image processor of {self._folder} makes images of shape "
                f"{list(pixels.shape)}, and its vision tower takes {list(vision.shape)}; correct "
                "crop_size and size in its preprocessor_config.json"
            )
        return Image.of(pixels, vision.num_rows)

    def _warm(self) -> None:
        with suppress(InvalidRequestError):  # the first request with an image meets it
            self._loaded()

    def _loaded(self) -> Any:
        with self._loading:
            if self._processor is None:
                import transformers

                kinds: Any = transformers.AutoImageProcessor
                try:
                    self._processor = kinds.from_pretrained(self._folder, local_files_only=True)
                except (OSError, ValueError, ImportError, KeyError) as error:
                    raise InvalidRequestError(
                        f"the image processor of {self._folder} cannot be loaded: {error}"
                    ) from error
            return self._processor


def place(
    tokens: Sequence[int], pictures: Sequence[Image], vision: VisionSpec
) -> tuple[list[int], list[Image]]:
    """Give each image its placeholders: as many as it has rows, where a prompt has one.

    Raises:
        InvalidRequestError: there are not as many placeholders as images.
    """
    found = sum(token == vision.image_token_id for token in tokens)
    if found != len(pictures):
        raise InvalidRequestError(
            f"the prompt has {found} placeholders of images (token {vision.image_token_id}), and "
            f"{len(pictures)} images were sent; there must be one for each"
        )
    placed: list[int] = []
    images: list[Image] = []
    for token in tokens:
        if token == vision.image_token_id:
            images.append(pictures[len(images)].moved(len(placed)))
            placed += [token] * vision.num_rows
        else:
            placed.append(token)
    return placed, images


def _decoded(url: str) -> bytes:
    kind, comma, body = url.partition(",")
    if url.startswith("data:"):
        if not comma or not kind.endswith(";base64"):
            raise InvalidRequestError("an image's data URL must be data:image/<kind>;base64,<data>")
    else:
        body = url
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        start = url if len(url) < 60 else f"{url[:57]}..."
        raise InvalidRequestError(
            f"an image is {start!r}, which is no http(s) address, no data URL and no base64 "
            f"({error}); files are read by Engine alone, not by a server"
        ) from error


def _opened(data: bytes) -> Any:
    """Decode a file; of an animation, its first picture.

    Raises:
        InvalidRequestError: it is none, or too large; or Pillow is missing.
    """
    try:
        from PIL import Image as Pillow
        from PIL import ImageOps
    except ImportError as error:
        raise InvalidRequestError(
            "images need Pillow, which is not installed here; pip install 'radixlm[vision]'"
        ) from error
    try:
        picture = Pillow.open(BytesIO(data), formats=FORMATS)
        width, height = picture.size  # from the header: nothing is decoded yet
        if width * height > MAX_PIXELS:
            raise InvalidRequestError(
                f"an image has {width} x {height} pixels; at most {MAX_PIXELS} are taken"
            )
        return ImageOps.exif_transpose(picture).convert("RGB")
    except InvalidRequestError:
        raise
    except Exception as error:  # Pillow's decoders raise many kinds on damaged files
        raise InvalidRequestError(
            f"an image of {len(data)} bytes cannot be read as {', '.join(FORMATS)}: {error}"
        ) from error
