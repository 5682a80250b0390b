"""`Crusoe` under SGLang's path."""

from __future__ import annotations

from ..backends.crusoe import Crusoe

__all__ = ["Crusoe"]
