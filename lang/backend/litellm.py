"""`LiteLLM` under SGLang's path."""

from __future__ import annotations

from ..backends.litellm import LiteLLM

__all__ = ["LiteLLM"]
