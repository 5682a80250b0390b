"""Thinking and answer, told apart; SGLang's path of it."""

from __future__ import annotations

from ...ir.reasoning import ReasoningParser

__all__ = ["ReasoningParser"]
