"""Images as URLs, from whatever users have: a path, bytes, a PIL image, an address.

A program that is sent somewhere holds no images. In it one is named by a reference, a hash of its
data URL, and the data URL travels once beside the program, however often the image is shown.
"""

from __future__ import annotations

import base64
import hashlib
from io import BytesIO
from pathlib import Path
from typing import Any

SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
}

REFERENCE = "sha256:"
IMAGE_CALL = "$image"  # how a program asks its client for what is not beside it; no one's function
MAX_URL_CHARACTERS = 4_096  # of an image in the program itself: an address, or a very small file


def is_url(source: object) -> bool:
    """Whether this is an image's address or a data URL already."""
    return isinstance(source, str) and source.startswith(("http://", "https://", "data:image/"))


def reference(url: str) -> str:
    """The name of an image beside a program: the same for the same data URL, and for no other."""
    return REFERENCE + hashlib.sha256(url.encode()).hexdigest()


def image_url(source: Any) -> str:
    """Return an image as a data URL; an address stays as it is, for whoever serves to fetch.

    Args:
        source: a path, the bytes of a PNG, JPEG, GIF or WebP file, a PIL image, or a URL.

    Raises:
        FileNotFoundError: no file is there.
        ValueError: the bytes are no image of these kinds.
        TypeError: something else.
    """
    if isinstance(source, str) and is_url(source):
        return source
    if isinstance(source, str | Path):
        return _data_url(Path(source).read_bytes(), repr(str(source)))
    if isinstance(source, bytes | bytearray):
        return _data_url(bytes(source), "these bytes")
    if hasattr(source, "save"):  # PIL's
        buffer = BytesIO()
        source.save(buffer, format="PNG")
        return _data_url(buffer.getvalue(), "this image")
    raise TypeError(
        f"image() takes a path, bytes, a PIL image or a URL, not {type(source).__name__}"
    )


def _data_url(data: bytes, what: str) -> str:
    kinds = [kind for signature, kind in SIGNATURES.items() if data.startswith(signature)]
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        kinds.append("image/webp")
    if not kinds:
        raise ValueError(f"{what} is no PNG, JPEG, GIF or WebP image; convert it to one of them")
    return f"data:{kinds[0]};base64,{base64.b64encode(data).decode()}"
