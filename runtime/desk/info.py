"""What the desk tells about itself."""

from __future__ import annotations

import os
from typing import Any

import msgspec

from .desk import Desk


async def server_info(desk: Desk) -> dict[str, Any]:
    """All settings flat, the model's facts and the scheduler's state."""
    config = msgspec.to_builtins(desk.config)
    model, state = desk.model, msgspec.to_builtins(await desk.state())
    return {
        **config.pop("model"),
        **config.pop("cache"),
        **config.pop("schedule"),
        **config,
        "pid": os.getpid(),
        "served_model_name": desk.config.model_name,
        "max_total_num_tokens": model.pool_tokens,
        "max_req_input_len": desk.max_prompt_tokens,
        "context_length": model.context_length,
        "device": model.device,
        "dtype": model.dtype,
        "internal_states": [
            {
                "last_gen_throughput": state["last_throughput"],
                "memory_usage": {"token_capacity": state["pool"]},
                **state,
            }
        ],
    }
