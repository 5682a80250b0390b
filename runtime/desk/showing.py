"""Which images the scheduler has: each is sent once, however many sequences it stands in.

Pixels are large, 1.4 MB for one of LLaVA-1.5, and samples, branches, batches and the next turn show
the same ones. The channel keeps its order, so the desk alone decides what stays there: all images
of open sequences, and those that were shown last.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable

from ..images import Image
from ..messages import Forget, Show

IDLE_BYTES = 128 << 20  # of pixels that stay with the scheduler while no sequence has them


class Showing:
    """The images of one desk.

    Args:
        send: to the scheduler, in order.
        idle_bytes: a bound for what stays.
    """

    def __init__(self, send: Callable[[Show | Forget], None], idle_bytes: int = IDLE_BYTES) -> None:
        self._send = send
        self._max_bytes = idle_bytes
        self._open: Counter[bytes] = Counter()  # by digest, how many sequences have it
        self._idle: OrderedDict[bytes, int] = OrderedDict()  # digest → bytes; shown last comes last

    def begin(self, images: Iterable[Image]) -> None:
        """Show the images of a sequence that will be submitted."""
        for image in images:
            if self._idle.pop(image.digest, None) is None and not self._open[image.digest]:
                self._send(Show(image=image))
            self._open[image.digest] += 1

    def end(self, images: Iterable[Image]) -> None:
        """Note that a sequence has ended, or was aborted."""
        for image in images:
            self._open[image.digest] -= 1
            if not self._open[image.digest]:
                del self._open[image.digest]
                self._idle[image.digest] = len(image.pixels)
        while sum(self._idle.values()) > self._max_bytes:
            digest, _ = self._idle.popitem(last=False)
            self._send(Forget(digest=digest))
