"""Configuration of an engine: frozen, one class a concern, never patched after `resolve()`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec

AtLeast0 = Annotated[int, msgspec.Meta(ge=0)]
AtLeast1 = Annotated[int, msgspec.Meta(ge=1)]
AtLeast2 = Annotated[int, msgspec.Meta(ge=2)]
MoreThan0 = Annotated[float, msgspec.Meta(gt=0)]

SHIPPED_MODEL = Path(__file__).resolve().parent / "shipped"


class ModelConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Which model, and how it is held in memory."""

    model_path: str = str(SHIPPED_MODEL)  # a folder, a .gguf file, or an id of the hub
    revision: str | None = None  # branch, tag or commit of a hub id
    load_format: Literal["auto", "safetensors", "gguf", "dummy"] = "auto"  # dummy: random weights
    tokenizer_path: str | None = None  # None: the model's folder
    served_model_name: str | None = None  # None: the model's path, or "radixlm-shipped"
    context_length: AtLeast1 | None = None  # tokens; None: what the checkpoint says
    dtype: str = "auto"  # auto | float32 | bfloat16 | float16
    quantization: str | None = None  # int8 | int4 | int4-32, -64, -128 | as torchao spells them
    device: str = "auto"  # auto | cpu | cuda
    # native: our decoder; transformers: its models on our attention; auto: ours where it can
    model_impl: Literal["auto", "native", "transformers"] = "auto"
    is_embedding: bool = False  # serve embeddings alone: requests to generate are refused
    disable_cpu_kernels: bool = False  # plain torch on a CPU: slower, and needs no compiler


class CacheConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Size and policy of the KV pool and its radix tree."""

    max_total_tokens: AtLeast2 | None = None  # slots of the pool; None: from `pool_bytes`
    pool_bytes: int = 1 << 30  # a bound for the pool on a CPU
    mem_fraction_static: float = 0.85  # of an accelerator's memory that the weights leave free
    page_size: AtLeast1 = 1  # tokens
    eviction_policy: str = "lru"  # lru | lfu | fifo | slru | priority
    host_bytes: AtLeast0 = 0  # host memory for what is evicted, which comes back on a hit
    disable_radix_cache: bool = False
    cache_dir: str | None = None  # where the cache is saved at the end and restored at the start
    max_saved_tokens: AtLeast1 = 1 << 16


class ScheduleConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of the queue and of one pass through the model."""

    schedule_policy: Literal["lpm", "fcfs", "shortest-first", "dfs-weight", "priority"] = "lpm"
    max_running_requests: AtLeast1 = 256
    max_queued_requests: AtLeast0 = 10_000
    chunked_prefill_size: int = 2048  # tokens of one pass; -1: prompts are never cut
    max_input_tokens: AtLeast1 | None = None  # None: the context length less one
    request_timeout_s: MoreThan0 | None = None  # for requests that name no `timeout_s`
    # what masks are filled by; auto: for each grammar what enforces all of it
    grammar_backend: Literal["auto", "llguidance", "xgrammar", "outlines"] = "auto"
    disable_forced_runs: bool = False  # what a grammar forces is sampled token by token
    disable_overlap_schedule: bool = False  # as on a CPU: a pass is read before the next starts


class ServerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The HTTP door."""

    host: str = "127.0.0.1"
    port: int = 30000
    api_key: str | None = None
    log_level: str = "info"
    max_request_bytes: int = 16 << 20
    drain_timeout_s: float = 30.0  # how long SIGTERM waits for running requests
    # How calls of tools and thinking are written; auto: as the chat template says; none: as content
    tool_call_parser: str = "auto"
    reasoning_parser: str = "auto"
    incremental_streaming_output: bool = False  # deltas instead of cumulative chunks on /generate


class EngineConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the scheduler and the front desk are started with."""

    model: ModelConfig = ModelConfig()
    cache: CacheConfig = CacheConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    random_seed: int = 0
    in_process: bool = False  # the scheduler on a thread instead of a process
    check_invariants: bool = False  # walk tree and pool after every step; for tests

    @property
    def model_name(self) -> str:
        """The name under which HTTP clients see the model."""
        if self.model.served_model_name:
            return self.model.served_model_name
        if Path(self.model.model_path) == SHIPPED_MODEL:
            return "radixlm-shipped"
        return self.model.model_path


def engine_config(**settings: object) -> EngineConfig:
    """Build a configuration from flat names, as `Engine(model_path=..., page_size=...)` takes them.

    Raises:
        TypeError: a name that no part of the configuration has; the message lists them all.
        msgspec.ValidationError: a value of the wrong type or out of range, named by its path.
    """
    parts: dict[str, dict[str, object]] = {"model": {}, "cache": {}, "schedule": {}}
    owners = {"model": ModelConfig, "cache": CacheConfig, "schedule": ScheduleConfig}
    own = {"random_seed", "in_process", "check_invariants"}
    top: dict[str, object] = {}
    for name, value in settings.items():
        owner = next((part for part, cls in owners.items() if name in cls.__struct_fields__), None)
        if owner is not None:
            parts[owner][name] = str(value) if isinstance(value, Path) else value
        elif name in own:
            top[name] = value
        else:
            known = sorted(own.union(*(cls.__struct_fields__ for cls in owners.values())))
            raise TypeError(f"no engine setting is named {name!r}; known: {', '.join(known)}")
    return msgspec.convert({**parts, **top}, EngineConfig)
