"""`VertexAI` under SGLang's path."""

from __future__ import annotations

from ..backends.vertexai import VertexAI

__all__ = ["VertexAI"]
