"""Programs on Crusoe's managed inference, which speaks OpenAI's protocol."""

from __future__ import annotations

import os
from typing import Any

from ...ir.errors import BackendError
from .openai import OpenAI

URL = "https://api.inference.crusoecloud.com/v1"
KEY = "CRUSOE_API_KEY"


class Crusoe(OpenAI):
    """A chat model at Crusoe.

    Args:
        model_name: as the service calls it.
        base_url: else the service's own address.
        api_key: else the environment's `CRUSOE_API_KEY`.
        **options: as `OpenAI` takes them.

    Raises:
        ModuleNotFoundError: the package `openai` is missing.
        BackendError: there is no key.
    """

    def __init__(
        self,
        model_name: str,
        *,
        base_url: str = URL,
        api_key: str | None = None,
        **options: Any,
    ) -> None:
        key = api_key or os.environ.get(KEY)
        if not key and "client" not in options:
            raise BackendError(f"Crusoe needs a key: pass api_key=, or set {KEY}")
        super().__init__(model_name, base_url=base_url, api_key=key, **options)
