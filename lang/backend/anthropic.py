"""`Anthropic` under SGLang's path."""

from __future__ import annotations

from ..backends.anthropic import Anthropic

__all__ = ["Anthropic"]
