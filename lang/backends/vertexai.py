"""Programs on Google's Vertex AI, by way of LiteLLM."""

from __future__ import annotations

import os
from typing import Any

from .litellm import LiteLLM

PROJECT = "GCP_PROJECT_ID"  # SGLang's names of the environment variables
LOCATION = "GCP_LOCATION"


class VertexAI(LiteLLM):
    """A model of Vertex AI ("gemini-2.5-flash").

    Args:
        model_name: as Vertex AI calls it.
        project: else the environment's `GCP_PROJECT_ID`.
        location: else the environment's `GCP_LOCATION`; else the service's usual one.
        **options: as `LiteLLM` takes them.

    Raises:
        ModuleNotFoundError: the package `litellm` is missing.
    """

    def __init__(
        self,
        model_name: str,
        *,
        project: str | None = None,
        location: str | None = None,
        **options: Any,
    ) -> None:
        given = {
            "vertex_project": project or os.environ.get(PROJECT),
            "vertex_location": location or os.environ.get(LOCATION),
        }
        said: dict[str, Any] = {name: value for name, value in given.items() if value}
        super().__init__("vertex_ai/" + model_name.removeprefix("vertex_ai/"), **said, **options)
