"""`OpenAI` under SGLang's path."""

from __future__ import annotations

from ..backends.openai import OpenAI

__all__ = ["OpenAI"]
