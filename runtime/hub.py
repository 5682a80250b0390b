"""Where a model's files are: on this machine, or to be fetched from the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from .config import ModelConfig
from .errors import ModelLoadError

REPOSITORY = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
GGUF_IN_REPOSITORY = re.compile(r"([\w-][\w.-]*/[\w-][\w.-]*)/([^/]+\.gguf)")
# What a model is loaded from; other frameworks' weights stay where they are.
TAKEN = ["*.safetensors", "*.json", "*.jinja", "tokenizer*", "*.model", "merges.txt", "vocab.txt"]
LEFT = ["consolidated*", "original/*", "onnx/*"]
TOKENIZER_TAKEN = [pattern for pattern in TAKEN if pattern != "*.safetensors"]


def locate(config: ModelConfig) -> ModelConfig:
    """Return the configuration with paths on this machine, fetching what is named by a hub id.

    A path that exists is taken as it is; of a folder that holds nothing but one GGUF file for a
    model, that file. Anything that looks like a hub id (`org/name`, `org/name/file.gguf`)
    is fetched into the hub's cache at `revision`; without a network what lies there is used.

    Raises:
        ModelLoadError: there is no such path and no such repository, or it cannot be reached.
    """
    path = _local(config.model_path, config.revision, TAKEN)
    tokenizer = config.tokenizer_path
    if tokenizer is not None:
        tokenizer = _local(tokenizer, None, TOKENIZER_TAKEN)
    # Clients go on seeing the name that was asked for.
    name = config.served_model_name
    if name is None and path != config.model_path:
        name = config.model_path
    return msgspec.structs.replace(
        config, model_path=path, tokenizer_path=tokenizer, served_model_name=name
    )


def _local(name: str, revision: str | None, taken: list[str]) -> str:
    path = Path(name).expanduser()
    if path.is_dir():
        return str(_only_gguf(path) or path)
    if path.is_file():
        if path.suffix == ".gguf":
            return str(path)
        raise ModelLoadError(
            f"{name!r} is a file; give the folder that it is in, or a file that ends in .gguf"
        )
    is_file = GGUF_IN_REPOSITORY.fullmatch(name)
    if is_file is None and REPOSITORY.fullmatch(name) is None:
        raise ModelLoadError(
            f"no folder {name!r} on this machine; give the folder of a Hugging Face checkpoint, "
            "a GGUF file or a hub id such as org/name"
        )
    return _fetch(name, is_file, revision, taken)


def _only_gguf(folder: Path) -> Path | None:
    """Return the GGUF file of a folder that is no checkpoint without it."""
    if (folder / "config.json").exists():
        return None
    files = sorted(folder.glob("*.gguf"))
    if len(files) > 1:
        raise ModelLoadError(
            f"{folder} holds {len(files)} GGUF files; name one: "
            f"{', '.join(file.name for file in files)}"
        )
    return files[0] if files else None


def _fetch(name: str, is_file: re.Match[str] | None, revision: str | None, taken: list[str]) -> str:
    from huggingface_hub import hf_hub_download, snapshot_download

    try:
        if is_file is not None:
            return hf_hub_download(is_file[1], is_file[2], revision=revision)
        return snapshot_download(
            name, revision=revision, allow_patterns=taken, ignore_patterns=LEFT
        )
    except Exception as error:  # of the network, the hub, the cache: a dozen of classes
        at = f" at revision {revision!r}" if revision else ""
        raise ModelLoadError(
            f"no folder {name!r} on this machine, and the hub's {name!r}{at} cannot be fetched: "
            f"{str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__}"
        ) from error
