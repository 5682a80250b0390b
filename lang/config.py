"""Settings of the language for the whole process; SGLang's names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

PRINTS_TEXT = 2  # the `verbosity` from which programs print their text


@dataclass(slots=True)
class GlobalConfig:
    """What programs do where nothing nearer says otherwise.

    Attributes:
        default_backend: of programs that name none; `set_default_backend` sets it. None: the model
            that ships with the package.
        verbosity: from 2 on, every program prints its text when it has ended.
        skip_special_tokens_in_output: generated text leaves the tokenizer's special tokens out.
        spaces_between_special_tokens_in_out: where it keeps them, spaces stand between them.
        enable_precache_with_tracing: `run_batch` computes what its programs begin with once, before
            the first of them.
        enable_parallel_encoding: accepted for SGLang's sake; branches are joined as text.
    """

    default_backend: Any = None
    verbosity: int = 0
    skip_special_tokens_in_output: bool = True
    spaces_between_special_tokens_in_out: bool = True
    enable_precache_with_tracing: bool = True
    enable_parallel_encoding: bool = True


global_config = GlobalConfig()
