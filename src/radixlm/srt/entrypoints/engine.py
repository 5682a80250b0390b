"""`Engine` under SGLang's path."""

from __future__ import annotations

from ...runtime.offline import Engine

__all__ = ["Engine"]
