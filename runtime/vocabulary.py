"""Whether a tokenizer and a model are of one kind, which their settings tell before any weight."""

from __future__ import annotations

import logging
from pathlib import Path

from .config import ModelConfig
from .models.settings import Settings
from .tokenizer import Tokenizer

logger = logging.getLogger(__name__)


def check_settings(config: ModelConfig) -> Settings | None:
    """Return the settings of a folder; a GGUF file, which has its own, gives None.

    Raises:
        ModelLoadError: config.json is missing or no JSON. Tokenizers read it too, and would say
            that less clearly.
    """
    path = Path(config.model_path)
    return None if path.is_file() else Settings.read(path / "config.json")


def check_vocabulary(tokenizer: Tokenizer, config: ModelConfig) -> None:
    """Compare the tokenizer's ids with the rows of the embedding.

    A few tokens that were added beyond the embedding are logged only: real checkpoints have them
    (Gemma 3's text models one for images), and a prompt with such an id is refused on its own.

    Raises:
        ModelLoadError: ids of the trained vocabulary have no row.
    """
    settings = check_settings(config)
    if settings is None:
        return
    settings = settings.section("text_config") or settings
    if "vocab_size" not in settings:  # the family has a default, or will say that it is missing
        return
    rows = settings.integer("vocab_size")
    if beyond := tokenizer.tokens_from(rows, added=False):
        text, highest = max(beyond.items(), key=lambda item: item[1])
        raise settings.error(
            "vocab_size",
            f"must be above the ids of the tokenizer in {tokenizer.path}, which go up to "
            f"{highest} ({text!r}): the two are not of one model; --tokenizer-path names another",
        )
    if beyond := tokenizer.tokens_from(rows, added=True):
        logger.warning(
            "%s has %d rows for tokens; the tokenizer adds some beyond, which cannot be used: %s",
            settings.source,
            rows,
            beyond,
        )
