"""RadixLM: a structured-generation language on a radix-tree cache runtime.

    import radixlm as rl

    @rl.function
    def ask(s, question):
        s += rl.user(question)
        s += rl.assistant(rl.gen("answer", max_tokens=64))

    print(ask.run("What is the capital of France?")["answer"])

Importing this costs no torch; the model is loaded when a program first runs, or with `Engine(...)`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .constrained.errors import GrammarError
from .ir.errors import BackendError, ProgramError, RoleError, UnboundVariableError, UnsupportedError
from .lang.api import (
    assistant,
    assistant_begin,
    assistant_end,
    gen,
    gen_int,
    gen_string,
    image,
    role,
    select,
    separate_reasoning,
    system,
    system_begin,
    system_end,
    user,
    user_begin,
    user_end,
    video,
)
from .lang.backends.default import flush_cache, get_server_info, pins, set_default_backend, unpin
from .lang.choices import (
    distribution,
    greedy_token_selection,
    token_length_normalized,
    unconditional_likelihood_normalized,
)
from .lang.config import global_config
from .lang.errors import ProgramEndedError
from .lang.function import Function, function
from .lang.state import ProgramState

if TYPE_CHECKING:
    from .lang.backends.anthropic import Anthropic
    from .lang.backends.crusoe import Crusoe
    from .lang.backends.endpoint import RuntimeEndpoint
    from .lang.backends.litellm import LiteLLM
    from .lang.backends.openai import OpenAI
    from .lang.backends.scripted import ScriptedBackend
    from .lang.backends.server_process import Runtime
    from .lang.backends.vertexai import VertexAI
    from .lang.check import Estimate, Finding
    from .runtime.offline import Engine
    from .srt.server_args import ServerArgs

__version__ = "0.1.0"

# Names that few programs need or whose modules import torch: loaded when they are first used.
_LAZY = {
    "Anthropic": "radixlm.lang.backends.anthropic",
    "Crusoe": "radixlm.lang.backends.crusoe",
    "Engine": "radixlm.runtime.offline",
    "Estimate": "radixlm.lang.check",
    "Finding": "radixlm.lang.check",
    "LiteLLM": "radixlm.lang.backends.litellm",
    "OpenAI": "radixlm.lang.backends.openai",
    "Runtime": "radixlm.lang.backends.server_process",
    "RuntimeEndpoint": "radixlm.lang.backends.endpoint",
    "ScriptedBackend": "radixlm.lang.backends.scripted",
    "ServerArgs": "radixlm.srt.server_args",
    "VertexAI": "radixlm.lang.backends.vertexai",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'radixlm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


__all__ = [
    "Anthropic",
    "BackendError",
    "Crusoe",
    "Engine",
    "Estimate",
    "Finding",
    "Function",
    "GrammarError",
    "LiteLLM",
    "OpenAI",
    "ProgramEndedError",
    "ProgramError",
    "ProgramState",
    "RoleError",
    "Runtime",
    "RuntimeEndpoint",
    "ScriptedBackend",
    "ServerArgs",
    "UnboundVariableError",
    "UnsupportedError",
    "VertexAI",
    "__version__",
    "assistant",
    "assistant_begin",
    "assistant_end",
    "distribution",
    "flush_cache",
    "function",
    "gen",
    "gen_int",
    "gen_string",
    "get_server_info",
    "global_config",
    "greedy_token_selection",
    "image",
    "pins",
    "role",
    "select",
    "separate_reasoning",
    "set_default_backend",
    "system",
    "system_begin",
    "system_end",
    "token_length_normalized",
    "unconditional_likelihood_normalized",
    "unpin",
    "user",
    "user_begin",
    "user_end",
    "video",
]
