"""What a program runs on; SGLang's path and name of it."""

from __future__ import annotations

from ..backends.default import ProgramBackend as BaseBackend

__all__ = ["BaseBackend"]
