"""Whether the files of a checkpoint are of one model, which settings tell before any weight."""

from __future__ import annotations

import logging
from pathlib import Path

from .config import ModelConfig
from .errors import ModelLoadError
from .models.registry import has_vision
from .models.settings import Settings, read_json
from .tokenizer import Tokenizer

logger = logging.getLogger(__name__)

IMAGE_TOKEN = "image_token_id", "image_token_index"  # the field's name, and what it was before
PROCESSORS = "preprocessor_config.json", "processor_config.json"


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


def check_images(tokenizer: Tokenizer, config: ModelConfig) -> None:
    """Look for what a model that sees needs besides weights: a placeholder and a processor.

    Raises:
        ModelLoadError: the placeholder of images is an ordinary token, or another one than the
            processor writes; or nothing says how images are brought to the vision tower's size.
    """
    settings = check_settings(config)
    if settings is None or config.model_impl == "transformers":
        return
    if not has_vision(settings.names("architectures")):
        return
    folder = Path(config.model_path)
    found = {name: read_json(folder / name) for name in PROCESSORS if (folder / name).exists()}
    own, joint = (found.get(name) for name in PROCESSORS)
    if own is None and (joint is None or "image_processor" not in joint):
        held = "" if joint is None else f", and {PROCESSORS[1]} has no image_processor"
        raise ModelLoadError(
            f"{folder} has no {PROCESSORS[0]}{held}: nothing says how images are brought to the "
            "vision tower's size; copy it from where the model comes from"
        )
    _check_placeholder(tokenizer, settings, "" if joint is None else joint.get("image_token"))


def _check_placeholder(tokenizer: Tokenizer, settings: Settings, written: object) -> None:
    name = settings.known(*IMAGE_TOKEN)
    if name not in settings:  # the default of `transformers`; prompts meet it
        return
    token = settings.count(name)
    added = tokenizer.tokens_from(0, added=True)
    text = next((text for text, each in added.items() if each == token), None)
    if text is None or (written and text != written):
        what = "is not among the tokens added to" if text is None else f"is {text!r} in"
        named = f"; the processor writes {written!r}" if written else ""
        others = ", ".join(f"{text!r} {each}" for text, each in sorted(added.items())[:8])
        raise settings.error(
            name,
            f"must be the placeholder of images, and {what} the tokenizer in {tokenizer.path}"
            f"{named}; added are {others or 'none'}",
        )
