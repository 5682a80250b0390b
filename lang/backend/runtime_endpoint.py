"""Servers as backends, under SGLang's path."""

from __future__ import annotations

from ..backends.endpoint import RuntimeEndpoint
from ..backends.server_process import Runtime

__all__ = ["Runtime", "RuntimeEndpoint"]
